/* SPDX-License-Identifier: BSD-2-Clause */
/* Written pages, as bits. Scrim tells 128 pages at a time, whatever of them is RAM. */
#include "dirty_pages.h"

#include <stdlib.h>
#include <string.h>

#include "explain.h"

static int by_start(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

static struct dirty_chunk *chunk_at(struct dirty_pages *dirty, uint64_t start)
{
	struct dirty_chunk *chunks;

	if (dirty->count != 0 && dirty->chunks[dirty->count - 1].start == start)
		return &dirty->chunks[dirty->count - 1];
	/* Twice as large each time. */
	if ((dirty->count & (dirty->count - 1)) == 0) {
		chunks = realloc(dirty->chunks, (dirty->count == 0 ? 1 : 2 * dirty->count) * sizeof(*chunks));
		if (chunks == NULL)
			return NULL;
		dirty->chunks = chunks;
	}
	dirty->chunks[dirty->count] = (struct dirty_chunk){ .start = start };
	return &dirty->chunks[dirty->count++];
}

/* Whole pages of [start, end), above all that was added before. */
static bool add_pages(struct dirty_pages *dirty, uint64_t start, uint64_t end)
{
	for (start = (start + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES; start + PAGE_BYTES <= end; start += PAGE_BYTES) {
		struct dirty_chunk *chunk = chunk_at(dirty, start / DIRTY_CHUNK_BYTES * DIRTY_CHUNK_BYTES);
		unsigned bit = (unsigned)(start % DIRTY_CHUNK_BYTES / PAGE_BYTES);

		if (chunk == NULL)
			return false;
		dirty->looked_at += (chunk->looked_at[bit / 64] >> bit % 64 & 1) == 0;
		chunk->looked_at[bit / 64] |= 1ull << bit % 64;
	}
	return true;
}

/* The common part of RAM and what is wanted, by address. */
static bool cut(const struct range_list *ram, const struct range_list *wanted, struct range_list *parts)
{
	static const struct range all = { 0, UINT64_MAX };

	for (size_t i = 0; i < ram->count; i++) {
		for (size_t j = 0; j < (wanted->count == 0 ? 1 : wanted->count); j++) {
			const struct range *want = wanted->count == 0 ? &all : &wanted->items[j];
			struct range part = ram->items[i];

			part.start = want->start > part.start ? want->start : part.start;
			part.end = want->end < part.end ? want->end : part.end;
			if (part.start < part.end && !ranges_add(parts, part))
				return false;
		}
	}
	if (parts->count != 0)
		qsort(parts->items, parts->count, sizeof(*parts->items), by_start);
	return true;
}

bool dirty_pages_plan(const struct session *session, const struct range_list *wanted, struct dirty_pages *dirty)
{
	struct range_list ram = { 0 }, parts = { 0 };
	bool known = ranges_request(session, SCRIM_RANGE_RAM, &ram);
	bool good = known && cut(&ram, wanted, &parts);
	uint64_t done = 0;

	/* Ranges that were asked for may overlap. */
	for (size_t i = 0; good && i < parts.count; i++) {
		good = add_pages(dirty, parts.items[i].start > done ? parts.items[i].start : done, parts.items[i].end);
		done = parts.items[i].end > done ? parts.items[i].end : done;
	}
	ranges_free(&ram);
	ranges_free(&parts);
	if (known && !good)
		complain(session, "dirty refused, no memory for the list of pages; name a smaller --range");
	if (good && dirty->looked_at == 0)
		complain(session, "dirty refused, no page of the OS's RAM is in this range; scrimctl status lists the RAM");
	return good && dirty->looked_at != 0;
}

void dirty_pages_free(struct dirty_pages *dirty)
{
	free(dirty->chunks);
	*dirty = (struct dirty_pages){ 0 };
}

bool dirty_pages_read(const struct session *session, struct dirty_pages *dirty)
{
	dirty->written = 0;
	for (size_t i = 0; i < dirty->count; i++) {
		struct dirty_chunk *chunk = &dirty->chunks[i];
		struct reply reply = request(session, SCRIM_OP_DIRTY, chunk->start, 0);

		if (reply.status == SCRIM_ESTATE) {
			complain(session, "dirty failed: another program ended it, by devirtualize or snapshot --cancel; run "
					  "it again when that is done");
			return false;
		}
		if (reply.status != SCRIM_OK) {
			explain(session, "dirty failed", SCRIM_OP_DIRTY, &reply);
			return false;
		}
		chunk->written[0] = reply.result0 & chunk->looked_at[0];
		chunk->written[1] = reply.result1 & chunk->looked_at[1];
		dirty->written += (uint64_t)__builtin_popcountll(chunk->written[0]) +
				  (uint64_t)__builtin_popcountll(chunk->written[1]);
	}
	return true;
}

/* The first chunk that ends above this address. */
static size_t find_chunk(const struct dirty_pages *dirty, uint64_t address)
{
	size_t low = 0, high = dirty->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (dirty->chunks[middle].start + DIRTY_CHUNK_BYTES <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void dirty_pages_count(const struct dirty_pages *dirty, const struct range *part, uint64_t *looked_at, uint64_t *written)
{
	*looked_at = *written = 0;
	for (size_t i = find_chunk(dirty, part->start); i < dirty->count && dirty->chunks[i].start < part->end; i++) {
		for (unsigned word = 0; word < 2; word++) {
			*looked_at += (uint64_t)__builtin_popcountll(dirty->chunks[i].looked_at[word]);
			*written += (uint64_t)__builtin_popcountll(dirty->chunks[i].written[word]);
		}
	}
}

static bool is_written(const struct dirty_pages *dirty, size_t *chunk, uint64_t page)
{
	unsigned bit = (unsigned)(page % DIRTY_CHUNK_BYTES / PAGE_BYTES);

	while (*chunk < dirty->count && dirty->chunks[*chunk].start + DIRTY_CHUNK_BYTES <= page)
		++*chunk;
	return *chunk < dirty->count && dirty->chunks[*chunk].start <= page &&
	       (dirty->chunks[*chunk].written[bit / 64] >> bit % 64 & 1) != 0;
}

bool dirty_pages_next(const struct dirty_pages *dirty, uint64_t from, struct range *run)
{
	size_t chunk = find_chunk(dirty, from);

	while (chunk < dirty->count) {
		from = from < dirty->chunks[chunk].start ? dirty->chunks[chunk].start : from;
		if (is_written(dirty, &chunk, from))
			break;
		from += PAGE_BYTES;
		if (chunk < dirty->count && from >= dirty->chunks[chunk].start + DIRTY_CHUNK_BYTES)
			chunk++;
	}
	if (chunk >= dirty->count)
		return false;
	for (*run = (struct range){ from, from }; is_written(dirty, &chunk, run->end);)
		run->end += PAGE_BYTES;
	return true;
}
