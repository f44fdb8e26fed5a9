/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an OS does with its tables, and relies on: a flush shows the new entry; bits are set again after they were cleared; tables are mapped,
 * map themselves, serve on two levels and in two address spaces; pages have several names; large pages are split and merged.
 *
 * What an OS may not rely on, an old entry after a change without a flush, is not looked at.
 */
#include "paging.h"

#define WINDOW 0x155u   /* an index that nothing else uses: where a table maps itself */
#define OTHER 7u        /* so many pages behind the test address lies another */
#define SECOND_ROOT (&arena.spare[MODEL_LEVELS_MAX - 1])

static uint64_t page_after(uint32_t pages)
{
	return mode_address() + pages * PAGE_SIZE;
}

static uint64_t frame_entry(uint32_t frame, uint64_t flags)
{
	return address_of(&arena.frames[frame]) | flags;
}

static void entry_set(uint64_t address, uint32_t level, uint64_t value)
{
	table_set(mode_table(level), mode_index(address, level), value);
}

static uint64_t entry_get(uint64_t address, uint32_t level)
{
	return table_get(mode_table(level), mode_index(address, level));
}

static void table_copy(union table *to, const union table *from)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(to->narrow); i++)
		to->narrow[i] = from->narrow[i];
}

static void table_clear(union table *table)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(table->narrow); i++)
		table->narrow[i] = 0;
}

/* --- flushes --------------------------------------------------------------------------------------------------------- */

enum flush { FLUSH_INVLPG, FLUSH_CR3, FLUSH_GLOBAL, FLUSH_PAGING, FLUSH_COUNT };

static void flush_by(enum flush flush, uint64_t address)
{
	switch (flush) {
	case FLUSH_INVLPG:
		mode_flush(address);
		return;
	case FLUSH_CR3:
		cr3_write(cr3_read());
		return;
	case FLUSH_GLOBAL:
		cr4_write(cr4_read() & ~CR4_PGE);
		cr4_write(cr4_read() | CR4_PGE);
		/* PAE's top level is loaded with CR3 (APM vol. 2, 5.2.3). */
		if (mode_now() == MODE_PAE)
			cr3_write(cr3_read());
		return;
	default:
		mode_enter(mode_now());
	}
}

static void use(uint64_t page)
{
	probe_page(PROBE_READ, page);
	probe_page(PROBE_USER_WRITE, page);
	probe_page(PROBE_FETCH, page);
}

/* The entry of one level is made to lead to another frame, then back, flushed each time and used. */
static void flush_of_level(enum flush flush, uint32_t level, uint64_t flags)
{
	uint64_t page = mode_address(), old;

	mode_make_path(1, ENTRY_ALL);
	/* Another table with the same paths, but that the last leads to another frame. */
	table_copy(&arena.spare[0], mode_table(1));
	table_set(&arena.spare[0], mode_index(page, 1), frame_entry(1, ENTRY_ALL | flags));
	table_copy(&arena.spare[1], mode_table(2));
	table_set(&arena.spare[1], mode_index(page, 2), address_of(&arena.spare[0]) | ENTRY_ALL);
	entry_set(page, 1, frame_entry(0, ENTRY_ALL | flags));
	mode_flush(page);
	old = entry_get(page, level);
	for (uint32_t round = 0; round < 4; round++) {
		uint64_t other = level == 1 ? frame_entry(1, ENTRY_ALL | flags) :
				 address_of(&arena.spare[level - 2]) | (old & 0xfff);

		use(page);
		entry_set(page, level, round % 2 == 0 ? other : old);
		flush_by(flush, page);
		use(page);
	}
}

static void flushes_run(void)
{
	probe_group_begin("flushes");
	for (uint32_t flush = 0; flush < FLUSH_COUNT; flush++)
		for (uint32_t level = 1; level <= 3 && level <= mode_shapes[mode_now()].levels; level++) {
			/* A root has the guest's own tables, too. */
			if (level == mode_shapes[mode_now()].levels && mode_now() < MODE_PAE)
				continue;
			flush_of_level(flush, level, 0);
			/* A load of CR3 leaves global entries as they are. */
			if (flush != FLUSH_CR3)
				flush_of_level(flush, level, ENTRY_GLOBAL);
		}
	probe_group_end();
}

