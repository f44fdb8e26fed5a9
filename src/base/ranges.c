/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the algebra of range lists. A list is normalized when its entries are sorted, none is empty, none overlap and no
 * two neighbours of one type touch. Nothing here needs a second list: a list is too large for the stack, and a shared
 * scratch one would need a lock.
 */
#include "base/ranges.h"
#include "base/str.h"

/* What overlaps becomes what promises less: the higher type, and RAM (1) only where nothing else is said. */
static uint64_t range_rank(uint32_t type)
{
	return type == RANGE_RAM ? 0 : (uint64_t)type + 1;
}

static bool range_touches(const struct range *a, const struct range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool range_overlaps(const struct range *a, const struct range *b)
{
	return a->start < b->end && b->start < a->end;
}

static void ranges_remove(struct range_list *list, uint32_t index)
{
	list->count--;
	memmove(&list->entry[index], &list->entry[index + 1], (list->count - index) * sizeof(list->entry[0]));
}

bool ranges_add(struct range_list *list, uint64_t start, uint64_t end, uint32_t type)
{
	if (start >= end)
		return true;
	if (list->count >= RANGES_MAX)
		return false;
	list->entry[list->count++] = (struct range){ .start = start, .end = end, .type = type };
	return true;
}

/* The entry of an unsorted list that decides the type of the byte at `address`, or NULL. */
static const struct range *ranges_decider(const struct range_list *list, uint64_t address)
{
	const struct range *best = NULL;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct range *entry = &list->entry[i];

		if (address < entry->start || address >= entry->end)
			continue;
		if (best == NULL || range_rank(entry->type) > range_rank(best->type))
			best = entry;
	}
	return best;
}

/* The lowest start or end above `address` in an unsorted list; `address` itself when there is none. */
static uint64_t ranges_next_boundary(const struct range_list *list, uint64_t address)
{
	uint64_t next = UINT64_MAX;
	bool found = false;

	for (uint32_t i = 0; i < list->count; i++) {
		const uint64_t edges[] = { list->entry[i].start, list->entry[i].end };

		for (uint32_t k = 0; k < 2; k++) {
			if (edges[k] > address && edges[k] <= next) {
				next = edges[k];
				found = true;
			}
		}
	}
	return found ? next : address;
}

/* How many entries the normalized form of an unsorted list has; changes nothing. */
static uint32_t ranges_normal_count(const struct range_list *list)
{
	const struct range *before = NULL;
	uint32_t pieces = 0;
	uint64_t at = 0;

	for (;;) {
		const struct range *here = ranges_decider(list, at);
		uint64_t next = ranges_next_boundary(list, at);

		if (next == at)
			return pieces;
		if (here != NULL && (before == NULL || before->type != here->type))
			pieces++;
		before = here;
		at = next;
	}
}

/* Settles entries i and j where that needs no further entry: joins one type, trims or removes the weaker. */
static bool ranges_settle_pair(struct range_list *list, uint32_t i, uint32_t j)
{
	struct range *strong = &list->entry[i];
	struct range *weak = &list->entry[j];

	if (strong->type == weak->type && range_touches(strong, weak)) {
		strong->start = strong->start < weak->start ? strong->start : weak->start;
		strong->end = strong->end > weak->end ? strong->end : weak->end;
		ranges_remove(list, j);
		return true;
	}
	if (range_rank(strong->type) <= range_rank(weak->type) || !range_overlaps(strong, weak))
		return false;
	if (strong->start <= weak->start && strong->end >= weak->end)
		ranges_remove(list, j);
	else if (strong->start <= weak->start)
		weak->start = strong->end;
	else if (strong->end >= weak->end)
		weak->end = strong->start;
	else
		return false;
	return true;
}

static bool ranges_settle_once(struct range_list *list)
{
	bool changed = false;

	for (uint32_t i = 0; i < list->count; i++) {
		for (uint32_t j = 0; j < list->count; j++) {
			if (i != j && ranges_settle_pair(list, i, j)) {
				changed = true;
				break; /* the pair's indices may be stale */
			}
		}
	}
	return changed;
}

