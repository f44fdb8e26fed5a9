/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the meeting of all CPUs in Scrim: the OS stands still, and everybody helps to copy. One CPU calls and leads; the
 * others come by a kick, work on what the leader hands out, and go when it says so, each with its TLB flushed.
 */
#pragma once

#include "virt/machine.h"

/*
 * Calls every other CPU that may execute the OS's code; with `save` each keeps the OS's registers in cpu->saved. False: one did not come within seconds, it is counted as lost, and all have
 * left again. Machine lock held, no batch in flight.
 */
bool meet_begin(struct cpu *self, bool save) MUST_CHECK;

/* Copies the batch's pages, each CPU here its own bytes of every page. Returns when all have. */
void meet_copy(const struct mem_batch *batch);

/* Everybody leaves; returns when all have. */
void meet_end(void);

/* A CPU that was called: from kick_serve() until the leader ends the meeting. */
void meet_attend(struct cpu *self);
