/* SPDX-License-Identifier: BSD-2-Clause */
/* A page whose own frame is retired has no home; the 2 MiB around it, one large entry of the hardware's tables, stay managed. */
#include "retired.h"

#include <inttypes.h>

#include "text.h"

#define CHUNK_BYTES (2ull << 20)

/* The 2 MiB around one place of a retired range. */
static struct range chunk_of(uint64_t address)
{
	uint64_t start = address & ~(CHUNK_BYTES - 1);

	return (struct range){ start, start + CHUNK_BYTES };
}

/* How far from `at` on a retired frame explains that memory is managed. */
static uint64_t explained_to(const struct range_list *retired, uint64_t at)
{
	const struct range chunk = chunk_of(at);

	return ranges_overlap(retired, &chunk) ? chunk.end : at;
}

static struct range common(const struct range *a, const struct range *b)
{
	return (struct range){ a->start > b->start ? a->start : b->start, a->end < b->end ? a->end : b->end };
}

bool retired_explain(const struct range_list *retired, const struct range_list *managed, const struct range *range)
{
	for (size_t i = 0; i < managed->count; i++) {
		struct range piece = common(&managed->items[i], range);

		while (piece.start < piece.end) {
			uint64_t to = explained_to(retired, piece.start);

			if (to == piece.start)
				return false;
			piece.start = to;
		}
	}
	return true;
}

void retired_report(const struct session *session, const struct range_list *retired, const struct range_list *managed,
		    const struct range *range)
{
	uint64_t frames = ranges_common_bytes(retired, range) / PAGE_BYTES, bytes = ranges_common_bytes(managed, range);
	char size[TEXT_BYTES];

	if (bytes == 0)
		return;
	fprintf(session->out, "memory stays virtualized for %s around %" PRIu64 " retired frame(s)", text_bytes(size, bytes), frames);
	if (range->start != 0 || range->end != UINT64_MAX)
		fprintf(session->out, " in 0x%" PRIx64 "-0x%" PRIx64, range->start, range->end);
	fputs(": pages whose homes these were stay away\n", session->out);
}
