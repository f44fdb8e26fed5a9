/* SPDX-License-Identifier: BSD-2-Clause */
/* The picture. Rows in which there is no RAM to be looked at are left out. */
#include "dirty_picture.h"

#include <inttypes.h>

#include "text.h"

#define CELLS_PER_ROW 64u
#define ROWS_MAX      64u

/* None, then shades in equal steps up to all. */
static const char shades[] = ".:-=+*%#";
#define SHADES (sizeof(shades) - 2)

static char shade(uint64_t looked_at, uint64_t written)
{
	if (looked_at == 0)
		return ' ';
	return written == 0 ? shades[0] : shades[1 + (written * SHADES - 1) / looked_at];
}

uint64_t dirty_picture_cell(const struct dirty_pages *dirty)
{
	uint64_t cell = DIRTY_BLOCK_BYTES;

	while (dirty->looked_at * PAGE_BYTES / cell > CELLS_PER_ROW * ROWS_MAX)
		cell *= 2;
	return cell;
}

static void print_row(FILE *out, const struct dirty_pages *dirty, uint64_t start, uint64_t cell)
{
	char row[CELLS_PER_ROW + 1];
	size_t used = 0;

	for (unsigned i = 0; i < CELLS_PER_ROW; i++) {
		const struct range part = { start + i * cell, start + (i + 1) * cell };
		uint64_t looked_at, written;

		dirty_pages_count(dirty, &part, &looked_at, &written);
		row[i] = shade(looked_at, written);
		used = looked_at != 0 ? i + 1 : used;
	}
	row[used] = '\0';
	if (used != 0)
		fprintf(out, "%12" PRIx64 "  %s\n", start, row);
}

void dirty_picture_print(FILE *out, const struct dirty_pages *dirty)
{
	const uint64_t cell = dirty_picture_cell(dirty), row = cell * CELLS_PER_ROW;
	uint64_t next = 0;
	char text[TEXT_BYTES];

	fprintf(out, "one cell is %s: '%c' nothing of it written, '%c' to '%c' up to all of it\n", text_bytes(text, cell),
		shades[0], shades[1], shades[SHADES]);
	for (size_t i = 0; i < dirty->count; i++) {
		if (dirty->chunks[i].start < next)
			continue;
		next = dirty->chunks[i].start / row * row + row;
		print_row(out, dirty, next - row, cell);
	}
}
