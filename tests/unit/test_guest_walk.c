/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the walk of the OS's tables in every paging mode against a model that is written out mode by mode, bit by bit, from
 * the manual (AMD APM vol. 2, 5.2 and 5.3): on random tables, and on one path with each of its entries
 * spoilt in turn.
 */
#include "boot_bytes.h"
#include "xlat/guest_walk.h"

#define LEVELS_MAX 5u
#define TABLES_PER_LEVEL 4u
#define PRESENT 1ull
#define LARGE 0x80ull
#define BITS(value, high, low) ((value) >> (low) & ((2ull << ((high) - (low))) - 1))

enum mode { MODE_NONE, MODE_2LEVEL, MODE_2LEVEL_PSE, MODE_PAE, MODE_4LEVEL, MODE_5LEVEL, MODES };

static const char *const names[MODES] = { "none", "2-level", "2-level with PSE", "PAE", "4-level", "5-level" };
static const uint32_t levels_of[MODES] = { 0, 2, 2, 3, 4, 5 };

/* RAM is nothing but tables; those of one level point to those of the next. */
static struct table {
	uint64_t physical;
	uint8_t bytes[PAGE_SIZE];
} tables[LEVELS_MAX + 1][TABLES_PER_LEVEL];

static struct random chance;
static struct guest_paging paging;
static uint32_t reads;

static const uint8_t *find_ram(uint64_t physical)
{
	for (uint32_t level = 1; level <= LEVELS_MAX; level++)
		for (uint32_t i = 0; i < TABLES_PER_LEVEL; i++)
			if (physical - tables[level][i].physical < PAGE_SIZE)
				return tables[level][i].bytes + (physical - tables[level][i].physical);
	return NULL;
}

static bool read_ram(void *context, uint64_t physical, void *to, uint32_t bytes)
{
	const uint8_t *from = find_ram(physical);

	assert_ptr_equal(context, &reads);
	assert_true(bytes == 4 || bytes == 8);
	assert_int_equal(physical % bytes, 0);
	reads++;
	if (from)
		memcpy(to, from, bytes);
	return from != NULL;
}

/* --- the model --- */

static bool read_model(uint64_t physical, uint32_t bytes, uint64_t *entry)
{
	const uint8_t *from = find_ram(physical);

	if (!from)
		return false;
	*entry = bytes == 4 ? get(from, 0, 4) : get_u64(from, 0);
	return *entry & PRESENT;
}

static bool model_2level(uint64_t linear, bool pse, uint64_t *physical)
{
	uint64_t pde, pte;

	if (!read_model((BITS(paging.cr3, 31, 12) << 12) + 4 * BITS(linear, 31, 22), 4, &pde))
		return false;
	if (pse && pde & LARGE) {
		*physical = BITS(pde, 20, 13) << 32 | BITS(pde, 31, 22) << 22 | BITS(linear, 21, 0);
		return true;
	}
	if (!read_model((BITS(pde, 31, 12) << 12) + 4 * BITS(linear, 21, 12), 4, &pte))
		return false;
	*physical = BITS(pte, 31, 12) << 12 | BITS(linear, 11, 0);
	return true;
}

/* PAE's and long mode's lower two levels. */
static bool model_directory(uint64_t directory, uint64_t linear, uint64_t *physical)
{
	uint64_t pde, pte;

	if (!read_model(directory + 8 * BITS(linear, 29, 21), 8, &pde))
		return false;
	if (pde & LARGE) {
		*physical = BITS(pde, 51, 21) << 21 | BITS(linear, 20, 0);
		return true;
	}
	if (!read_model((BITS(pde, 51, 12) << 12) + 8 * BITS(linear, 20, 12), 8, &pte))
		return false;
	*physical = BITS(pte, 51, 12) << 12 | BITS(linear, 11, 0);
	return true;
}

static bool model_pae(uint64_t linear, uint64_t *physical)
{
	uint64_t pdpe;

	return read_model((BITS(paging.cr3, 31, 5) << 5) + 8 * BITS(linear, 31, 30), 8, &pdpe) &&
	       model_directory(BITS(pdpe, 51, 12) << 12, linear, physical);
}

