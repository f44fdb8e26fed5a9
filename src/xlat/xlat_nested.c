/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nested back-end: the hardware composes the OS's V2P with these P2M tables (AMD APM vol. 2, 15.25; Intel SDM vol. 3, 28.3). In another
 * format, IOMMUs walk such tables for what devices ask.
 *
 * Owns the tables. Invariant: an entry that CPUs can walk is changed from one size to another only by way of absence and a flush
 * ("break before make"):
 *
 *     large leaf --set(absent)--> detached table (not present) --[caller flushes]--> set(present) --> linked table
 *
 * A detached entry keeps its table's address with the present bit off; the CPU ignores all other bits of such an entry.
 * Devices cannot be made to wait: for them prepare() puts an Identity table where the Identity leaf was, in one store (xlat_format's in_place).
 * A page's entry is looked for by a walk of four levels until its table is linked; xlat->near has the table's address from then on.
 *
 * nested_tree.c builds the tables, nested_merge.c goes back to the large leaf.
 */
#include "base/str.h"
#include "xlat/nested_table.h"

/* The table with the page's entry where it is known, else NULL. Takes the list apart: loops keep it in registers. */
static inline uint64_t *near_table(const uint64_t *near, uint64_t near_count, gfn_t page)
{
	uint64_t chunk = page.n / TABLE_ENTRIES;

	return chunk < near_count ? (uint64_t *)(uintptr_t)near[chunk] : NULL;
}

/* The lowest entry that exists for `address`; *level says which. NULL: beyond what was built. */
static uint64_t *find_entry(const struct xlat *xlat, uint64_t address, uint32_t *level)
{
	uint64_t *table = table_at(xlat, xlat->root);

	if (address >> TREE_BITS_MAX)
		return NULL;
	for (*level = TABLE_LEVELS;; --*level) {
		uint64_t *entry = &table[table_index(address, *level)];
		if (!is_table(xlat, *entry, *level))
			return *entry ? entry : NULL;
		table = table_at(xlat, *entry);
	}
}

static uint64_t *take_spare(struct xlat *xlat)
{
	void *page = xlat->spare; /* prepare() promised it */

	memcpy(&xlat->spare, page, sizeof(xlat->spare));
	xlat->spare_count--;
	if (xlat->promised > 0)
		xlat->promised--;
	return page;
}

/*
 * Replaces the large leaf at `entry` by tables down to 4 KiB entries, Identity like the leaf. Unless it is done in place they are detached:
 * nothing of it can be walked until the entry is linked, which is the caller's next set() after its flush.
 */
static void split(struct xlat *xlat, uint64_t *entry, uint32_t level, uint64_t address)
{
	uint64_t *top_table = take_spare(xlat), *table = top_table;

	tree_fill_identity(xlat, table, align_down(address, 1ull << table_shift(level)), level);
	for (uint32_t below = level - 1; below > 1; below--) {
		uint64_t *next = take_spare(xlat);
		tree_fill_identity(xlat, next, align_down(address, 1ull << table_shift(below)), below);
		store(xlat, &table[table_index(address, below)], entry_of_table(xlat, next, below - 1));
		table = next;
	}
	store(xlat, entry, entry_of_table(xlat, top_table, level - 1) & ~(xlat->format->in_place ? 0 : xlat->format->present));
}

static void keep_near(struct xlat *xlat, gfn_t page, const uint64_t *entry)
{
	if (page.n / TABLE_ENTRIES < xlat->near_count)
		xlat->near[page.n / TABLE_ENTRIES] = align_down((uint64_t)(uintptr_t)entry, PAGE_SIZE);
}

/* Tables for `page`, beside those that are promised already. */
static bool take_spares(struct xlat *xlat, uint32_t count)
{
	while (xlat->spare_count < xlat->promised + count) {
		void *table = tree_take_table(xlat);
		if (!table) {
			tree_drop_spares(xlat); /* what was prepared along with this page is given up, too */
			return false;
		}
		memcpy(table, &xlat->spare, sizeof(xlat->spare));
		xlat->spare = table;
		xlat->spare_count++;
	}
	xlat->promised += count;
	return true;
}

/* Two pages may be prepared before the first is set. Where they turn out to be of one large entry, a spare page is left for the next. */
static bool prepare(struct xlat *xlat, gfn_t page)
{
	uint32_t level;
	uint64_t *entry;

	if (near_table(xlat->near, xlat->near_count, page))
		return true;
	entry = find_entry(xlat, gfn_address(page), &level);
	if (!entry || !take_spares(xlat, level - 1))
		return false;
	if (xlat->format->in_place) {
		if (level > 1)
			split(xlat, entry, level, gfn_address(page));
		keep_near(xlat, page, find_entry(xlat, gfn_address(page), &level));
	}
	return true;
}

/* Links every detached table on the way to `address`: the flush since split() is the caller's promise. */
static void link_tables(struct xlat *xlat, uint64_t address)
{
	uint64_t *table = table_at(xlat, xlat->root);

	for (uint32_t level = TABLE_LEVELS; level > 1; level--) {
		uint64_t *entry = &table[table_index(address, level)];
		if (!is_table(xlat, *entry, level))
			return;
		if (!is_present(xlat, *entry))
			store(xlat, entry, *entry | xlat->format->present);
		table = table_at(xlat, *entry);
	}
}

/* The entry of 4 KiB for `address`, with the large leaf there detached. */
static uint64_t *reach_entry(struct xlat *xlat, uint64_t address)
{
	uint32_t level;
	uint64_t *entry = find_entry(xlat, address, &level);

	if (level > 1) {
		split(xlat, entry, level, address);
		entry = find_entry(xlat, address, &level);
	} else {
		xlat->promised = 0; /* of two prepared pages the other one took it apart: nothing is left to come */
	}
	return entry;
}

/* Of an entry that is absent. */
static uint64_t absent_bits(const struct xlat *xlat) { return xlat->format->leaf & ~xlat->format->present; }

static void set(struct xlat *xlat, gfn_t page, mfn_t frame, enum mem_access access)
{
	uint64_t *near = near_table(xlat->near, xlat->near_count, page);
	uint64_t *entry = near ? &near[page.n % TABLE_ENTRIES] : reach_entry(xlat, gfn_address(page));

	if (access == MEM_ACCESS_NONE) {
		store(xlat, entry, mfn_address(frame) | absent_bits(xlat));
		return;
	}
	store(xlat, entry, leaf(xlat, mfn_address(frame), 1) & ~(access == MEM_ACCESS_ALL ? 0 : xlat->format->write));
	if (near)
		return;
	link_tables(xlat, gfn_address(page));
	keep_near(xlat, page, entry);
}

/* The loops below write without asking whether somebody wants to know of it, and without a memory type. */
static uint64_t near_for_many(const struct xlat *xlat)
{
	return xlat->port.wrote || xlat->format->type ? 0 : xlat->near_count;
}

static void hide(struct xlat *xlat, const struct mem_move *move, uint32_t count)
{
	const uint64_t *const near = xlat->near, near_count = near_for_many(xlat), bits = absent_bits(xlat);

	for (const struct mem_move *end = move + count; move < end; move++) {
		gfn_t page = move->page;
		uint64_t *table = near_table(near, near_count, page);

		if (table)
			__atomic_store_n(&table[page.n % TABLE_ENTRIES], mfn_address(move->from) | bits, __ATOMIC_RELEASE);
		else
			set(xlat, move->page, move->from, MEM_ACCESS_NONE);
	}
}

static void show(struct xlat *xlat, const struct mem_move *move, uint32_t count)
{
	const uint64_t *const near = xlat->near, near_count = near_for_many(xlat), bits = xlat->format->leaf;

	for (const struct mem_move *end = move + count; move < end; move++) {
		gfn_t page = move->page;
		uint64_t *table = near_table(near, near_count, page);

		if (table)
			__atomic_store_n(&table[page.n % TABLE_ENTRIES], mfn_address(move->to) | bits, __ATOMIC_RELEASE);
		else
			set(xlat, move->page, move->to, MEM_ACCESS_ALL);
	}
}

static void release(struct xlat *xlat, gfn_t page)
{
	(void)page; /* merged by tidy(), when it costs no flush */
	tree_drop_spares(xlat);
}

/* As a CPU walks: what lies below a detached table is absent, whatever its entry says. */
static bool get(const struct xlat *xlat, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	uint32_t level = TABLE_LEVELS;
	uint64_t address = gfn_address(page), entry, rights = xlat->format->write;
	const uint64_t *table = table_at(xlat, xlat->root);

	if (address >> TREE_BITS_MAX)
		return false;
	while (is_present(xlat, entry = table[table_index(address, level)]) && is_table(xlat, entry, level)) {
		table = table_at(xlat, entry);
		rights &= entry;
		level--;
	}
	if (!is_present(xlat, entry))
		return false;
	uint64_t size = 1ull << table_shift(level);
	*frame = mfn_of_address(align_down(entry & TABLE_ADDRESS, size) | (address & (size - 1)));
	*access = entry & rights ? MEM_ACCESS_ALL : MEM_ACCESS_READ;
	return true;
}

const struct xlat_ops xlat_nested = {
	.id = SCRIM_BACKEND_NESTED,
	.name = "nested",
	.build = tree_build,
	.drop = tree_drop,
	.prepare = prepare,
	.set = set,
	.hide = hide,
	.show = show,
	.release = release,
	.get = get,
	.merge_begin = tree_merge_begin,
	.merge_end = tree_merge_end,
	.tidy = tree_tidy,
};
