/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the machine's memory as a row of blocks, and what is in each. */
#pragma once

#include "ranges.h"

/* Of several in one block the last is shown: what is rare stands behind what is common. */
enum map_kind {
	MAP_HOLE = 0, /* no RAM of the OS's and none of Scrim's */
	MAP_HOME,
	MAP_OWN,
	MAP_LENT,
	MAP_PROTECTED, /* read-only until its first write, for a watch */
	MAP_DISPLACED,
	MAP_SHARED,
	MAP_RETIRED,   /* the frame is never used again */
	MAP_MOVING, /* in the hands of a batch at this moment */
	MAP_KIND_COUNT
};

struct map_cell {
	struct range range;
	uint64_t pages[MAP_KIND_COUNT]; /* a shared page may be displaced too, a lent one is at home */
};

/* Zeroed: nothing. */
struct map {
	uint64_t cell_bytes; /* a power of two */
	uint64_t row_cells;  /* cells of a line of the picture */
	struct map_cell *cells; /* all lines that are not a hole from end to end */
	size_t count;           /* a multiple of row_cells */
	uint64_t pages[MAP_KIND_COUNT];
};

#define MAP_CELL_BYTES_MIN 0x200000u /* a chunk of Scrim's map */

/*
 * Fills *map, to be freed in every case: blocks as small as they can be for at most `rows` lines of `row_cells`. False after a
 * complaint.
 */
bool map_gather(const struct session *session, uint64_t row_cells, uint64_t rows, struct map *map) MUST_CHECK;
void map_free(struct map *map);

enum map_kind map_kind_of(const struct map_cell *cell);
