/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. The right to write is that of every entry on the way (AMD APM vol. 2, 15.25.5): taken from the entries of the root it is taken
 * from all. To give it back for one piece, an entry on the way that lacks it hands the lack down first: all entries of its table lose the
 * right, which changes nothing while the entry itself lacks it, then the entry gets it. So whoever walks meanwhile never finds more than
 * was allowed before or is afterwards. Where an entry lacks the right, what lies below it has not been looked at since xlat_protect().
 *
 * A large entry that has to be taken apart goes by way of absence as everywhere (xlat_nested.c); its pieces lack the right.
 */
#include "xlat/xlat_protect.h"

#include "xlat/nested_table.h"

static void take_right(const struct xlat *xlat, uint64_t *table)
{
	for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
		if (table[i] & xlat->format->write)
			store(xlat, &table[i], table[i] & ~xlat->format->write);
}

void xlat_protect(struct xlat *xlat)
{
	take_right(xlat, table_at(xlat, xlat->root));
}

/* Its table is in reach and may be written as far as this entry is concerned. Returns the table. */
static uint64_t *open_entry(const struct xlat *xlat, uint64_t *entry)
{
	uint64_t *table = table_at(xlat, *entry);

	if (!(*entry & xlat->format->write))
		take_right(xlat, table);
	if (!is_present(xlat, *entry) || !(*entry & xlat->format->write))
		store(xlat, entry, *entry | xlat->format->present | xlat->format->write);
	return table;
}

/* Puts `table` where the large entry is, out of reach until open_entry(). */
static void take_apart(struct xlat *xlat, uint64_t *entry, uint32_t level, uint64_t *table)
{
	uint64_t start = align_down(*entry & TABLE_ADDRESS, 1ull << table_shift(level));

	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		table[i] = leaf(xlat, start + (i << table_shift(level - 1)), level - 1) & ~xlat->format->write;
	xlat->table_count++;
	store(xlat, entry, entry_of_table(xlat, table, level - 1) & ~xlat->format->present);
}

enum xlat_allow xlat_allow(struct xlat *xlat, gfn_t page, uint32_t level, void *table)
{
	uint64_t address = gfn_address(page), *at = table_at(xlat, xlat->root), *entry;
	uint32_t now = TABLE_LEVELS;

	for (;; now--) {
		entry = &at[table_index(address, now)];
		if (!is_table(xlat, *entry, now))
			break;
		at = open_entry(xlat, entry);
	}
	if (now <= level) {
		store(xlat, entry, *entry | xlat->format->write);
		return XLAT_ALLOWED;
	}
	if (!table)
		return now == 2 ? XLAT_NEEDS_TABLE : XLAT_NEEDS_DIRECTORY;
	take_apart(xlat, entry, now, table);
	return XLAT_BROKEN;
}

/* What the map says of each of 512 pages. */
static void give_rights(const struct xlat *xlat, uint64_t *table, gfn_t first)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		if (is_present(xlat, table[i]) && !(table[i] & xlat->format->write) &&
		    xlat->port.access(xlat->port.context, gfn(first.n + i)) == MEM_ACCESS_ALL)
			store(xlat, &table[i], table[i] | xlat->format->write);
}

void xlat_allow_chunk(struct xlat *xlat, gfn_t page)
{
	uint64_t address = gfn_address(page), *at = table_at(xlat, xlat->root), *entry = NULL;

	for (uint32_t now = TABLE_LEVELS; now > 1; now--) {
		entry = &at[table_index(address, now)];
		if (!is_table(xlat, *entry, now))
			return; /* large: its first write asks for it */
		at = open_entry(xlat, entry);
	}
	give_rights(xlat, at, gfn(align_down(page.n, TABLE_ENTRIES)));
}

/* One table of `level` from which xlat_allow() may have handed rights on. */
static void unprotect(const struct xlat *xlat, uint64_t *table, uint32_t level, uint64_t start)
{
	if (level == 1) {
		give_rights(xlat, table, gfn_of_address(start));
		return;
	}
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		if (!table[i])
			continue;
		if (!(table[i] & xlat->format->write))
			store(xlat, &table[i], table[i] | xlat->format->write);
		else if (is_table(xlat, table[i], level))
			unprotect(xlat, table_at(xlat, table[i]), level - 1, start + (i << table_shift(level)));
	}
}

void xlat_unprotect(struct xlat *xlat)
{
	unprotect(xlat, table_at(xlat, xlat->root), TABLE_LEVELS, 0);
}
