/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the smallest machine behind mem_port.h, with the worst of TLBs: every translation that was ever in the tables
 * is held by somebody until a flush. A few pages with one word of contents each, so that all maps can be tried.
 */
#pragma once

#include "mem/mem.h"

#define SMALL_PAGES  16u   /* RAM: pages 0 to ram_pages - 1; the reserve begins at page 8 */
#define SMALL_SPARE  8u
#define SMALL_STALE  8u
#define SMALL_TABLES 6u /* pages for tables: as many as all reverses and the map can need here */

struct small_world {
	const char *fault;
	uint32_t ram_pages, spare_frames;
	uint64_t frame[SMALL_PAGES], wrote[SMALL_PAGES], next_value;
	struct { uint64_t frame; enum mem_access access; } now[SMALL_PAGES], stale[SMALL_PAGES][SMALL_STALE];
	uint32_t stale_count[SMALL_PAGES];
	uint32_t tables, given_up, flushes, copies;
	const struct mem *mem;
	const void *reading; /* the leaf that a CPU in an exit has found in the map since the last flush */
	uint32_t fail_at, asked;
	uint32_t lent; /* bits: pages that the OS does not touch */
	struct range_list ram;
	uint64_t storage[2048];
	uint64_t table[SMALL_TABLES][512]; /* here, so that a copy of the world is the world at that time */
	bool table_used[SMALL_TABLES];
};

/* Pages `map[i]` = their frames (shared where equal), under the given reverse. */
void small_start(struct small_world *world, struct mem *mem, const uint32_t *map, uint32_t pages, uint32_t spare);

/* The OS writes a page, as a CPU with the oldest translation that may still be held. False: it has to wait. */
bool small_write(struct small_world *world, uint32_t page);

/* Every page that is present reads what was written. */
void small_verify_present(struct small_world *world);

/* None is absent, too, and nothing is left to be flushed. */
void small_verify(struct small_world *world);
