/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the way back from tables of 4 KiB entries to the large leaf: tidy(), when nobody walks the tables and nothing needs a flush; or, for CPUs,
 * tree_merge_begin() and tree_merge_end(), where a portion is locked again, with the caller's flush between them.
 */
#include "xlat/nested_table.h"

/* Every entry says Identity, and its page may be written. */
static bool is_identity_table(const struct xlat *xlat, const uint64_t *table, uint64_t start)
{
	const uint64_t looked_at = TABLE_ADDRESS | xlat->format->leaf | xlat->format->type;

	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		if ((table[i] & looked_at) != leaf(xlat, start + (i << table_shift(1)), 1))
			return false;
	return true;
}

/* The entry of the 2 MiB at `address` if a table hangs there, else NULL. */
static uint64_t *table_entry_of_2m(const struct xlat *xlat, uint64_t address)
{
	uint64_t *table = table_at(xlat, xlat->root);

	for (uint32_t level = TABLE_LEVELS; level > 2; level--) {
		uint64_t entry = table[table_index(address, level)];
		if (!is_table(xlat, entry, level))
			return NULL;
		table = table_at(xlat, entry);
	}
	uint64_t *entry = &table[table_index(address, 2)];
	return is_table(xlat, *entry, 2) ? entry : NULL;
}

/* Whole 2 MiB pieces of [start, end): others belong to another portion as well. Directories stay until tidy(). */
bool tree_merge_begin(struct xlat *xlat, uint64_t start, uint64_t end)
{
	bool any = false;

	for (uint64_t at = align_up(start, MIB(2)); at + MIB(2) <= end; at += MIB(2)) {
		uint64_t *entry = table_entry_of_2m(xlat, at);
		if (!entry || tree_must_be_split(xlat, at, 2) || !is_identity_table(xlat, table_at(xlat, *entry), at))
			continue;
		store(xlat, entry, *entry & ~xlat->format->present);
		any = true;
	}
	return any;
}

void tree_merge_end(struct xlat *xlat, uint64_t start, uint64_t end)
{
	for (uint64_t at = align_up(start, MIB(2)); at + MIB(2) <= end; at += MIB(2)) {
		uint64_t *entry = table_entry_of_2m(xlat, at);
		if (!entry || is_present(xlat, *entry))
			continue;
		uint64_t *table = table_at(xlat, *entry);
		store(xlat, entry, leaf(xlat, at, 2));
		tree_give_table(xlat, table);
		if (at / MIB(2) < xlat->near_count)
			xlat->near[at / MIB(2)] = 0;
	}
}

static void tidy_directory(struct xlat *xlat, uint64_t *directory, uint64_t start)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(2));
		if (!is_table(xlat, directory[i], 2) || tree_must_be_split(xlat, address, 2))
			continue;
		tree_give_table(xlat, table_at(xlat, directory[i]));
		store(xlat, &directory[i], leaf(xlat, address, 2));
	}
}

static void tidy_512g(struct xlat *xlat, uint64_t *pointers, uint64_t start)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(3));
		if (!is_table(xlat, pointers[i], 3))
			continue;
		uint64_t *directory = table_at(xlat, pointers[i]);
		tidy_directory(xlat, directory, address);
		if (tree_must_be_split(xlat, address, 3))
			continue;
		tree_give_table(xlat, directory);
		store(xlat, &pointers[i], leaf(xlat, address, 3));
	}
}

void tree_tidy(struct xlat *xlat)
{
	if (!xlat->root || xlat->table_count == xlat->built_count)
		return;
	tree_drop_spares(xlat);
	tree_forget_near(xlat);
	uint64_t *top = table_at(xlat, xlat->root);
	for (uint32_t i = 0; i < TABLE_ENTRIES && top[i]; i++)
		tidy_512g(xlat, table_at(xlat, top[i]), (uint64_t)i << table_shift(4));
}

