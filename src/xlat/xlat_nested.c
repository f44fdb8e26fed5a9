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
 * Going back to the large leaf is left to tidy(), when nobody walks the tables and nothing needs a flush; or, for CPUs, to merge_begin() and
 * merge_end(), where a portion is locked again, with the caller's flush between them.
 */
#include "base/str.h"
#include "xlat/nested_table.h"

#define FIRST_2M MIB(2) /* fixed-range MTRRs: several memory types below 1 MiB (APM vol. 2, 7.7.2) */
#define BITS_WITHOUT_1G 40u /* one page directory a GiB: 4 MiB of tables at most */
#define BITS_MAX 48u        /* what four levels translate */

static uint64_t *take_table(struct xlat *xlat)
{
	uint64_t *table = xlat->port.table_alloc(xlat->port.context);

	if (table)
		xlat->table_count++;
	return table;
}

static void give_table(struct xlat *xlat, void *table)
{
	xlat->port.table_free(xlat->port.context, table);
	xlat->table_count--;
}

/* The table with the page's entry where it is known, else NULL. Takes the list apart: loops keep it in registers. */
static inline uint64_t *near_table(const uint64_t *near, uint64_t near_count, gfn_t page)
{
	uint64_t chunk = page.n / TABLE_ENTRIES;

	return chunk < near_count ? (uint64_t *)(uintptr_t)near[chunk] : NULL;
}

/* Tables go: every way is looked for anew. */
static void forget_near(struct xlat *xlat)
{
	if (xlat->near)
		memset(xlat->near, 0, xlat->near_count * sizeof(*xlat->near));
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

/* Fills `table`, of the level below `level`, with Identity leaves for [start, start + size of the entry). */
static void fill_identity(const struct xlat *xlat, uint64_t *table, uint64_t start, uint32_t level)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(level - 1));
		table[i] = is_in_hole(xlat->format, address) ? 0 : leaf(xlat, address, level - 1);
	}
	wrote(xlat, table, PAGE_SIZE);
}

/* True when one entry of `level` at `start` would mix memory types or take away what is to be apart. */
static bool must_be_split(const struct xlat *xlat, uint64_t start, uint32_t level)
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
		if (meets_own_hole(xlat, address, address + FIRST_2M))
			continue;
		if (!must_be_split(xlat, address, 2)) {
			directory[i] = leaf(xlat, address, 2);
			continue;
		}
		uint64_t *table = take_table(xlat);
		if (!table)
			return false;
		fill_identity(xlat, table, address, 2);
		directory[i] = entry_of_table(xlat, table, 1);
	}
	wrote(xlat, directory, PAGE_SIZE);
	return true;
}

static bool build_512g(struct xlat *xlat, uint64_t *pointers, uint64_t start, uint64_t end)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES && start + (i << table_shift(3)) < end; i++) {
		uint64_t address = start + (i << table_shift(3));
		if (!must_be_split(xlat, address, 3)) {
			pointers[i] = leaf(xlat, address, 3);
			continue;
		}
		uint64_t *directory = take_table(xlat);
		if (!directory)
			return false;
		pointers[i] = entry_of_table(xlat, directory, 2);
		if (!build_directory(xlat, directory, address))
			return false;
	}
	wrote(xlat, pointers, PAGE_SIZE);
	return true;
}

static void drop_spares(struct xlat *xlat)
{
	while (xlat->spare) {
		void *page = xlat->spare;
		memcpy(&xlat->spare, page, sizeof(xlat->spare));
		give_table(xlat, page);
	}
	xlat->spare_count = xlat->promised = 0;
}

static void drop_directory(struct xlat *xlat, uint64_t *directory)
{
	for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
		if (is_table(xlat, directory[i], 2))
			give_table(xlat, table_at(xlat, directory[i]));
	give_table(xlat, directory);
}

static void drop(struct xlat *xlat)
{
	if (!xlat->root)
		return;
	uint64_t *top = table_at(xlat, xlat->root);
	for (uint32_t i = 0; i < TABLE_ENTRIES && top[i]; i++) {
		uint64_t *pointers = table_at(xlat, top[i]);
		for (uint32_t j = 0; j < TABLE_ENTRIES; j++)
			if (is_table(xlat, pointers[j], 3))
				drop_directory(xlat, table_at(xlat, pointers[j]));
		give_table(xlat, pointers);
	}
	give_table(xlat, top);
	drop_spares(xlat);
	forget_near(xlat);
	xlat->root = 0;
}

