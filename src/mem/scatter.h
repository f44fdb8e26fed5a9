/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the exerciser: pages of a range permuted at random, by seed, so that each run can be repeated. A permutation
 * is a set of cycles; each is moved along through one free frame, in batches, with a cursor between them.
 */
#pragma once

#include "mem/mem.h"

#define SCATTER_ALL 65536u /* fraction: of so many pages */

struct mem_scatter {
	uint64_t seed;
	gfn_t first;
	uint64_t pages;     /* in the range */
	uint32_t fraction;  /* pages chosen, of SCATTER_ALL */
	uint32_t bits;      /* half the bits of the domain of the random order */
	uint64_t at;        /* how far in the random order */
	uint64_t least;     /* of the order's places in this cycle; a lower one begins the next */
	gfn_t start;        /* page that opened this cycle */
	mfn_t hole;         /* frame that the cycle has left */
	uint32_t length;    /* pages of this cycle so far: 0, 1 (not moved yet), 2 for more */
};

void mem_scatter_start(struct mem_scatter *scatter, uint64_t seed, gfn_t first, gfn_t last, uint32_t fraction);

/*
 * Plans the next moves, at most `limit` (2 to SCRIM_BATCH_MAX). Pages that may not be displaced or are in flight are passed over.
 * MEM_STEP_WAIT also while a homecoming is active. To take back a batch that is aborted, keep a copy of *scatter.
 */
enum mem_step mem_scatter_begin(struct mem *mem, struct mem_scatter *scatter, struct mem_batch *batch,
				uint32_t limit) MUST_CHECK;
