/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the memory types by the MTRRs' values: fixed and variable ranges, overlaps, what is not of one type; against a model that asks page by page. */
#include "boot_bytes.h"
#include "hw/mtrr_types.h"

#define VALID (1ull << 11)
#define BITS 40u
#define MASK(bytes) ((((1ull << BITS) - 1) & ~((uint64_t)(bytes)-1)) | VALID)

static struct mtrr_state state;

static void start(uint64_t def_type)
{
	state = (struct mtrr_state){ .def_type = def_type, .address_bits = BITS, .has_fixed = true };
}

static void add(uint64_t base, uint64_t mask, enum memory_type type)
{
	state.variable[state.variable_count].base = base | type;
	state.variable[state.variable_count++].mask = mask;
}

#define assert_type(start, bytes, type) assert_int_equal(mtrr_type(&state, start, bytes), type)

/* As firmware of PCs has it: RAM by default, the hole below 4 GiB uncached, a frame buffer write-combining. */
static void test_default_cached(void **unused)
{
	(void)unused;
	start(MTRR_ENABLE | MEMORY_WRITE_BACK);
	add(0xc0000000, MASK(GIB(1)), MEMORY_UNCACHEABLE);
	add(GIB(5), MASK(MIB(16)), MEMORY_WRITE_COMBINING);
	assert_type(0, GIB(1), MEMORY_WRITE_BACK);
	assert_type(0xc0000000, GIB(1), MEMORY_UNCACHEABLE);
	assert_type(0xfee00000, PAGE_SIZE, MEMORY_UNCACHEABLE);
	assert_type(GIB(4), GIB(1), MEMORY_WRITE_BACK);
	assert_type(GIB(5), GIB(1), MEMORY_MIXED);
	assert_type(GIB(5), MIB(2), MEMORY_WRITE_COMBINING);
	assert_type(GIB(5) + MIB(14), MIB(2), MEMORY_WRITE_COMBINING);
	assert_type(GIB(5) + MIB(16), MIB(2), MEMORY_WRITE_BACK);
	assert_type(1ull << 39, 1ull << 39, MEMORY_WRITE_BACK);
	assert_type(0, 1ull << 39, MEMORY_MIXED);
}

/* The other way: uncached by default, RAM by ranges. What is uncached as a whole stays it whatever else covers a part. */
static void test_default_uncached(void **unused)
{
	(void)unused;
	start(MTRR_ENABLE | MEMORY_UNCACHEABLE);
	add(0, MASK(GIB(2)), MEMORY_WRITE_BACK);
	add(GIB(2), MASK(MIB(512)), MEMORY_WRITE_BACK);
	assert_type(0, GIB(1), MEMORY_WRITE_BACK);
	assert_type(GIB(2), GIB(1), MEMORY_MIXED);
	assert_type(GIB(2), MIB(512), MEMORY_WRITE_BACK);
	assert_type(GIB(2) + MIB(512), MIB(512), MEMORY_UNCACHEABLE);
	add(GIB(2), MASK(GIB(1)), MEMORY_UNCACHEABLE);
	assert_type(GIB(2), GIB(1), MEMORY_UNCACHEABLE);
	assert_type(GIB(2), MIB(2), MEMORY_UNCACHEABLE);
}

static void test_overlaps(void **unused)
{
	static const enum memory_type types[] = { MEMORY_UNCACHEABLE, MEMORY_WRITE_COMBINING, MEMORY_WRITE_THROUGH, MEMORY_WRITE_PROTECTED,
						  MEMORY_WRITE_BACK };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(types); i++)
		for (uint32_t j = 0; j < ARRAY_SIZE(types); j++) {
			enum memory_type want = i == j ? types[i] : MEMORY_UNCACHEABLE;
			if ((types[i] == MEMORY_WRITE_THROUGH && types[j] == MEMORY_WRITE_BACK) ||
			    (types[i] == MEMORY_WRITE_BACK && types[j] == MEMORY_WRITE_THROUGH))
				want = MEMORY_WRITE_THROUGH;
			start(MTRR_ENABLE | MEMORY_WRITE_PROTECTED);
			add(GIB(1), MASK(GIB(1)), types[i]);
			add(GIB(1), MASK(GIB(1)), types[j]);
			assert_type(GIB(1), GIB(1), want);
			assert_type(GIB(2), GIB(1), MEMORY_WRITE_PROTECTED);
		}
}

