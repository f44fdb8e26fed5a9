/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides how an image makes do with few frames: where they are used faster than the image is read (mem/watch.h: watch_room()), a page's
 * first write waits for the reader, so that the OS stands still where it writes and runs where it does not.
 */
#pragma once

#include "virt/machine.h"

/* At the instant. Machine lock held. */
void waiting_begin(enum scrim_writes writes);

/* The image's reader has asked for pages, on this CPU. Machine lock held. */
void waiting_reader_came(const struct cpu *self);

/* `self` may not write `page` for the first time now. Machine lock held. */
bool waiting_holds(struct cpu *self, gfn_t page);

/* Waits for a moment; then the OS makes its access again, and takes its interrupts before. Machine lock not held. */
void waiting_moment(struct cpu *self);

/* TSC ticks that all CPUs have waited since the last image's instant. */
uint64_t waiting_tsc(void);
