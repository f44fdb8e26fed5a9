/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the pages of each block: RAM, lent and Scrim's own by the ranges that Scrim lists, the rest by its census. Another program may change
 * the map meanwhile: each block is true at its own instant.
 */
#include "map_data.h"

#include <stdlib.h>

#include "explain.h"

struct lists {
	struct range_list ram, own, lent, retired;
};

static uint64_t end_of(const struct lists *lists)
{
	uint64_t end = 0;

	for (size_t i = 0; i < lists->ram.count; i++)
		if (lists->ram.items[i].end > end)
			end = lists->ram.items[i].end;
	for (size_t i = 0; i < lists->own.count; i++)
		if (lists->own.items[i].end > end)
			end = lists->own.items[i].end;
	return end;
}

static bool is_hole(const struct lists *lists, const struct range *range)
{
	return !ranges_overlap(&lists->ram, range) && !ranges_overlap(&lists->own, range);
}

static uint64_t rows_with(const struct lists *lists, uint64_t row_bytes)
{
	uint64_t rows = 0, end = end_of(lists);

	for (struct range row = { 0, row_bytes }; row.start < end; row.start += row_bytes, row.end += row_bytes)
		rows += !is_hole(lists, &row);
	return rows;
}

/* Whole ones: what firmware leaves of a page is no page of the OS's. */
static uint64_t pages_in(const struct range_list *list, const struct range *range)
{
	return ranges_common_bytes(list, range) / PAGE_BYTES;
}

static bool take_census(const struct session *session, const struct range *range, struct map_cell *cell)
{
	uint64_t start = range->start, end;

	for (; start < range->end; start = end) {
		end = range->end - start > SCRIM_CENSUS_MAX ? start + SCRIM_CENSUS_MAX : range->end;
		struct reply reply = request(session, SCRIM_OP_CENSUS, start, end);

		if (reply.status != SCRIM_OK) {
			explain(session, "counting pages", SCRIM_OP_CENSUS, &reply);
			return false;
		}
		cell->pages[MAP_DISPLACED] += (uint32_t)reply.result0;
		cell->pages[MAP_SHARED] += reply.result0 >> 32;
		cell->pages[MAP_MOVING] += (uint32_t)reply.result1;
		cell->pages[MAP_PROTECTED] += reply.result1 >> 32;
	}
	return true;
}

static bool fill_cell(const struct session *session, const struct lists *lists, struct map_cell *cell)
{
	uint64_t all = (cell->range.end - cell->range.start) / PAGE_BYTES;
	uint64_t ram = pages_in(&lists->ram, &cell->range);

	cell->pages[MAP_OWN] = pages_in(&lists->own, &cell->range);
	cell->pages[MAP_LENT] = pages_in(&lists->lent, &cell->range);
	cell->pages[MAP_RETIRED] = pages_in(&lists->retired, &cell->range);
	if (ram != 0 && !take_census(session, &cell->range, cell))
		return false;
	cell->pages[MAP_HOME] = ram - cell->pages[MAP_DISPLACED];
	cell->pages[MAP_HOLE] = all > ram + cell->pages[MAP_OWN] ? all - ram - cell->pages[MAP_OWN] : 0;
	return true;
}

static bool fill_row(const struct session *session, const struct lists *lists, struct map *map, uint64_t start)
{
	for (uint64_t i = 0; i < map->row_cells; i++, start += map->cell_bytes) {
		struct map_cell *cell = &map->cells[map->count++];

		cell->range = (struct range){ start, start + map->cell_bytes };
		if (!fill_cell(session, lists, cell))
			return false;
		for (int kind = 0; kind < MAP_KIND_COUNT; kind++)
			map->pages[kind] += cell->pages[kind];
	}
	return true;
}

static bool fill(const struct session *session, const struct lists *lists, uint64_t rows, struct map *map)
{
	uint64_t end = end_of(lists), row_bytes;

	while (rows_with(lists, map->cell_bytes * map->row_cells) > rows)
		map->cell_bytes *= 2;
	row_bytes = map->cell_bytes * map->row_cells;
	map->cells = calloc((size_t)(rows * map->row_cells), sizeof(*map->cells));
	if (map->cells == NULL) {
		complain(session, "no memory for the picture; free some and try again");
		return false;
	}
	for (struct range row = { 0, row_bytes }; row.start < end; row.start += row_bytes, row.end += row_bytes)
		if (!is_hole(lists, &row) && !fill_row(session, lists, map, row.start))
			return false;
	return true;
}

bool map_gather(const struct session *session, uint64_t row_cells, uint64_t rows, struct map *map)
{
	struct lists lists = { 0 };
	bool done;

	*map = (struct map){ .cell_bytes = MAP_CELL_BYTES_MIN, .row_cells = row_cells };
	done = ranges_request(session, SCRIM_RANGE_RAM, &lists.ram) && ranges_request(session, SCRIM_RANGE_OWN, &lists.own) &&
	       ranges_request(session, SCRIM_RANGE_LENT, &lists.lent) &&
	       ranges_request(session, SCRIM_RANGE_RETIRED, &lists.retired) && fill(session, &lists, rows, map);
	ranges_free(&lists.ram);
	ranges_free(&lists.own);
	ranges_free(&lists.lent);
	ranges_free(&lists.retired);
	return done;
}

void map_free(struct map *map)
{
	free(map->cells);
	*map = (struct map){ 0 };
}

enum map_kind map_kind_of(const struct map_cell *cell)
{
	int kind = MAP_KIND_COUNT - 1;

	while (kind > MAP_HOLE && cell->pages[kind] == 0)
		kind--;
	return (enum map_kind)kind;
}