static void test_fixed(void **unused)
{
	(void)unused;
	start(MTRR_ENABLE | MTRR_FIXED_ENABLE | MEMORY_UNCACHEABLE);
	add(0, MASK(GIB(1)), MEMORY_WRITE_BACK);
	state.fixed[0] = 0x0606060606060606;
	state.fixed[1] = 0x0504010006060606; /* from 512 KiB on, 16 KiB each */
	state.fixed[2] = 0x0606060606060601; /* from 640 KiB on */
	state.fixed[3] = 0x0606060606060604; /* from 768 KiB on, 4 KiB each */
	state.fixed[10] = 0x0506060606060606;
	assert_type(0, PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(KIB(512) + KIB(16) * 3, PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(KIB(512) + KIB(16) * 4, PAGE_SIZE, MEMORY_UNCACHEABLE);
	assert_type(KIB(512) + KIB(16) * 5 + KIB(12), PAGE_SIZE, MEMORY_WRITE_COMBINING);
	assert_type(KIB(512) + KIB(16) * 6, PAGE_SIZE, MEMORY_WRITE_THROUGH);
	assert_type(KIB(512) + KIB(16) * 7, PAGE_SIZE, MEMORY_WRITE_PROTECTED);
	assert_type(KIB(640), PAGE_SIZE, MEMORY_WRITE_COMBINING);
	assert_type(KIB(656), PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(KIB(768), PAGE_SIZE, MEMORY_WRITE_THROUGH);
	assert_type(KIB(772), PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(MIB(1) - PAGE_SIZE, PAGE_SIZE, MEMORY_WRITE_PROTECTED);
	assert_type(MIB(1), PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(0, MIB(2), MEMORY_MIXED);
	state.def_type = MTRR_ENABLE; /* fixed ranges off: the variable ones count */
	assert_type(KIB(640), PAGE_SIZE, MEMORY_WRITE_BACK);
	assert_type(0, MIB(2), MEMORY_WRITE_BACK);
	state.def_type = MTRR_FIXED_ENABLE | MEMORY_WRITE_BACK; /* all off */
	assert_type(KIB(656), PAGE_SIZE, MEMORY_UNCACHEABLE);
	assert_type(0, GIB(1), MEMORY_UNCACHEABLE);
}

/* Reserved encodings never come out: an EPT leaf with one would be refused. */
static void test_reserved(void **unused)
{
	(void)unused;
	for (uint32_t value = 0; value < 256; value++) {
		bool is_type = value == 0 || value == 1 || (value >= 4 && value <= 6);
		start(MTRR_ENABLE);
		state.variable[0].base = value;
		state.variable[0].mask = MASK(GIB(1));
		state.variable_count = 1;
		assert_type(0, GIB(1), is_type ? value : MEMORY_UNCACHEABLE);
	}
}

static void test_plain(void **unused)
{
	(void)unused;
	start(MTRR_ENABLE);
	assert_true(mtrr_is_plain(&state));
	add(0, MASK(GIB(2)), MEMORY_WRITE_BACK);
	add(GIB(2), MASK(PAGE_SIZE), MEMORY_UNCACHEABLE);
	assert_true(mtrr_is_plain(&state));
	add(0, MASK(GIB(1)) & ~(1ull << 33), MEMORY_UNCACHEABLE); /* at 8 GiB once more */
	assert_type(0, GIB(1), MEMORY_UNCACHEABLE);
	assert_type(GIB(8), GIB(1), MEMORY_UNCACHEABLE);
	assert_false(mtrr_is_plain(&state));
	state.variable[2].mask &= ~VALID;
	assert_true(mtrr_is_plain(&state));
	add(0, VALID, MEMORY_UNCACHEABLE); /* everything, of whatever size that is */
	assert_false(mtrr_is_plain(&state));
}

/* --- against a model --- */

/* The manual's words, for one address: none of the code's. */
static uint32_t model(uint64_t address)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < state.variable_count; i++) {
		uint64_t bits = state.variable[i].mask & ((1ull << BITS) - PAGE_SIZE);
		if (state.variable[i].mask & VALID && (address & bits) == (state.variable[i].base & bits))
			set |= 1u << (state.variable[i].base & 0xff);
	}
	switch (set) {
	case 0:
		return state.def_type & 0xff;
	case 1u << 1:
		return 1;
	case 1u << 4:
	case 1u << 4 | 1u << 6:
		return 4;
	case 1u << 5:
		return 5;
	case 1u << 6:
		return 6;
	default:
		return 0;
	}
}

/* A range that is smaller than the piece, and so covers a part of it at most: the one reason for MIXED. */
static bool has_smaller(uint64_t bytes)
{
	for (uint32_t i = 0; i < state.variable_count; i++)
		if (state.variable[i].mask & VALID && state.variable[i].mask & (bytes - 1) & ~PAGE_MASK)
			return true;
	return false;
}

static void choose_ranges(struct random *chance)
{
	static const uint8_t types[] = { 0, 1, 4, 5, 6, 6, 6 };

	start(MTRR_ENABLE | types[random_below(chance, ARRAY_SIZE(types))]);
	for (uint64_t left = random_below(chance, 6); left > 0; left--) {
		uint64_t bytes = PAGE_SIZE << random_below(chance, 12), mask = MASK(bytes);
		if (!random_below(chance, 4)) /* not contiguous: legal, and met nowhere */
			mask &= ~(PAGE_SIZE << random_below(chance, 12));
		add(random_below(chance, 8) * MIB(1) & mask, random_below(chance, 8) ? mask : mask & ~VALID,
		    types[random_below(chance, ARRAY_SIZE(types))]);
	}
}

static void test_random(void **unused)
{
	struct random chance = random_start("types");

	(void)unused;
	for (uint32_t round = 0; round < 20000; round++) {
		choose_ranges(&chance);
		uint64_t bytes = PAGE_SIZE << random_below(&chance, 10), at = random_below(&chance, MIB(16)) / bytes * bytes;
		enum memory_type type = mtrr_type(&state, at, bytes);
		assert_true(type != MEMORY_MIXED || has_smaller(bytes));
		for (uint64_t address = at; type != MEMORY_MIXED && address < at + bytes; address += PAGE_SIZE)
			assert_int_equal(model(address), type);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_cached), cmocka_unit_test(test_default_uncached), cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_fixed),	       cmocka_unit_test(test_reserved),		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
