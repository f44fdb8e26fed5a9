/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the running of memory virtualization: it asks the state table (mem/memvirt_state.h), does what the table says,
 * and joins the memory engine to the back-end and the machine. Machine lock held in every call that takes `self`.
 */
#pragma once

#include "mem/memvirt_state.h"
#include "virt/machine.h"

/* At boot: engine, back-end, Identity root. Pages for tables come from `own.h`. */
void memvirt_init(const struct mem_config *config);

/* True when a CPU that starts now must translate for the memory's sake. */
bool memvirt_is_on(void);

/* The Identity root is there after it. */
void memvirt_need_map(void);

/*
 * Puts one event into the state table and acts on its answer. SCRIM_ESTATE when the table refuses; SCRIM_ENOFRAME when pages
 * cannot come home for want of one free frame.
 */
err_t memvirt_event(enum memvirt_event event) MUST_CHECK;

/* The calling CPU switches to what the state asks. Returns how many CPUs in the OS have not switched yet. */
uint32_t memvirt_visit(struct cpu *self);

/* Moves one page. The CPU in whose exit this runs is `self`. */
err_t memvirt_displace(struct cpu *self, gfn_t page, mfn_t *frame, struct mem_moved *moved) MUST_CHECK;

/*
 * REMAPPING: brings at most `pages` home, or none in a bounded part of the map that had nothing to do. *left: pages still
 * displaced; at 0 the state is CEASING. SCRIM_ENOFRAME, SCRIM_ENOTABLE: nothing has changed.
 */
err_t memvirt_step(struct cpu *self, uint32_t pages, uint64_t *left) MUST_CHECK;

/* Every invariant, now. */
enum scrim_violation memvirt_check(uint64_t *where);

/* After an exit, lock not held: gives tables back that no CPU can be walking any more. */
void memvirt_tidy(struct cpu *self);
