/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides page sharing: finds pages with equal contents, zero pages among them, and lets them read one frame. */
#pragma once

#include "mem/mem.h"

#define SHARE_PAIRS 64u
#define SHARE_CROWD 256u /* pages that a search gathers in one frame, or a few more */

struct share_pair {
	gfn_t page, partner;    /* `page` is to read the frame of `partner` */
	mfn_t from, to;
	enum mem_access access; /* of the first pair with this partner: what the partner had before */
	uint32_t first;         /* index of that pair */
	bool equal;
	bool joined;            /* of the first pair: somebody has come to share with the partner */
};

struct mem_share {
	gfn_t next, last;
	uint64_t *slot;       /* memory handed in: share.c says what a slot holds */
	uint64_t slot_mask;
	uint64_t shared;      /* pages, so far */
	bool short_of_tables; /* from here on only pages whose chunk has tables */
	struct mem_run run;   /* around the page that is looked at */
	uint32_t tried;       /* pairs of this step */
	uint32_t hashed;      /* pages of this step that share already, and had to be read whole: each takes a pair's time */
	uint32_t count;
	struct share_pair pair[SHARE_PAIRS];
};

/* Pages [first, last). `slots`, a power of two, of zeroed memory, kept until the end. More find more. */
void mem_share_start(struct mem_share *share, gfn_t first, gfn_t last, uint64_t *slots, uint64_t slot_count);

/*
 * Looks at `limit` pages at most, runs of pages that may not share counted as one; holds the lock all through, one flush where candidates were
 * found, and one more where some of them were not equal. Only pages that may be displaced. MEM_STEP_AGAIN, MEM_STEP_DONE; MEM_STEP_WAIT while a homecoming is
 * active; MEM_STEP_NO_FRAME where not one frame is free beyond those that sharing saves, so that what is shared could not come home again. Pages for
 * whose tables there is no memory are passed over.
 */
enum mem_step mem_share_step(struct mem *mem, struct mem_share *share, uint32_t limit) MUST_CHECK;
