/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the beginning and the end of memory virtualization: it asks the state table (mem/memvirt_state.h), does what the table
 * says, and lets CPUs switch. What happens to the map in between is moving.h's. Machine lock held in every call that takes `self`.
 */
#pragma once

#include "mem/memvirt_state.h"
#include "virt/machine.h"

/* At boot, behind dma_init(): engine, back-end, Identity root. Pages for tables come from `own.h`; port and `movable` of the configuration from here. */
void memvirt_init(const struct mem_config *config);

/* True when a CPU that starts now must translate for the memory's sake. */
bool memvirt_is_on(void);

/* The Identity root is there after it. */
void memvirt_need_map(void);

/* Puts one event into the state table and acts on its answer. SCRIM_ESTATE when the table refuses. */
err_t memvirt_event(enum memvirt_event event) MUST_CHECK;

/* Where the OS's RAM ends. */
uint64_t memvirt_ram_end(void);

/* The same to whole 2 MiB, the last of which may have other memory in it too: as far as tables are taken apart for pages. */
uint64_t memvirt_top(void);

/*
 * Memory is being virtualized, from the beginning or (resumed) not: all RAM is managed, or nothing until it is named. A resumed
 * one keeps what has been named.
 */
void memvirt_manage_all(bool all, bool begins);

/* From now on CPUs translate so; each goes over to it when it is visited. */
void memvirt_use_backend(enum scrim_backend backend);

/* The calling CPU switches to what the state asks. Returns how many CPUs in the OS have not switched yet. */
uint32_t memvirt_visit(struct cpu *self);

/* Every invariant, now. */
enum scrim_violation memvirt_check(uint64_t *where);

/* After an exit, lock not held: gives tables back that no CPU can be walking any more. */
void memvirt_tidy(struct cpu *self);
