/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the nested back-end while pages move: splitting, merging, the APIC's page, under a CPU that walks all the time. */
#include "fake_nested.h"

static uint64_t merges; /* of a walk: 2 MiB that came back */

/* --- merges --- */

static bool is_home(uint32_t i)
{
	return touched[i].frame == hot[i] && touched[i].access == MEM_ACCESS_ALL;
}

/* The 2 MiB at `start` are in one memory type, and every page of them that was touched is home. */
static bool may_be_large(uint64_t start)
{
	if (nested_expected_bytes(start) < MIB(2))
		return false;
	for (uint32_t i = 0; i < hot_count; i++)
		if (hot[i] - start < MIB(2) && !is_home(i))
			return false;
	return true;
}

static bool is_split(uint64_t start)
{
	return nested_walk(start).bytes == PAGE_SIZE;
}

static bool is_merging(uint64_t address, uint64_t start, uint64_t end)
{
	uint64_t piece = align_down(address, MIB(2));

	return piece >= start && piece + MIB(2) <= end && may_be_large(piece);
}

/* Pages that merge are absent for a moment, or where they were; all others are there all the time. */
static void check_while_merging(uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < hot_count; i++) {
		nested_check_access(i);
		if (touched[i].access != MEM_ACCESS_NONE && !is_merging(hot[i], start, end))
			assert_true(nested_walk(hot[i]).present);
		nested_assert_get(hot[i]);
	}
	nested_assert_no_fault();
}

static uint64_t count_pieces(uint64_t start, uint64_t end)
{
	uint64_t pieces = 0;

	for (uint64_t at = align_up(start, MIB(2)); at + MIB(2) <= end && at < nested_limit(); at += MIB(2))
		pieces += is_split(at) && may_be_large(at);
	return pieces;
}

/* Returns how many 2 MiB came back. Whatever the range, the map means the same before and after. */
static uint64_t merge(uint64_t start, uint64_t end)
{
	uint64_t pieces = count_pieces(start, end), tables = xlat.table_count;

	check_while_merging(0, 0);
	assert_int_equal(xlat.ops->merge_begin(&xlat, start, end), pieces > 0);
	assert_int_equal(xlat.table_count, tables);
	check_while_merging(start, end);
	if (!pieces)
		return 0;
	nested_flush_pages();
	check_while_merging(start, end);
	xlat.ops->merge_end(&xlat, start, end);
	assert_int_equal(xlat.table_count, tables - pieces);
	assert_int_equal(hw.out, xlat.table_count);
	check_while_merging(0, 0);
	assert_int_equal(count_pieces(start, end), 0);
	nested_assert_known();
	assert_false(xlat.ops->merge_begin(&xlat, start, end));
	return pieces;
}

/* Directories that stay behind their last table, until tidy(). */
static uint64_t directories_left(void)
{
	uint64_t left = 0;

	for (uint32_t i = 0; i < hot_count; i++) {
		bool seen = false;
		for (uint32_t j = 0; j < i; j++)
			seen |= hot[j] / GIB(1) == hot[i] / GIB(1);
		left += !seen && nested_expected_bytes(hot[i]) == GIB(1) && nested_walk(hot[i]).bytes < GIB(1);
	}
	return left;
}

static void merge_around(uint64_t address)
{
	uint64_t start = align_down(address, MIB(2));

	merge(start > MIB(4) ? start - MIB(4) : 0, start + MIB(8));
}

static void merge_everything(void)
{
	merge(0, GIB(5));
	for (uint32_t i = 0; i < hot_count; i++)
		merge_around(hot[i]);
	assert_int_equal(xlat.table_count, xlat.built_count + directories_left());
	for (uint32_t i = 0; i < hot_count; i++) {
		uint64_t most = nested_expected_bytes(hot[i]);
		assert_true(nested_walk(hot[i]).bytes >= (most < MIB(2) ? most : MIB(2)));
	}
}

