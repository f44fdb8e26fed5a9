/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl map`: RAM as a picture of letters, one a block, or as JSON. Changes nothing. */
#include <inttypes.h>

#include "json.h"
#include "live.h"
#include "map_data.h"
#include "options.h"
#include "text.h"
#include "verbs.h"

#define LABEL_CELLS  16 /* before each line: the address where it begins */
#define LEGEND_LINES 4
#define CELLS_MIN    8
#define CELLS_MAX    128
#define ROWS_MIN     8

/* `some`, and `most` where at least half of the block's pages are so. Colours are SGR's (ECMA-48, 8.3.117). */
static const struct {
	const char *name; /* as in JSON, and in the legend */
	char some, most;
	const char *colour;
} kinds[] = {
	[MAP_HOLE] = { "hole", ' ', ' ', "0" },
	[MAP_HOME] = { "home", '.', '.', "32" },
	[MAP_OWN] = { "own", '#', '#', "90" },
	[MAP_LENT] = { "lent", 'l', 'L', "36" },
	[MAP_PROTECTED] = { "protected", 'p', 'P', "34" },
	[MAP_DISPLACED] = { "displaced", 'd', 'D', "33" },
	[MAP_SHARED] = { "shared", 's', 'S', "35" },
	[MAP_RETIRED] = { "retired", 'x', 'X', "31" },
	[MAP_MOVING] = { "moving", 'm', 'M', "97;41" },
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == MAP_KIND_COUNT, "a letter for each kind");

static void draw_letter(const struct session *session, enum map_kind kind, char letter)
{
	if (session->colour && kind != MAP_HOLE)
		fprintf(session->out, "\033[%sm%c\033[0m", kinds[kind].colour, letter);
	else
		fputc(letter, session->out);
}

static void draw_cell(const struct session *session, const struct map_cell *cell)
{
	enum map_kind kind = map_kind_of(cell);
	uint64_t half = (cell->range.end - cell->range.start) / PAGE_BYTES / 2;

	draw_letter(session, kind, cell->pages[kind] >= half ? kinds[kind].most : kinds[kind].some);
}

static const char *end_of_line(const struct session *session)
{
	return session->redraws ? "\033[K\n" : "\n";
}

static void draw_legend(const struct session *session, const struct map *map)
{
	char size[TEXT_BYTES];

	fprintf(session->out, "a letter is %s; large where half of its pages are so%s", text_bytes(size, map->cell_bytes),
		end_of_line(session));
	for (int kind = MAP_HOME; kind < MAP_KIND_COUNT; kind++) {
		draw_letter(session, (enum map_kind)kind, kinds[kind].most);
		fprintf(session->out, " %s %s%s", kind == MAP_OWN ? "Scrim's" : kinds[kind].name,
			text_bytes(size, map->pages[kind] * PAGE_BYTES), kind + 1 == MAP_KIND_COUNT ? "" : "  ");
		if (kind == MAP_LENT)
			fputs(end_of_line(session), session->out);
	}
	fputs(end_of_line(session), session->out);
}

static void draw(const struct session *session, const struct map *map)
{
	uint64_t next = 0;

	if (session->redraws)
		fputs("\033[H", session->out);
	for (size_t i = 0; i < map->count; i++) {
		const struct map_cell *cell = &map->cells[i];

		if (i % map->row_cells == 0) {
			if (cell->range.start != next)
				fprintf(session->out, "...%s", end_of_line(session));
			fprintf(session->out, "%#*" PRIx64 "  ", LABEL_CELLS - 2, cell->range.start);
		}
		draw_cell(session, cell);
		next = cell->range.end;
		if ((i + 1) % map->row_cells == 0)
			fputs(end_of_line(session), session->out);
	}
	draw_legend(session, map);
	if (session->redraws)
		fputs("\033[J", session->out);
}

static json_t *pages_json(const uint64_t *pages)
{
	json_t *object = json_object();

	for (int kind = MAP_HOME; kind < MAP_KIND_COUNT; kind++)
		json_put(&object, kinds[kind].name, json_count(pages[kind]));
	return object;
}

static json_t *map_json(const struct map *map)
{
	json_t *root = json_object(), *cells = json_array();

	for (size_t i = 0; i < map->count; i++) {
		json_t *cell = json_object();

		json_put(&cell, "start", json_address(map->cells[i].range.start));
		json_put(&cell, "end", json_address(map->cells[i].range.end));
		json_put(&cell, "kind", json_string(kinds[map_kind_of(&map->cells[i])].name));
		json_put(&cell, "pages", pages_json(map->cells[i].pages));
		json_append(&cells, cell);
	}
	json_put(&root, "cell_bytes", json_count(map->cell_bytes));
	json_put(&root, "pages", pages_json(map->pages));
	json_put(&root, "cells", cells);
	return root;
}

/* A power of two: addresses of lines are round then. */
static uint64_t row_cells(const struct session *session)
{
	uint64_t cells = CELLS_MIN;

	while (cells < CELLS_MAX && cells * 2 + LABEL_CELLS <= session->columns)
		cells *= 2;
	return cells;
}

static enum exit_code show(const struct session *session, bool as_json)
{
	uint64_t rows = session->lines > ROWS_MIN + LEGEND_LINES ? session->lines - LEGEND_LINES : ROWS_MIN;
	enum exit_code code = EXIT_REFUSED;
	struct map map = { 0 };

	/* Each hole takes a line too. */
	if (map_gather(session, row_cells(session), rows / 2, &map)) {
		code = EXIT_DONE;
		if (as_json)
			code = json_print(session, map_json(&map));
		else
			draw(session, &map);
	}
	map_free(&map);
	return code;
}

static enum exit_code run_map(const struct session *session, int argc, char **argv)
{
	bool as_json = false, watch = false;
	const char *seconds = NULL, *count = NULL;
	const struct option_spec specs[] = { { .name = "--json", .flag = &as_json },
					     { .name = "--watch", .flag = &watch, .value = &seconds },
					     { .name = "--count", .value = &count },
					     { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	struct session live_session = *session;
	enum exit_code code = EXIT_DONE;
	struct live live;
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "map", operands, argv) ||
	    !live_parse(session, "--watch", seconds, count, &live))
		return EXIT_USAGE;
	if (count != NULL && !watch) {
		complain(session, "--count is for --watch; give both, or neither");
		return EXIT_USAGE;
	}
	if (!watch)
		live.count = 1;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	live_session.redraws = session->redraws && watch && !as_json;
	if (live_session.redraws)
		fputs("\033[2J", session->out);
	while (code == EXIT_DONE && live_next(session, &live))
		code = show(&live_session, as_json);
	return code;
}

const struct verb verb_map = {
	.name = "map",
	.arguments = "[OPTION]...",
	.summary = "Draw RAM: what is displaced, shared, ...",
	.help = "Draws the machine's memory, a letter for each block of it, as fits the terminal. Of several kinds of page in one\n"
		"block the rarest is shown. On a terminal in colour, unless the environment has NO_COLOR.\n"
		"\n"
		"  --watch [SECONDS]  draw it again each so many seconds, until a signal comes; 1 by default\n"
		"  --count N          so many times, with --watch\n"
		"  --json             for programs: pages of each kind, in all and of each block\n"
		"\n"
		"Example: scrimctl map --watch 0.5\n",
	.run = run_map,
};
