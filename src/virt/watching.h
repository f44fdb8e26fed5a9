/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the watch over RAM (mem/watch.h) with the machine around it: its instant, the tables' rights, the end. Machine lock held. */
#pragma once

#include "virt/machine.h"

/* At boot, after memvirt_init(), with watch_storage_bytes() zeroed bytes. */
void watching_init(void *storage);

/*
 * Waits for batches, then stops all CPUs for the instant. SCRIM_ESTATE, SCRIM_EWATCH: one is on; SCRIM_ECPU: a CPU did not come; nothing has
 * changed. *saved: CPUs whose registers are kept.
 */
err_t watching_begin(struct cpu *self, enum scrim_watch kind, enum scrim_writes writes, uint32_t *saved) MUST_CHECK;

/* Nothing is read-only for its sake any more, frames and tables are free. Nothing where none is on. */
void watching_end(struct cpu *self);

/* A CPU is about to write `page`, which is present: copied or noted, if it is the first time. Where that cannot be the watch ends, as failed. */
void watching_write(struct cpu *self, gfn_t page);

/* And then, where the map lets it: CPUs may. */
void watching_allow(struct cpu *self, gfn_t page);

/* An image's reader has done with these pages. */
void watching_let_go(struct cpu *self, gfn_t first, uint32_t count);

/* A page that the back-ends free and that was watching_allow()'s. */
void watching_return_table(void *page);
