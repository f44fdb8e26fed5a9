/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the files about one tree of tables share: its entries, by the tree's format. */
#pragma once

#include "xlat/table.h"
#include "xlat/xlat.h"

static inline uint64_t *table_at(const struct xlat *xlat, uint64_t entry)
{
	return xlat->port.page_of(xlat->port.context, entry & TABLE_ADDRESS);
}

/* Of a table of `level`. */
static inline uint64_t entry_of_table(const struct xlat *xlat, const uint64_t *table, uint32_t level)
{
	return xlat->port.machine_of(xlat->port.context, table) | xlat->format->table | level * xlat->format->next_level;
}

/* xlat_nested.c. The memory there is of one type. */
uint64_t type_of_leaf(const struct xlat *xlat, uint64_t address, uint32_t level);

static inline uint64_t leaf(const struct xlat *xlat, uint64_t address, uint32_t level)
{
	const struct xlat_format *format = xlat->format;
	uint64_t entry = address | format->leaf | (level > 1 ? format->large : 0);

	return format->type ? entry | type_of_leaf(xlat, address, level) : entry;
}

static inline bool is_table(const struct xlat *xlat, uint64_t entry, uint32_t level)
{
	const struct xlat_format *format = xlat->format;

	return level > 1 && entry && (format->next_level ? entry & 7 * format->next_level : !(entry & format->large));
}

static inline bool is_present(const struct xlat *xlat, uint64_t entry)
{
	return entry & xlat->format->present;
}

static inline void wrote(const struct xlat *xlat, const void *at, uint64_t bytes)
{
	if (xlat->port.wrote)
		xlat->port.wrote(xlat->port.context, at, bytes);
}

/* Whoever walks sees the entry as it was or as it is, and what it leads to as it was written before. */
static inline void store(const struct xlat *xlat, uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	wrote(xlat, entry, sizeof(*entry));
}