/* Present, writable, user, executable: more of each without a flush. */
static void permissive_run(void)
{
	uint64_t page = mode_address();
	static const struct {
		uint64_t from, to;
		enum probe_kind kind;
	} steps[] = {
		{ 0, ENTRY_PRESENT, PROBE_READ },
		{ ENTRY_PRESENT, ENTRY_PRESENT | ENTRY_WRITE, PROBE_WRITE },
		{ ENTRY_PRESENT, ENTRY_PRESENT | ENTRY_USER, PROBE_USER_READ },
		{ ENTRY_PRESENT | ENTRY_USER, ENTRY_ALL, PROBE_USER_WRITE },
		{ ENTRY_PRESENT | ENTRY_NX, ENTRY_PRESENT, PROBE_FETCH },
		{ ENTRY_PRESENT | ENTRY_USER | ENTRY_NX, ENTRY_PRESENT | ENTRY_USER, PROBE_USER_FETCH },
	};

	probe_group_begin("permissive");
	for (uint32_t level = 1; level <= 2; level++)
		for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++) {
			bool narrow = mode_shapes[mode_now()].entry_bytes == 4;
			uint64_t base;

			if (narrow && (steps[i].from & ENTRY_NX) != 0)
				continue;
			mode_make_path(1, ENTRY_ALL);
			mode_set_controls(CONTROL_WP | (narrow ? 0u : CONTROL_NXE));
			base = mode_base(level, level == 1);
			entry_set(page, level, base | steps[i].from);
			mode_flush(page);
			probe_page(PROBE_READ, page);
			probe_page(steps[i].kind, page);
			entry_set(page, level, base | steps[i].to);
			/* An entry that was not present was not cached (APM vol. 2, 5.5.2): no fault at all may come. */
			if (steps[i].from == 0)
				probe_page(steps[i].kind, page);
			else
				probe_page_lenient(steps[i].kind, page);
			mode_set_controls(0);
		}
	probe_group_end();
}

/* --- accessed and dirty ---------------------------------------------------------------------------------------------- */

static void bits_of_leaf(uint32_t leaf)
{
	uint64_t page = mode_address();

	for (uint32_t level = leaf; level <= mode_shapes[mode_now()].levels; level++) {
		mode_make_path(leaf, ENTRY_ALL);
		for (uint32_t round = 0; round < 3; round++) {
			probe_page(PROBE_READ, page);
			/* Cached as clean: the first write has to tell the entry, without a flush. */
			probe_page(round == 1 ? PROBE_USER_WRITE : PROBE_WRITE, page);
			probe_page(PROBE_USER_READ, page);
			entry_set(page, level, entry_get(page, level) & ~(ENTRY_ACCESSED | ENTRY_DIRTY));
			mode_flush(page);
			probe_page(PROBE_FETCH, page);
			probe_page(PROBE_WRITE, page);
			entry_set(page, level, entry_get(page, level) & ~ENTRY_DIRTY);
			mode_flush(page);
			probe_page(PROBE_WRITE, page);
		}
	}
}

static void marks_run(void)
{
	probe_group_begin("accessed-dirty");
	for (uint32_t leaf = 1; leaf <= 3; leaf++)
		if (leaf == 1 || mode_may_be_large(leaf))
			bits_of_leaf(leaf);
	probe_group_end();
}

/* --- tables that are mapped ------------------------------------------------------------------------------------------ */

/* Where a page has to lie so that its entry on level 2 is the one of the window, and on level 1 `index`. */
static uint64_t window_page(uint32_t index)
{
	uint32_t shift = mode_shapes[mode_now()].entry_bytes == 8 ? 21 : 22;

	if (mode_shapes[mode_now()].levels == 2)
		return (uint64_t)WINDOW << shift | index << 12;
	return mode_shapes[mode_now()].region | (uint64_t)WINDOW << shift | index << 12;
}

/* Level 2 serves as level 1 as well: its tables appear as pages. */
static void table_on_two_levels(void)
{
	uint64_t page = mode_address(), bytes = mode_shapes[mode_now()].entry_bytes;
	uint64_t table = window_page(mode_index(page, 2)), self = window_page(WINDOW);

	mode_make_path(1, ENTRY_ALL);
	table_set(mode_table(2), WINDOW, address_of(mode_table(2)) | ENTRY_ALL);
	mode_flush(table);
	probe_read(table + mode_index(page, 1) * bytes);
	probe_read(self + WINDOW * bytes);
	probe_read(self + mode_index(page, 2) * bytes);
	for (uint32_t round = 0; round < 4; round++) {
		use(page);
		probe_write(table + mode_index(page, 1) * bytes, (uint32_t)frame_entry(round % 3, ENTRY_ALL));
		mode_flush(page);
		use(page);
		probe_read(table + mode_index(page, 1) * bytes);
		/* By its own window the table of level 2 clears the mark of the entry that the window is. */
		probe_write(self + WINDOW * bytes, address_of(mode_table(2)) | (uint32_t)ENTRY_ALL);
		mode_flush(self);
		mode_flush(table);
		probe_read(self + WINDOW * bytes);
	}
	table_set(mode_table(2), WINDOW, 0);
	mode_flush(table);
	mode_flush(self);
}