static bool build(struct xlat *xlat)
{
	uint32_t bits = xlat->has_1g ? BITS_MAX : BITS_WITHOUT_1G;
	uint64_t end = 1ull << (xlat->address_bits < bits ? xlat->address_bits : bits);
	uint64_t *top = take_table(xlat);

	if (!top)
		return false;
	xlat->root = xlat->port.machine_of(xlat->port.context, top);
	for (uint64_t start = 0; start < end; start += 1ull << table_shift(4)) {
		uint64_t *pointers = take_table(xlat);
		if (pointers)
			top[table_index(start, 4)] = entry_of_table(xlat, pointers, 3);
		if (!pointers || !build_512g(xlat, pointers, start, end)) {
			drop(xlat);
			return false;
		}
	}
	wrote(xlat, top, PAGE_SIZE);
	xlat->built_count = xlat->table_count;
	return true;
}

/* The lowest entry that exists for `address`; *level says which. NULL: beyond what was built. */
static uint64_t *find_entry(const struct xlat *xlat, uint64_t address, uint32_t *level)
{
	uint64_t *table = table_at(xlat, xlat->root);

	if (address >> BITS_MAX)
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

	fill_identity(xlat, table, align_down(address, 1ull << table_shift(level)), level);
	for (uint32_t below = level - 1; below > 1; below--) {
		uint64_t *next = take_spare(xlat);
		fill_identity(xlat, next, align_down(address, 1ull << table_shift(below)), below);
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
		void *table = take_table(xlat);
		if (!table) {
			drop_spares(xlat); /* what was prepared along with this page is given up, too */
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
	drop_spares(xlat);
}

/* As a CPU walks: what lies below a detached table is absent, whatever its entry says. */
static bool get(const struct xlat *xlat, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	uint32_t level = TABLE_LEVELS;
	uint64_t address = gfn_address(page), entry, rights = xlat->format->write;
	const uint64_t *table = table_at(xlat, xlat->root);

	if (address >> BITS_MAX)
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
static bool merge_begin(struct xlat *xlat, uint64_t start, uint64_t end)
{
	bool any = false;

	for (uint64_t at = align_up(start, FIRST_2M); at + FIRST_2M <= end; at += FIRST_2M) {
		uint64_t *entry = table_entry_of_2m(xlat, at);
		if (!entry || must_be_split(xlat, at, 2) || !is_identity_table(xlat, table_at(xlat, *entry), at))
			continue;
		store(xlat, entry, *entry & ~xlat->format->present);
		any = true;
	}
	return any;
}

static void merge_end(struct xlat *xlat, uint64_t start, uint64_t end)
{
	for (uint64_t at = align_up(start, FIRST_2M); at + FIRST_2M <= end; at += FIRST_2M) {
		uint64_t *entry = table_entry_of_2m(xlat, at);
		if (!entry || is_present(xlat, *entry))
			continue;
		uint64_t *table = table_at(xlat, *entry);
		store(xlat, entry, leaf(xlat, at, 2));
		give_table(xlat, table);
		if (at / FIRST_2M < xlat->near_count)
			xlat->near[at / FIRST_2M] = 0;
	}
}

static void tidy_directory(struct xlat *xlat, uint64_t *directory, uint64_t start)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = start + (i << table_shift(2));
		if (!is_table(xlat, directory[i], 2) || must_be_split(xlat, address, 2))
			continue;
		give_table(xlat, table_at(xlat, directory[i]));
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
		if (must_be_split(xlat, address, 3))
			continue;
		give_table(xlat, directory);
		store(xlat, &pointers[i], leaf(xlat, address, 3));
	}
}

static void tidy(struct xlat *xlat)
{
	if (!xlat->root || xlat->table_count == xlat->built_count)
		return;
	drop_spares(xlat);
	forget_near(xlat);
	uint64_t *top = table_at(xlat, xlat->root);
	for (uint32_t i = 0; i < TABLE_ENTRIES && top[i]; i++)
		tidy_512g(xlat, table_at(xlat, top[i]), (uint64_t)i << table_shift(4));
}

const struct xlat_ops xlat_nested = {
	.id = SCRIM_BACKEND_NESTED,
	.name = "nested",
	.build = build,
	.drop = drop,
	.prepare = prepare,
	.set = set,
	.hide = hide,
	.show = show,
	.release = release,
	.get = get,
	.merge_begin = merge_begin,
	.merge_end = merge_end,
	.tidy = tidy,
};
