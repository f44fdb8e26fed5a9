/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides ranges of physical memory: as a user writes them, as Scrim lists them, and how they lie to each other. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "request.h"

#define PAGE_BYTES 4096u

/* Bytes, end excluded. */
struct range {
	uint64_t start, end;
};

/* Zeroed: the empty list. */
struct range_list {
	struct range *items;
	size_t count;
};

/* "A-B" with numbers as number.h reads them, A below B. */
bool range_parse(const char *text, struct range *range) MUST_CHECK;

bool range_overlaps(const struct range *a, const struct range *b);

/* False: no memory. */
bool ranges_add(struct range_list *list, struct range range) MUST_CHECK;
void ranges_free(struct range_list *list);

/* First byte at or above `from` that no range of the list holds. */
uint64_t ranges_end_of_cover(const struct range_list *list, uint64_t from);

/* Whether every byte of `range` is in the list, if need be in several ranges of it. */
bool ranges_cover(const struct range_list *list, const struct range *range);

bool ranges_overlap(const struct range_list *list, const struct range *range);

/* Removes what overlaps no range of `other`. */
void ranges_keep_overlapping(struct range_list *list, const struct range_list *other);

/* Bytes of `range` that are in the list, whose ranges must not overlap. */
uint64_t ranges_common_bytes(const struct range_list *list, const struct range *range);

/* Reads all ranges of a kind from Scrim into an empty list, to be freed in every case. False after a complaint. */
bool ranges_request(const struct session *session, enum scrim_range kind, struct range_list *list) MUST_CHECK;