/* The root is its own table on every level: the last access of the walk is to the root as a page. */
static void root_in_itself(void)
{
	uint64_t page = 0, bytes = mode_shapes[mode_now()].entry_bytes;
	union table *root = &arena.roots[mode_now()];
	uint32_t bits = bytes == 8 ? 9 : 10;

	if (mode_now() == MODE_PAE)
		return;
	for (uint32_t level = 1; level <= mode_shapes[mode_now()].levels; level++)
		page |= (uint64_t)WINDOW << (12 + (level - 1) * bits);
	if (mode_is_long() && (WINDOW & 0x100) != 0)
		page |= ~0ull << (12 + mode_shapes[mode_now()].levels * 9);
	table_set(root, WINDOW, address_of(root) | ENTRY_ALL);
	mode_flush(page);
	for (uint32_t round = 0; round < 3; round++) {
		probe_read(page + WINDOW * bytes);
		probe_read(page);
		probe_write(page + WINDOW * bytes, address_of(root) | (uint32_t)(ENTRY_ALL | (round << 9)));
		mode_flush(page);
		probe_write(page + (WINDOW + 1) * bytes, 0);
	}
	table_set(root, WINDOW, 0);
	mode_flush(page);
}

/* The last table is also a page: its entries are written by another name, under the very entry that names it. */
static void table_by_alias(void)
{
	uint64_t page = mode_address(), alias = page_after(OTHER), bytes = mode_shapes[mode_now()].entry_bytes;

	mode_make_path(1, ENTRY_ALL);
	entry_set(alias, 1, address_of(mode_table(1)) | ENTRY_ALL);
	mode_flush(alias);
	for (uint32_t round = 0; round < 6; round++) {
		uint64_t flags = round == 3 ? 0 : round == 4 ? ENTRY_PRESENT : ENTRY_ALL;

		use(page);
		probe_write(alias + mode_index(page, 1) * bytes, (uint32_t)frame_entry(round % 3, flags));
		mode_flush(page);
		use(page);
		/* The entry of the alias: marks cleared by a write that itself marks it. */
		probe_write(alias + mode_index(alias, 1) * bytes, address_of(mode_table(1)) | (uint32_t)ENTRY_ALL);
		mode_flush(alias);
		probe_read(alias + mode_index(alias, 1) * bytes);
	}
}

static void mapped_run(void)
{
	probe_group_begin("mapped-tables");
	for (uint32_t controls = 0; controls <= CONTROL_WP; controls++) {
		mode_set_controls(controls);
		table_on_two_levels();
		root_in_itself();
		table_by_alias();
	}
	mode_set_controls(0);
	probe_group_end();
}

/* --- two address spaces ---------------------------------------------------------------------------------------------- */

static void space_load(const union table *root)
{
	cr3_write(address_of(root));
	mode_read_cpu();
}

/* A second root; its tables down to a level are its own, those below both spaces'. Its own last one leads to another frame. */
static void second_space_make(uint32_t lowest_own)
{
	uint64_t page = mode_address();
	uint32_t levels = mode_shapes[mode_now()].levels;
	union table *above = SECOND_ROOT;

	table_copy(above, &arena.roots[mode_now()]);
	for (uint32_t level = levels - 1; level >= lowest_own; level--) {
		union table *own = &arena.spare[level - 1];

		table_copy(own, mode_table(level));
		table_set(above, mode_index(page, level + 1),
			  address_of(own) | (mode_now() == MODE_PAE && level == 2 ? ENTRY_PRESENT : ENTRY_ALL));
		above = own;
	}
	if (lowest_own == 1)
		table_set(above, mode_index(page, 1), frame_entry(3, ENTRY_ALL));
}

