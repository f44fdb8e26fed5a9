/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides which pages have been written since WATCH(DIRTY), as Scrim tells it. */
#pragma once

#include "ranges.h"

/* SCRIM_DIRTY_PAGES pages, one bit each. */
struct dirty_chunk {
	uint64_t start;
	uint64_t looked_at[2]; /* RAM of the OS's that was asked for */
	uint64_t written[2];
};

#define DIRTY_CHUNK_BYTES ((uint64_t)SCRIM_DIRTY_PAGES * PAGE_BYTES)

struct dirty_pages {
	struct dirty_chunk *chunks; /* by address */
	size_t count;
	uint64_t looked_at; /* pages */
	uint64_t written;
};

/*
 * Makes the list of what is to be looked at: RAM, or what of it is in `wanted`, if that is not empty. To be freed in every
 * case. False after a complaint.
 */
bool dirty_pages_plan(const struct session *session, const struct range_list *wanted, struct dirty_pages *dirty) MUST_CHECK;
void dirty_pages_free(struct dirty_pages *dirty);

/* Asks for all of it. False after a complaint. */
bool dirty_pages_read(const struct session *session, struct dirty_pages *dirty) MUST_CHECK;

/* Pages looked at and written in [start, end), multiples of DIRTY_CHUNK_BYTES. */
void dirty_pages_count(const struct dirty_pages *dirty, const struct range *part, uint64_t *looked_at, uint64_t *written);

/* The first run of written pages at or above `from`; false: there is none. */
bool dirty_pages_next(const struct dirty_pages *dirty, uint64_t from, struct range *run);