/* In a walk: between batches, some pages at home and some not, a range that begins and ends anywhere. */
static void merge_some(void)
{
	uint64_t near = hot[random_below(&chance, hot_count)], back = random_below(&chance, 1024) * PAGE_SIZE;
	uint64_t start = near > back ? near - back : 0;

	nested_settle();
	for (uint32_t i = 0; i < hot_count; i++)
		if (random_below(&chance, 2) || hot[i] - start < MIB(4))
			nested_make_absent(i);
	nested_flush_pages();
	for (uint32_t i = 0; i < hot_count; i++)
		if (touched[i].access == MEM_ACCESS_NONE)
			nested_make_present(i, hot[i], random_below(&chance, 64) ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
	merges += merge(start, start + random_below(&chance, 4096) * PAGE_SIZE);
}

/* --- moves --- */

static void run_moves(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	nested_build(bits, has_1g, boundaries);
	nested_choose_hot();
	merges = 0;
	for (uint32_t round = 0; round < 4; round++) {
		hw.running = true;
		for (uint32_t step = 0; step < 1500; step++) {
			nested_step();
			if (!random_below(&chance, 100))
				merge_some();
		}
		nested_settle();
		nested_bring_home();
		assert_true(xlat.table_count > xlat.built_count);
		if (round & 1)
			merge_everything();
		nested_tidy();
		if (round == 3)
			nested_assert_identity();
		xlat.ops->tidy(&xlat); /* nothing to do */
		assert_int_equal(hw.out, xlat.built_count);
	}
	assert_true(hw.hits > 1000);
	assert_true(merges > 0);
	for (uint32_t step = 0; step < 300; step++)
		nested_step();
	nested_end(); /* with pages displaced, absent, and tables that are not linked */
}

static void test_moves(void **unused)
{
	static const uint32_t bits[] = { 36, 40, 48, 52 };

	(void)unused;
	chance = random_start("moves");
	for (uint32_t i = 0; i < ARRAY_SIZE(bits) * 4; i++)
		run_moves(bits[i / 4], i & 1, i & 2 ? NESTED_BOUNDARIES : 0);
}

/* --- the APIC's page --- */

static void set_apic(enum mem_access access)
{
	uint32_t out = hw.out;

	xlat.ops->set(&xlat, gfn_of_address(NESTED_APIC), mfn_of_address(NESTED_APIC), access);
	assert_int_equal(hw.out, out);
}

static void assert_apic(bool writable)
{
	struct nested_found found = nested_walk(NESTED_APIC);

	assert_true(found.present && found.bytes == PAGE_SIZE && found.frame == NESTED_APIC);
	assert_int_equal(found.writable, writable);
	nested_assert_get(NESTED_APIC);
	for (uint64_t offset = PAGE_SIZE; offset < MIB(4); offset += PAGE_SIZE) {
		assert_true(nested_walk(NESTED_APIC + offset).writable);
		assert_true(nested_walk(NESTED_APIC - offset).writable);
	}
}

/* Needs neither memory nor absence, since its size never changes; what stays in the TLB is the guard's affair. */
static void test_apic(void **unused)
{
	(void)unused;
	chance = random_start("APIC");
	for (uint32_t i = 0; i < 4; i++) {
		nested_build(40, i & 1, i & 2 ? NESTED_BOUNDARIES : 0);
		nested_choose_hot();
		hw.running = true;
		for (uint32_t round = 0; round < 20; round++) {
			set_apic(MEM_ACCESS_READ);
			assert_apic(false);
			nested_access(NESTED_APIC);
			set_apic(MEM_ACCESS_ALL);
			assert_apic(true);
			nested_flush();
			assert_true(nested_access(NESTED_APIC).writable);
		}
		assert_int_equal(hw.out, xlat.built_count);
		nested_tidy();
		nested_assert_identity();
		/* Read-only while others move, and across nested_tidy(): on the way to NATIVE the entry stays so. */
		set_apic(MEM_ACCESS_READ);
		hw.running = true;
		for (uint32_t step = 0; step < 300; step++)
			nested_step();
		nested_bring_home();
		nested_tidy();
		assert_apic(false);
		nested_end();
	}
}

/* --- merges, one by one --- */

#define AT (GIB(20) + MIB(6)) /* far from all boundaries */

/* The page at `address` has been away, and is home again: its 2 MiB are split. */
static void split_at(uint64_t address)
{
	uint32_t i = hot_count;

	nested_add_hot(address);
	assert_int_equal(hot_count, i + 1);
	nested_make_absent(i);
	nested_flush_pages();
	nested_make_present(i, hot[i], MEM_ACCESS_ALL);
}

static void start_merging(uint32_t has_1g)
{
	nested_build(48, has_1g, 0);
	hot_count = 0;
	split_at(AT + KIB(8));
	split_at(AT + MIB(4) - PAGE_SIZE);
	split_at(AT + MIB(4));
	hw.running = hw.eager = true;
}

static void test_merge_ranges(void **unused)
{
	(void)unused;
	chance = random_start("merge ranges");
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		start_merging(has_1g);
		assert_int_equal(xlat.table_count, xlat.built_count + 3 + has_1g);
		assert_int_equal(merge(AT, AT), 0);
		assert_int_equal(merge(AT + PAGE_SIZE, AT + MIB(2)), 0);
		assert_int_equal(merge(AT, AT + MIB(2) - PAGE_SIZE), 0);
		assert_int_equal(merge(AT - MIB(1), AT + MIB(1)), 0);
		assert_int_equal(merge(AT + PAGE_SIZE, AT + MIB(4) - PAGE_SIZE), 0);
		assert_int_equal(merge(AT + MIB(8), AT + MIB(64)), 0); /* nothing is split there */
		assert_int_equal(merge(GIB(30) + KIB(4), GIB(33)), 0); /* nor are there directories */
		assert_int_equal(merge(AT + PAGE_SIZE, AT + MIB(4)), 1); /* the second alone */
		assert_true(is_split(AT) && !is_split(AT + MIB(2)) && is_split(AT + MIB(4)));
		assert_int_equal(merge(AT - MIB(1), AT + MIB(6) + KIB(4)), 2);
		assert_int_equal(xlat.table_count, xlat.built_count + has_1g);
		split_at(AT + MIB(1)); /* and again */
		assert_int_equal(merge(AT, AT + MIB(2)), 1);
		nested_tidy();
		nested_assert_identity();
		nested_end();
	}
}