/* Cuts one entry around a stronger one inside it. False when there is none left. */
static bool ranges_split_once(struct range_list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		for (uint32_t j = 0; j < list->count; j++) {
			const struct range *inner = &list->entry[i];
			struct range *outer = &list->entry[j];

			if (!range_overlaps(inner, outer) || range_rank(inner->type) <= range_rank(outer->type))
				continue;
			list->entry[list->count++] = (struct range){ inner->end, outer->end, outer->type };
			outer->end = inner->start;
			return true;
		}
	}
	return false;
}

static void ranges_sort(struct range_list *list)
{
	for (uint32_t i = 1; i < list->count; i++) {
		struct range moving = list->entry[i];
		uint32_t k = i;

		for (; k > 0 && list->entry[k - 1].start > moving.start; k--)
			list->entry[k] = list->entry[k - 1];
		list->entry[k] = moving;
	}
}

/*
 * The order bounds the length. When no pair can be settled, every overlap left is a stronger entry strictly inside a
 * weaker one, so each entry owns at least one piece of the result (its first byte), and the weaker of such a pair owns
 * two. Hence a list about to be split is shorter than its result, which was seen to fit.
 */
bool ranges_normalize(struct range_list *list)
{
	if (ranges_normal_count(list) > RANGES_MAX)
		return false;
	do {
		while (ranges_settle_once(list))
			;
	} while (ranges_split_once(list));
	ranges_sort(list);
	return true;
}

/*
 * Entries [first, last) are replaced by what is left of the first one, the new range, and what is left of the last one.
 * Neighbours that touch are taken in when they have the new type, so that they are joined.
 */
bool ranges_set_type(struct range_list *list, uint64_t start, uint64_t end, uint32_t type)
{
	struct range piece[3];
	struct range set = { .start = start, .end = end, .type = type };
	uint32_t first = 0, last, pieces = 0;

	if (start >= end)
		return true;
	while (first < list->count && (list->entry[first].end < start ||
				       (list->entry[first].end == start && list->entry[first].type != type)))
		first++;
	for (last = first; last < list->count && list->entry[last].start <= end; last++) {
		struct range *entry = &list->entry[last];

		if (entry->start == end && entry->type != type)
			break;
		if (entry->type == type) {
			set.start = entry->start < set.start ? entry->start : set.start;
			set.end = entry->end > set.end ? entry->end : set.end;
		}
	}
	if (first < last && list->entry[first].start < set.start)
		piece[pieces++] = (struct range){ list->entry[first].start, start, list->entry[first].type };
	piece[pieces++] = set;
	if (first < last && list->entry[last - 1].end > set.end)
		piece[pieces++] = (struct range){ end, list->entry[last - 1].end, list->entry[last - 1].type };

	if (list->count - (last - first) + pieces > RANGES_MAX)
		return false;
	memmove(&list->entry[first + pieces], &list->entry[last], (list->count - last) * sizeof(piece[0]));
	memcpy(&list->entry[first], piece, pieces * sizeof(piece[0]));
	list->count = list->count - (last - first) + pieces;
	return true;
}

const struct range *ranges_find(const struct range_list *list, uint64_t address)
{
	for (uint32_t i = 0; i < list->count; i++) {
		if (address >= list->entry[i].start && address < list->entry[i].end)
			return &list->entry[i];
	}
	return NULL;
}

bool ranges_contain(const struct range_list *list, uint64_t start, uint64_t end, uint32_t type)
{
	const struct range *entry;

	if (start >= end)
		return true;
	entry = ranges_find(list, start); /* one entry has it all: neighbours of one type are joined */
	return entry != NULL && entry->type == type && entry->end >= end;
}

bool ranges_overlap(const struct range_list *list, uint64_t start, uint64_t end)
{
	const struct range asked = { .start = start, .end = end };

	if (start >= end)
		return false;
	for (uint32_t i = 0; i < list->count; i++) {
		if (range_overlaps(&list->entry[i], &asked))
			return true;
	}
	return false;
}

uint64_t ranges_pages(const struct range_list *list, uint32_t type)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct range *entry = &list->entry[i];
		uint64_t first = (entry->start >> PAGE_SHIFT) + ((entry->start & PAGE_MASK) != 0);
		uint64_t end = entry->end >> PAGE_SHIFT;

		if (entry->type == type && end > first)
			pages += end - first;
	}
	return pages;
}
