/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a machine behind mem_port.h that is large and does little: a word of contents for each frame, and counts. For
 * maps that are too large for the machines that find mistakes.
 */
#pragma once

#include "mem/mem.h"

#define FAKE_FLAT_SAMPLE 32u /* a sample sees the bits from here on */

struct fake_flat {
	uint64_t pages, spare;  /* RAM: pages 0 to pages - 1; the reserve follows */
	uint64_t *frame;        /* contents, by frame */
	uint64_t *wrote;        /* by page */
	uint64_t tables, flushes, copies, samples;
	uint64_t tables_max;    /* no more than so many */
	struct mem *mem;
	struct range_list ram;
};

/* Page p is in frame map[p], shared where equal. NULL: Identity. Search, until mem_use_reverse. */
void fake_flat_start(struct fake_flat *flat, struct mem *mem, const uint64_t *map, uint64_t pages, uint64_t spare);

/* True when each page reads what was written. */
bool fake_flat_holds(const struct fake_flat *flat);

/* One batch to its end. What mem_remap_begin said. */
enum mem_step fake_flat_step(struct fake_flat *flat, struct mem_batch *batch, uint32_t limit, struct mem_moved *moved);

/* Frees everything, also what is displaced still. */
void fake_flat_stop(struct fake_flat *flat);