/* The last table is both spaces'; the load of CR3 is the flush. */
static void spaces_share_last(void)
{
	uint64_t page = mode_address();

	for (uint32_t round = 0; round < 8; round++) {
		uint64_t flags = (round & 1) != 0 ? ENTRY_ALL : ENTRY_PRESENT | ENTRY_USER;

		mode_set_controls((round & 2) != 0 ? CONTROL_WP : 0);
		space_load(&arena.roots[mode_now()]);
		use(page);
		entry_set(page, 1, frame_entry(round % 3, flags));
		space_load(SECOND_ROOT);
		use(page);
		entry_set(page, 1, frame_entry((round + 1) % 3, ENTRY_ALL));
		space_load(&arena.roots[mode_now()]);
		use(page);
	}
}

static void spaces_run(void)
{
	uint64_t page = mode_address();

	probe_group_begin("two-spaces");
	/* From nothing below the root the second's own, to everything. */
	for (uint32_t lowest = mode_shapes[mode_now()].levels; lowest > 1; lowest--) {
		mode_make_path(1, ENTRY_ALL);
		second_space_make(lowest);
		spaces_share_last();
	}
	mode_set_controls(0);
	mode_make_path(1, ENTRY_ALL);
	second_space_make(1);
	for (uint32_t round = 0; round < 6; round++) {
		space_load(round % 2 == 0 ? SECOND_ROOT : &arena.roots[mode_now()]);
		use(page);
	}
	space_load(&arena.roots[mode_now()]);
	probe_group_end();
}

/* --- pages of several names, large pages, pages side by side --------------------------------------------------------- */

static void aliases_run(void)
{
	bool narrow = mode_shapes[mode_now()].entry_bytes == 4;

	probe_group_begin("aliases");
	for (uint32_t controls = 0; controls <= CONTROL_ALL; controls++) {
		mode_set_controls(controls);
		mode_make_path(1, ENTRY_ALL);
		entry_set(page_after(1), 1, frame_entry(0, ENTRY_PRESENT));
		entry_set(page_after(2), 1, frame_entry(0, ENTRY_PRESENT | ENTRY_USER));
		entry_set(page_after(3), 1, frame_entry(0, ENTRY_ALL | (narrow ? 0 : ENTRY_NX)));
		entry_set(page_after(4), 1, frame_entry(0, ENTRY_PRESENT | ENTRY_WRITE));
		for (uint32_t i = 0; i < 5; i++)
			mode_flush(page_after(i));
		for (uint32_t kind = 0; kind < PROBE_COUNT; kind++)
			for (uint32_t i = 0; i < 5; i++)
				probe_page((enum probe_kind)kind, page_after(i));
		/* What one wrote the others read. */
		for (uint32_t i = 0; i < 5; i++) {
			probe_page(PROBE_WRITE_AC, page_after(i));
			for (uint32_t j = 0; j < 5; j++)
				probe_page(PROBE_READ_AC, page_after(j));
		}
	}
	mode_set_controls(0);
	probe_group_end();
}

/* A large page becomes a table of small ones over the same memory, one of them another's, and large again. */
static void split_of_level(uint32_t level)
{
	uint64_t page = mode_address();
	uint64_t large = mode_base(level, true) | ENTRY_ALL | ENTRY_LARGE;
	bool wide_entries = mode_shapes[mode_now()].entry_bytes == 8;
	uint64_t small_bytes = level == 3 ? BIT(21) : PAGE_SIZE;

	mode_make_path(level, ENTRY_ALL);
	for (uint32_t round = 0; round < 3; round++) {
		entry_set(page, level, large);
		mode_flush(page);
		use(page);
		probe_read(page_after(1) + OFFSET_DATA);
		table_clear(mode_table(level - 1));
		for (uint32_t i = 0; i < (wide_entries ? 512u : 1024u); i++)
			table_set(mode_table(level - 1), i,
				  (mode_base(level, true) + i * small_bytes) | ENTRY_ALL | (level == 3 ? ENTRY_LARGE : 0));
		entry_set(page, level, address_of(mode_table(level - 1)) | ENTRY_ALL);
		mode_flush(page);
		use(page);
		if (level == 2) {
			entry_set(page, 1, frame_entry(2, ENTRY_PRESENT | ENTRY_USER));
			mode_flush(page);
			mode_set_controls(CONTROL_WP);
			use(page);
			mode_set_controls(0);
		}
		probe_read(page_after(1) + OFFSET_DATA);
	}
}

static void splits_run(void)
{
	probe_group_begin("split-merge");
	for (uint32_t level = 2; level <= 3; level++)
		if (mode_may_be_large(level))
			split_of_level(level);
	probe_group_end();
}