static bool model_long(uint64_t linear, bool five, uint64_t *physical)
{
	uint64_t next = BITS(paging.cr3, 51, 12) << 12, entry;

	if (five) {
		if (!read_model(next + 8 * BITS(linear, 56, 48), 8, &entry))
			return false;
		next = BITS(entry, 51, 12) << 12;
	}
	if (!read_model(next + 8 * BITS(linear, 47, 39), 8, &entry))
		return false;
	if (!read_model((BITS(entry, 51, 12) << 12) + 8 * BITS(linear, 38, 30), 8, &entry))
		return false;
	if (entry & LARGE) {
		*physical = BITS(entry, 51, 30) << 30 | BITS(linear, 29, 0);
		return true;
	}
	return model_directory(BITS(entry, 51, 12) << 12, linear, physical);
}

static bool model(enum mode mode, uint64_t linear, uint64_t *physical)
{
	switch (mode) {
	case MODE_NONE:
		*physical = BITS(linear, 31, 0);
		return true;
	case MODE_2LEVEL:
	case MODE_2LEVEL_PSE:
		return model_2level(linear, mode == MODE_2LEVEL_PSE, physical);
	case MODE_PAE:
		return model_pae(linear, physical);
	default:
		return model_long(linear, mode == MODE_5LEVEL, physical);
	}
}

/* --- tables --- */

static bool is_narrow(enum mode mode) { return mode == MODE_2LEVEL || mode == MODE_2LEVEL_PSE; }
static bool is_long(enum mode mode) { return mode == MODE_4LEVEL || mode == MODE_5LEVEL; }

/* Below 4 GiB where the format's addresses, or CR3, have no more bits. */
static uint64_t free_page(enum mode mode, uint32_t level)
{
	uint32_t bits = is_long(mode) || (mode == MODE_PAE && level < 3) ? 52 : 32;
	uint64_t physical;

	do
		physical = random_below(&chance, 1ull << (bits - PAGE_SHIFT)) << PAGE_SHIFT;
	while (find_ram(physical));
	return physical;
}

static void place_tables(enum mode mode)
{
	for (uint32_t level = 1; level <= LEVELS_MAX; level++)
		for (uint32_t i = 0; i < TABLES_PER_LEVEL; i++)
			tables[level][i].physical = free_page(mode, level);
}

/* Bits that the hardware reserves are zero: the CPU that fetched by these tables has seen to that. */
static bool may_be_large(enum mode mode, uint32_t level)
{
	if (level == 1 || is_narrow(mode))
		return true; /* PAT; without PSE the bit is ignored */
	return level == 2 || (level == 3 && is_long(mode));
}

static uint64_t random_entry(enum mode mode, uint32_t level)
{
	uint64_t entry = random_next(&chance);
	const struct table *next = &tables[level - 1][random_below(&chance, TABLES_PER_LEVEL)];

	if (random_below(&chance, 4))
		entry |= PRESENT;
	if (!may_be_large(mode, level) || (level > 1 && random_below(&chance, 3)))
		entry &= ~LARGE;
	bool is_leaf = level == 1 || (entry & LARGE && mode != MODE_2LEVEL);
	if (!is_leaf && random_below(&chance, 16)) {
		uint64_t field = 0x000ffffffffff000ull;
		entry = (entry & ~field) | next->physical;
	}
	return entry;
}

static void fill_tables(enum mode mode)
{
	uint32_t bytes = is_narrow(mode) ? 4 : 8;

	for (uint32_t level = 1; level <= levels_of[mode]; level++)
		for (uint32_t i = 0; i < TABLES_PER_LEVEL; i++)
			for (uint32_t at = 0; at < PAGE_SIZE; at += bytes) {
				uint64_t entry = random_entry(mode, level);
				memcpy(tables[level][i].bytes + at, &entry, bytes);
			}
}

/* Control registers of this mode; every bit that has no say in it is random. */
static void set_mode(enum mode mode)
{
	const uint64_t pg = 1ull << 31, pse = 1ull << 4, pae = 1ull << 5, la57 = 1ull << 12, lma = 1ull << 10;
	const uint64_t cr4_free = mode == MODE_PAE || mode == MODE_NONE ? la57 | pse : is_narrow(mode) ? la57 : pse;

	paging.cr0 = (random_next(&chance) & 0xffffffff & ~pg) | (mode == MODE_NONE ? 0 : pg);
	paging.cr4 = random_next(&chance) & 0xffffffff & (~(pse | pae | la57) | cr4_free);
	paging.efer = random_next(&chance) & 0xffff & ~lma;
	paging.cr4 |= mode == MODE_2LEVEL_PSE ? pse : 0;
	paging.cr4 |= mode == MODE_PAE || is_long(mode) ? pae : 0;
	paging.cr4 |= mode == MODE_5LEVEL ? la57 : 0;
	paging.efer |= is_long(mode) ? lma : 0;
	paging.cr3 = random_below(&chance, PAGE_SIZE); /* cache bits, the PCID; of PAE's also where in the page */
	if (mode != MODE_NONE)
		paging.cr3 |= tables[levels_of[mode]][0].physical;
}

