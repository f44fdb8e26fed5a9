/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides sorted lists of address ranges with a type: the machine's memory map, the OS's map, ranges free of DMA.
 * Types are those of the E820 map (ACPI 6.5, table 15.4).
 */
#pragma once

#include "base/types.h"

enum range_type {
	RANGE_RAM = 1,
	RANGE_RESERVED = 2,
	RANGE_ACPI = 3,
	RANGE_NVS = 4,
	RANGE_UNUSABLE = 5,
	RANGE_DISABLED = 6,
	RANGE_PMEM = 7,
};

struct range {
	uint64_t start; /* bytes */
	uint64_t end;   /* bytes, excluded */
	uint32_t type;  /* enum range_type; values outside it are kept as the firmware gave them */
};

#define RANGES_MAX 256u

struct range_list {
	uint32_t count;
	struct range entry[RANGES_MAX];
};

/* Adds one range at the end, unsorted. False when the list is full; an empty range is taken and forgotten. */
bool ranges_add(struct range_list *list, uint64_t start, uint64_t end, uint32_t type) MUST_CHECK;

/*
 * Sorts, resolves overlaps (the type that promises less wins: the higher number, RAM last) and joins neighbours of one
 * type. False when the result does not fit; the list is then unchanged.
 */
bool ranges_normalize(struct range_list *list) MUST_CHECK;

/*
 * Makes [start, end) of a normalized list be of `type`, whatever it was, and keeps the list normalized.
 * False when the result does not fit; the list is then unchanged.
 */
bool ranges_set_type(struct range_list *list, uint64_t start, uint64_t end, uint32_t type) MUST_CHECK;

/* The entry that contains `address`, or NULL. Normalized list. */
const struct range *ranges_find(const struct range_list *list, uint64_t address);

/* True when every byte of [start, end) lies in entries of `type`. Normalized list; an empty range is contained. */
bool ranges_contain(const struct range_list *list, uint64_t start, uint64_t end, uint32_t type);

/* True when any byte of [start, end) lies in an entry. Normalized list. */
bool ranges_overlap(const struct range_list *list, uint64_t start, uint64_t end);

/* Sum of the lengths of the entries of `type` in whole pages (each entry is shrunk to page boundaries). */
uint64_t ranges_pages(const struct range_list *list, uint32_t type);