/* Four bytes of which the last two lie in the next page. */
static void crossing_case(enum probe_kind kind, uint64_t second_entry, uint32_t vector, uint32_t error)
{
	uint64_t page = mode_address(), at = page + PAGE_SIZE - 2;
	volatile uint16_t *first = (volatile uint16_t *)&arena.frames[0].bytes[PAGE_SIZE - 2];
	volatile uint16_t *second = (volatile uint16_t *)&arena.frames[1].bytes[0];
	bool write = kind == PROBE_WRITE || kind == PROBE_USER_WRITE;
	uint32_t seen;

	*first = 0x1234;
	*second = 0x5678;
	entry_set(page, 1, frame_entry(0, ENTRY_ALL));
	entry_set(page_after(1), 1, second_entry);
	mode_flush(page);
	mode_flush(page_after(1));
	seen = probe_raw(kind, at, 0xfeedbeef);
	probe_expect("vector of a crossing", seen, vector);
	if (vector == 0) {
		probe_expect("value read", write ? 0 : seen_value, write ? 0 : 0x56781234);
	} else {
		probe_expect("error code of a crossing", seen_error, error);
		probe_expect("address of a crossing", seen_cr2, page_after(1));
	}
	probe_expect("first half", *first, write && vector == 0 ? 0xbeef : 0x1234);
	probe_expect("second half", *second, write && vector == 0 ? 0xfeed : 0x5678);
	probe_expect("entry of the second page", entry_get(page_after(1), 1) & 0xfff,
		     (second_entry & 0xfff) | (vector != 0 ? 0 : ENTRY_ACCESSED | (write ? ENTRY_DIRTY : 0)));
}

static void crossings_run(void)
{
	probe_group_begin("crossings");
	mode_make_path(1, ENTRY_ALL);
	mode_set_controls(CONTROL_WP);
	crossing_case(PROBE_READ, frame_entry(1, ENTRY_ALL), 0, 0);
	crossing_case(PROBE_WRITE, frame_entry(1, ENTRY_ALL), 0, 0);
	crossing_case(PROBE_USER_READ, frame_entry(1, ENTRY_ALL), 0, 0);
	crossing_case(PROBE_USER_WRITE, frame_entry(1, ENTRY_ALL), 0, 0);
	crossing_case(PROBE_READ, frame_entry(1, 0), 14, 0);
	crossing_case(PROBE_WRITE, frame_entry(1, 0), 14, 2);
	crossing_case(PROBE_USER_READ, frame_entry(1, 0), 14, 4);
	crossing_case(PROBE_USER_WRITE, frame_entry(1, 0), 14, 6);
	crossing_case(PROBE_WRITE, frame_entry(1, ENTRY_PRESENT), 14, 3);
	crossing_case(PROBE_USER_READ, frame_entry(1, ENTRY_PRESENT), 14, 5);
	crossing_case(PROBE_USER_WRITE, frame_entry(1, ENTRY_PRESENT | ENTRY_USER), 14, 7);
	mode_set_controls(0);
	probe_group_end();
}

/* Where nobody answers: pages there are pages all the same, and a table there has nothing present. */
static void holes_run(void)
{
	uint64_t page = mode_address();
	bool wide_entries = mode_shapes[mode_now()].entry_bytes == 8;
	uint64_t hole = wide_entries ? BIT(38) : 0xd0000000;

	probe_group_begin("holes");
	mode_make_path(1, ENTRY_ALL);
	for (uint32_t i = 0; i < 4; i++) {
		entry_set(page, 1, (hole + i * PAGE_SIZE * 1027) | ENTRY_ALL);
		mode_flush(page);
		probe_page(PROBE_READ, page);
		probe_page(PROBE_USER_WRITE, page);
		probe_page(PROBE_USER_READ, page);
	}
	for (uint32_t level = 2; level <= 3 && level <= mode_shapes[mode_now()].levels; level++) {
		mode_make_path(1, ENTRY_ALL);
		entry_set(page, level, hole | (mode_now() == MODE_PAE && level == 3 ? ENTRY_PRESENT : ENTRY_ALL));
		mode_flush(page);
		probe_page(PROBE_READ, page);
		probe_page(PROBE_USER_WRITE, page);
	}
	mode_make_path(1, ENTRY_ALL);
	probe_group_end();
}

void tables_run(void)
{
	flushes_run();
	permissive_run();
	marks_run();
	mapped_run();
	spaces_run();
	aliases_run();
	splits_run();
	crossings_run();
	holes_run();
}
