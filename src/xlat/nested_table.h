/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the files about one tree of tables share: its entries, by the tree's format. */
#pragma once

#include "xlat/table.h"
#include "xlat/xlat.h"

#define TREE_BITS_MAX 48u /* what four levels translate */

static inline uint64_t *table_at(const struct xlat *xlat, uint64_t entry)
{
	return xlat->port.page_of(xlat->port.context, entry & TABLE_ADDRESS);
}

/* Of a table of `level`. */
static inline uint64_t entry_of_table(const struct xlat *xlat, const uint64_t *table, uint32_t level)
{
	return xlat->port.machine_of(xlat->port.context, table) | xlat->format->table | level * xlat->format->next_level;
}

/* nested_tree.c. The memory there is of one type. */
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

/* --- nested_tree.c --- */

/* xlat.h's build() and drop(). */
bool tree_build(struct xlat *xlat);
void tree_drop(struct xlat *xlat);

/* A zeroed table, counted, or NULL. */
uint64_t *tree_take_table(struct xlat *xlat);
void tree_give_table(struct xlat *xlat, void *table);
/* Those that prepare() took and set() has not used. */
void tree_drop_spares(struct xlat *xlat);

/* Fills `table`, of the level below `level`, with Identity leaves for [start, start + size of the entry). */
void tree_fill_identity(const struct xlat *xlat, uint64_t *table, uint64_t start, uint32_t level);
/* One entry of `level` at `start` would mix memory types or take away what is to be apart. */
bool tree_must_be_split(const struct xlat *xlat, uint64_t start, uint32_t level);
/* Tables go: every way is looked for anew. */
void tree_forget_near(struct xlat *xlat);

/* --- nested_merge.c: xlat.h's --- */

bool tree_merge_begin(struct xlat *xlat, uint64_t start, uint64_t end);
void tree_merge_end(struct xlat *xlat, uint64_t start, uint64_t end);
void tree_tidy(struct xlat *xlat);
