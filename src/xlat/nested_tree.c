/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the shape of the nested back-end's tables at rest: the Identity tree, built with the largest entries that each place allows, and given back.
 */
#include "base/str.h"
#include "xlat/nested_table.h"

#define FIRST_2M MIB(2) /* fixed-range MTRRs: several memory types below 1 MiB (APM vol. 2, 7.7.2) */
#define BITS_WITHOUT_1G 40u /* one page directory a GiB: 4 MiB of tables at most */

uint64_t *tree_take_table(struct xlat *xlat)
{
	uint64_t *table = xlat->port.table_alloc(xlat->port.context);

	if (table)
		xlat->table_count++;
	return table;
}

void tree_give_table(struct xlat *xlat, void *table)
{
	xlat->port.table_free(xlat->port.context, table);
	xlat->table_count--;
}

static enum memory_type memory_type(const struct xlat *xlat, uint64_t address, uint32_t level)
{
	return xlat->port.memory_type(xlat->port.context, address, 1ull << table_shift(level));
}

/* By the machine address: whoever reaches a frame, by whatever page, reaches it as the same type, Scrim too. */
uint64_t type_of_leaf(const struct xlat *xlat, uint64_t address, uint32_t level)
{
	return memory_type(xlat, address, level) * (xlat->format->type & -xlat->format->type);
}

static bool is_in_hole(const struct xlat_format *format, uint64_t address)
{
	return format->apart_is_hole && address >= format->apart_start && address < format->apart_end;
}

static bool meets_own_hole(const struct xlat *xlat, uint64_t start, uint64_t end)
{
	return xlat->hole_start < end && xlat->hole_end > start;
}

void tree_fill_identity(const struct xlat *xlat, uint64_t *table, uint64_t start, uint32_t level)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(level - 1));
		table[i] = is_in_hole(xlat->format, address) ? 0 : leaf(xlat, address, level - 1);
	}
	wrote(xlat, table, PAGE_SIZE);
}

bool tree_must_be_split(const struct xlat *xlat, uint64_t start, uint32_t level)
{
	uint64_t end = start + (1ull << table_shift(level));
	const struct xlat_format *format = xlat->format;

	if (level == 1)
		return false;
	if (level == 3 && (!xlat->has_1g || meets_own_hole(xlat, start, end)))
		return true;
	if (start < FIRST_2M || (format->apart_start < end && format->apart_end > start))
		return true;
	for (uint32_t i = 0; i < xlat->boundary_count; i++)
		if (xlat->boundary[i] > start && xlat->boundary[i] < end)
			return true;
	return format->type && memory_type(xlat, start, level) == MEMORY_MIXED;
}

/* Fills a page directory (2 MiB entries) for the GiB at `start`, and page tables where it must be split. */
static bool build_directory(struct xlat *xlat, uint64_t *directory, uint64_t start)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(2));
		if (meets_own_hole(xlat, address, address + MIB(2)))
			continue;
		if (!tree_must_be_split(xlat, address, 2)) {
			directory[i] = leaf(xlat, address, 2);
			continue;
		}
		uint64_t *table = tree_take_table(xlat);
		if (!table)
			return false;
		tree_fill_identity(xlat, table, address, 2);
		directory[i] = entry_of_table(xlat, table, 1);
	}
	wrote(xlat, directory, PAGE_SIZE);
	return true;
}

static bool build_512g(struct xlat *xlat, uint64_t *pointers, uint64_t start, uint64_t end)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES && start + (i << table_shift(3)) < end; i++) {
		uint64_t address = start + (i << table_shift(3));
		if (!tree_must_be_split(xlat, address, 3)) {
			pointers[i] = leaf(xlat, address, 3);
			continue;
		}
		uint64_t *directory = tree_take_table(xlat);
		if (!directory)
			return false;
		pointers[i] = entry_of_table(xlat, directory, 2);
		if (!build_directory(xlat, directory, address))
			return false;
	}
	wrote(xlat, pointers, PAGE_SIZE);
	return true;
}

void tree_drop_spares(struct xlat *xlat)
{
	while (xlat->spare) {
		void *page = xlat->spare;
		memcpy(&xlat->spare, page, sizeof(xlat->spare));
		tree_give_table(xlat, page);
	}
	xlat->spare_count = xlat->promised = 0;
}

void tree_forget_near(struct xlat *xlat)
{
	if (xlat->near)
		memset(xlat->near, 0, xlat->near_count * sizeof(*xlat->near));
}

static void drop_directory(struct xlat *xlat, uint64_t *directory)
{
	for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
		if (is_table(xlat, directory[i], 2))
			tree_give_table(xlat, table_at(xlat, directory[i]));
	tree_give_table(xlat, directory);
}

void tree_drop(struct xlat *xlat)
{
	if (!xlat->root)
		return;
	uint64_t *top = table_at(xlat, xlat->root);
	for (uint32_t i = 0; i < TABLE_ENTRIES && top[i]; i++) {
		uint64_t *pointers = table_at(xlat, top[i]);
		for (uint32_t j = 0; j < TABLE_ENTRIES; j++)
			if (is_table(xlat, pointers[j], 3))
				drop_directory(xlat, table_at(xlat, pointers[j]));
		tree_give_table(xlat, pointers);
	}
	tree_give_table(xlat, top);
	tree_drop_spares(xlat);
	tree_forget_near(xlat);
	xlat->root = 0;
}

bool tree_build(struct xlat *xlat)
{
	uint32_t bits = xlat->has_1g ? TREE_BITS_MAX : BITS_WITHOUT_1G;
	uint64_t end = 1ull << (xlat->address_bits < bits ? xlat->address_bits : bits);
	uint64_t *top = tree_take_table(xlat);

	if (!top)
		return false;
	xlat->root = xlat->port.machine_of(xlat->port.context, top);
	for (uint64_t start = 0; start < end; start += 1ull << table_shift(4)) {
		uint64_t *pointers = tree_take_table(xlat);
		if (pointers)
			top[table_index(start, 4)] = entry_of_table(xlat, pointers, 3);
		if (!pointers || !build_512g(xlat, pointers, start, end)) {
			tree_drop(xlat);
			return false;
		}
	}
	wrote(xlat, top, PAGE_SIZE);
	xlat->built_count = xlat->table_count;
	return true;
}