static uint64_t random_linear(enum mode mode)
{
	uint64_t linear = random_next(&chance);

	switch (mode) {
	case MODE_4LEVEL:
		return (uint64_t)((int64_t)(linear << 16) >> 16);
	case MODE_5LEVEL:
		return (uint64_t)((int64_t)(linear << 7) >> 7);
	default:
		return linear & 0xffffffff;
	}
}

static bool walk(uint64_t linear, uint64_t *physical)
{
	reads = 0;
	return guest_walk(&paging, linear, read_ram, &reads, physical);
}

/* Returns whether it is mapped. */
static bool compare(enum mode mode, uint64_t linear)
{
	uint64_t expected = 0, physical = 0;
	bool mapped = model(mode, linear, &expected);

	if (walk(linear, &physical) != mapped || (mapped && physical != expected))
		fail_msg("%s: linear %" PRIx64 " is %d %" PRIx64 ", walked to %" PRIx64, names[mode], linear, mapped, expected, physical);
	assert_true(reads <= levels_of[mode]);
	return mapped;
}

static void test_random(void **unused)
{
	uint64_t mapped[MODES] = { 0 }, ended[MODES][LEVELS_MAX + 1] = { { 0 } };

	(void)unused;
	chance = random_start("guest walk");
	for (uint32_t round = 0; round < 300; round++) {
		enum mode mode = (enum mode)(round % MODES);
		place_tables(mode);
		fill_tables(mode);
		for (uint32_t i = 0; i < 2000; i++) {
			if (i % 50 == 0)
				set_mode(mode);
			bool found = compare(mode, random_linear(mode));
			mapped[mode] += found;
			ended[mode][reads] += found;
		}
	}
	for (uint32_t mode = MODE_2LEVEL; mode < MODES; mode++) {
		printf("%s: %" PRIu64 " of 100000 mapped\n", names[mode], mapped[mode]);
		assert_true(mapped[mode] > 10000);
		assert_true(ended[mode][levels_of[mode]] > 1000); /* by 4 KiB pages */
	}
	/* 4 MiB, 2 MiB and 1 GiB pages: the walk was shorter. */
	assert_int_equal(ended[MODE_2LEVEL][1], 0);
	assert_true(ended[MODE_2LEVEL_PSE][1] > 1000);
	assert_int_equal(ended[MODE_PAE][1], 0);
	assert_true(ended[MODE_PAE][2] > 1000);
	assert_true(ended[MODE_4LEVEL][2] > 1000 && ended[MODE_4LEVEL][3] > 1000);
	assert_true(ended[MODE_5LEVEL][3] > 1000 && ended[MODE_5LEVEL][4] > 1000);
}

/* --- one path --- */

/* Where the entry of `level` lies for this address: by the manual's index of each level. */
static uint8_t *entry_of(enum mode mode, uint32_t level, uint64_t linear)
{
	uint32_t bits = is_narrow(mode) ? 10 : mode == MODE_PAE && level == 3 ? 2 : 9;
	uint32_t low = 12 + (is_narrow(mode) ? 10 : 9) * (level - 1);
	uint64_t offset = mode == MODE_PAE && level == 3 ? paging.cr3 & 0xfe0 : 0;

	return tables[level][0].bytes + offset + BITS(linear, low + bits - 1, low) * (is_narrow(mode) ? 4 : 8);
}

static void set_entry(enum mode mode, uint32_t level, uint64_t linear, uint64_t entry)
{
	memcpy(entry_of(mode, level, linear), &entry, is_narrow(mode) ? 4 : 8);
}

/* Tables with one path for `linear`, that ends in a leaf of level `last` at `page`. */
static void make_path(enum mode mode, uint32_t last, uint64_t linear, uint64_t page)
{
	for (uint32_t level = 1; level <= LEVELS_MAX; level++)
		memset(tables[level][0].bytes, 0, PAGE_SIZE);
	for (uint32_t level = levels_of[mode]; level > last; level--)
		set_entry(mode, level, linear, tables[level - 1][0].physical | PRESENT);
	set_entry(mode, last, linear, page | PRESENT | (last > 1 ? LARGE : 0));
}