/* One page as it must not be for a merge: its table stays, the two beside it go. Home again, it goes as well. */
static void keep_table(uint64_t frame, enum mem_access access)
{
	nested_make_absent(0);
	nested_flush_pages();
	if (access != MEM_ACCESS_NONE)
		nested_make_present(0, frame, access);
	assert_int_equal(merge(AT, AT + MIB(2)), 0);
	assert_int_equal(merge(0, GIB(21)), 2);
	assert_true(is_split(AT));
	nested_make_absent(0);
	nested_flush_pages();
	nested_make_present(0, hot[0], MEM_ACCESS_ALL);
	assert_int_equal(merge(0, GIB(21)), 1);
}

static void test_merge_keeps_what_is_not_identity(void **unused)
{
	static const struct {
		uint64_t frame;
		enum mem_access access;
	} how[] = {
		{ GIB(3), MEM_ACCESS_ALL }, { GIB(3), MEM_ACCESS_READ }, { AT + KIB(8), MEM_ACCESS_READ }, { 0, MEM_ACCESS_NONE }
	};

	(void)unused;
	chance = random_start("merge keeps");
	for (uint32_t i = 0; i < 2 * ARRAY_SIZE(how); i++) {
		start_merging(i & 1);
		keep_table(how[i / 2].frame, how[i / 2].access);
		assert_int_equal(xlat.table_count, xlat.built_count + (i & 1));
		nested_end();
	}
}

/* What is split from the start for the memory types' sake, or the APIC's, stays so, whether pages of it have moved or not. */
static void test_merge_keeps_what_must_be_split(void **unused)
{
	(void)unused;
	chance = random_start("merge must split");
	for (uint32_t i = 0; i < 4; i++) {
		nested_build(40, i & 1, i & 2 ? NESTED_BOUNDARIES : 0);
		hot_count = 0;
		hw.running = hw.eager = true;
		split_at(KIB(64));
		split_at(MIB(2) - PAGE_SIZE);
		split_at(MIB(640));
		split_at(0xfed80000);
		split_at(NESTED_APIC + PAGE_SIZE);
		split_at(NESTED_APIC + MIB(2));
		split_at(GIB(5) - PAGE_SIZE);
		merge(0, GIB(6));
		assert_true(is_split(0) && is_split(align_down(NESTED_APIC, MIB(2))));
		assert_int_equal(is_split(MIB(640)), (i & 2) != 0);
		assert_int_equal(xlat.table_count, xlat.built_count + directories_left());
		xlat.ops->set(&xlat, gfn_of_address(NESTED_APIC), mfn_of_address(NESTED_APIC), MEM_ACCESS_READ);
		merge(0, GIB(6)); /* the guard's, too */
		assert_false(nested_walk(NESTED_APIC).writable);
		nested_end();
	}
}

/* The tester: without the flush the CPU may still walk what is given back, and meets both sizes. */
static void test_merge_without_flush_is_found(void **unused)
{
	(void)unused;
	chance = random_start("merge without flush");
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		start_merging(has_1g);
		hw.running = false;
		nested_load_tlb(AT);
		assert_true(xlat.ops->merge_begin(&xlat, AT, AT + MIB(2)));
		assert_false(nested_walk(AT).present);
		assert_true(nested_access(AT).present); /* stale */
		xlat.ops->merge_end(&xlat, AT, AT + MIB(2));
		assert_non_null(strstr(hw.fault, "given back"));
		hw.fault = NULL;
		nested_load_tlb(AT);
		assert_non_null(strstr(hw.fault, "break before make"));
		hw.fault = NULL;
		nested_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_apic),
		cmocka_unit_test(test_merge_ranges),
		cmocka_unit_test(test_merge_keeps_what_is_not_identity),
		cmocka_unit_test(test_merge_keeps_what_must_be_split),
		cmocka_unit_test(test_merge_without_flush_is_found),
	};

	int failed = cmocka_run_group_tests_name("NPT", tests, NULL, NULL);
	nested_is_ept = true;
	return failed + cmocka_run_group_tests_name("EPT", tests, NULL, NULL);
}
