/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges and lists of them. Nothing here relies on an order of the list: Scrim promises none. */
#include "ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "number.h"

/* A bound on what a wrong answer could make this program allocate. */
#define RANGE_LIMIT 65536u

/* Two numbers of 64 bits, with prefix, suffix and the dash. */
#define RANGE_TEXT 64

bool range_parse(const char *text, struct range *range)
{
	char copy[RANGE_TEXT];
	char *dash;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	dash = strchr(copy, '-');
	if (dash == NULL)
		return false;
	*dash = '\0';
	return number_parse(copy, &range->start) && number_parse(dash + 1, &range->end) && range->start < range->end;
}

bool range_overlaps(const struct range *a, const struct range *b)
{
	return a->start < b->end && b->start < a->end;
}

bool ranges_add(struct range_list *list, struct range range)
{
	struct range *items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (items == NULL)
		return false;
	items[list->count++] = range;
	list->items = items;
	return true;
}

void ranges_free(struct range_list *list)
{
	free(list->items);
	*list = (struct range_list){ 0 };
}

uint64_t ranges_end_of_cover(const struct range_list *list, uint64_t from)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < list->count; i++) {
			if (list->items[i].start > from || list->items[i].end <= from)
				continue;
			from = list->items[i].end;
			moved = true;
		}
	}
	return from;
}

bool ranges_cover(const struct range_list *list, const struct range *range)
{
	return ranges_end_of_cover(list, range->start) >= range->end;
}

bool ranges_overlap(const struct range_list *list, const struct range *range)
{
	for (size_t i = 0; i < list->count; i++)
		if (range_overlaps(&list->items[i], range))
			return true;
	return false;
}

void ranges_keep_overlapping(struct range_list *list, const struct range_list *other)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (ranges_overlap(other, &list->items[i]))
			list->items[kept++] = list->items[i];
	list->count = kept;
}

uint64_t ranges_common_bytes(const struct range_list *list, const struct range *range)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct range *item = &list->items[i];
		uint64_t start = item->start > range->start ? item->start : range->start;
		uint64_t end = item->end < range->end ? item->end : range->end;

		bytes += start < end ? end - start : 0;
	}
	return bytes;
}

bool ranges_request(const struct session *session, enum scrim_range kind, struct range_list *list)
{
	while (list->count < RANGE_LIMIT) {
		struct reply reply = request(session, SCRIM_OP_RANGE, list->count, kind);

		if (reply.status == SCRIM_EINVAL)
			return true;
		if (reply.status != SCRIM_OK) {
			explain(session, "reading Scrim's ranges of memory", SCRIM_OP_RANGE, &reply);
			return false;
		}
		if (!ranges_add(list, (struct range){ reply.result0, reply.result1 })) {
			complain(session, "no memory to read Scrim's ranges of memory; free some and try again");
			return false;
		}
	}
	return true;
}