static uint64_t page_bytes(enum mode mode, uint32_t last)
{
	return 1ull << (12 + (is_narrow(mode) ? 10 : 9) * (last - 1));
}

static void assert_walk(uint64_t linear, uint64_t expected)
{
	uint64_t physical = 0;

	assert_true(walk(linear, &physical));
	assert_int_equal(physical, expected);
}

/* Its every entry not present, and its every table moved out of RAM. */
static void spoil_path(enum mode mode, uint32_t last, uint64_t linear)
{
	uint64_t physical;

	for (uint32_t level = last; level <= levels_of[mode]; level++) {
		uint8_t *entry = entry_of(mode, level, linear);
		*entry ^= PRESENT;
		assert_false(walk(linear, &physical));
		assert_int_equal(reads, levels_of[mode] - level + 1);
		*entry ^= PRESENT;
		uint64_t home = tables[level][0].physical;
		tables[level][0].physical = 1ull << 60;
		assert_false(walk(linear, &physical));
		assert_int_equal(reads, levels_of[mode] - level + 1);
		tables[level][0].physical = home;
		assert_true(walk(linear, &physical));
	}
}

static void test_paths(void **unused)
{
	static const struct {
		enum mode mode;
		uint32_t last;
		uint64_t page;
	} paths[] = {
		{ MODE_2LEVEL, 1, 0xfffff000 },		 { MODE_2LEVEL_PSE, 1, 0x80000000 },
		{ MODE_2LEVEL_PSE, 2, 0xffc00000 },	 { MODE_PAE, 1, 0xffffffffff000 },
		{ MODE_PAE, 2, 0xfffffffe00000 },	 { MODE_4LEVEL, 1, 0x8000000001000 },
		{ MODE_4LEVEL, 2, 0xfffffffe00000 },	 { MODE_4LEVEL, 3, 0xfffffc0000000 },
		{ MODE_5LEVEL, 1, 0xffffffffff000 },	 { MODE_5LEVEL, 2, 0x8000000200000 },
		{ MODE_5LEVEL, 3, 0x80000c0000000 },
	};

	(void)unused;
	chance = random_start("paths");
	for (uint32_t i = 0; i < 50 * ARRAY_SIZE(paths); i++) {
		enum mode mode = paths[i % ARRAY_SIZE(paths)].mode;
		uint32_t last = paths[i % ARRAY_SIZE(paths)].last;
		uint64_t linear = random_linear(mode), page = paths[i % ARRAY_SIZE(paths)].page;
		place_tables(mode);
		set_mode(mode);
		make_path(mode, last, linear, page);
		assert_walk(linear, page | (linear & (page_bytes(mode, last) - 1)));
		assert_true(compare(mode, linear));
		spoil_path(mode, last, linear);
	}
}

/* A 4 MiB page anywhere in 40 bits; bit 12 is PAT there and no address. */
static void test_pse36(void **unused)
{
	(void)unused;
	chance = random_start("PSE-36");
	place_tables(MODE_2LEVEL_PSE);
	set_mode(MODE_2LEVEL_PSE);
	for (uint32_t high = 0; high < 256; high++) {
		make_path(MODE_2LEVEL_PSE, 2, 0x12345678, 0x40000000 | (uint64_t)high << 13 | (high & 1) << 12);
		assert_walk(0x12345678, (uint64_t)high << 32 | 0x40345678);
	}
}

/* Without paging a linear address is a physical one, of 32 bits: what goes beyond them begins again. */
static void test_none(void **unused)
{
	(void)unused;
	chance = random_start("no paging");
	set_mode(MODE_NONE);
	assert_walk(0, 0);
	assert_walk(0xfffffff0, 0xfffffff0);
	assert_walk(0x100000004, 4);
	assert_int_equal(reads, 0);
}

/* With 32-bit paging as well. */
static void test_wrap(void **unused)
{
	static const enum mode modes[] = { MODE_2LEVEL, MODE_2LEVEL_PSE, MODE_PAE };

	(void)unused;
	chance = random_start("wrap");
	for (uint32_t i = 0; i < ARRAY_SIZE(modes); i++) {
		place_tables(modes[i]);
		set_mode(modes[i]);
		make_path(modes[i], 1, 0x3000, 0x7000);
		assert_walk(0x100003004, 0x7004);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_paths), cmocka_unit_test(test_pse36),
		cmocka_unit_test(test_none),   cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
