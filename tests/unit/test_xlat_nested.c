/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the nested back-end: Identity as it is built, what a lack of memory leaves, and that the simulated CPU finds mistakes. */
#include "fake_nested.h"

/* --- Identity --- */

static void refuse(uint64_t address)
{
	mfn_t frame;
	enum mem_access access;
	uint32_t out = hw.out;

	assert_false(xlat.ops->get(&xlat, gfn_of_address(address), &frame, &access));
	assert_false(xlat.ops->prepare(&xlat, gfn_of_address(address)));
	assert_int_equal(hw.out, out);
	if (address >> 48 == 0)
		assert_false(nested_walk(address).present);
}

static void assert_nothing_above(void)
{
	refuse(nested_limit());
	refuse(nested_limit() | PAGE_SIZE);
	for (uint32_t bit = 0; bit < 52; bit++)
		if (1ull << bit >= nested_limit())
			refuse(1ull << bit | (random_next(&chance) & (nested_limit() - 1)));
	for (uint32_t i = 0; i < 1000; i++)
		refuse(nested_limit() + random_below(&chance, (1ull << 52) - nested_limit()));
	refuse((1ull << 52) - 1);
}

static void test_identity(void **unused)
{
	static const uint32_t bits[] = { 36, 40, 48, 52 };

	(void)unused;
	chance = random_start("identity");
	for (uint32_t i = 0; i < ARRAY_SIZE(bits) * 4; i++) {
		nested_build(bits[i / 4], i & 1, i & 2 ? NESTED_BOUNDARIES : 0);
		nested_assert_identity();
		assert_nothing_above();
		nested_end();
	}
}

/* The tables of Identity are those that the sizes ask for, and none more: a page where a larger leaf stood would be one. */
static void test_table_count(void **unused)
{
	(void)unused;
	nested_build(36, true, 0);
	assert_int_equal(hw.out, 1 + 1 + 2 + 2); /* two directories and two tables: the first MiBs and the NESTED_APIC */
	nested_end();
	nested_build(36, false, 0);
	assert_int_equal(hw.out, 1 + 1 + 64 + 2);
	nested_end();
	nested_build(52, true, 0);
	assert_int_equal(hw.out, 1 + 512 + 2 + 2);
	nested_end();
	nested_build(52, false, 0);
	assert_int_equal(hw.out, 1 + 2 + 1024 + 2);
	nested_end();
}

static void test_build_without_memory(void **unused)
{
	static const struct {
		uint32_t bits, boundaries;
		bool has_1g;
	} machines[] = {
		{ 36, NESTED_BOUNDARIES, true }, { 36, 0, false }, { 48, NESTED_BOUNDARIES, true }
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(machines); i++) {
		nested_build(machines[i].bits, machines[i].has_1g, machines[i].boundaries);
		uint32_t needed = hw.out;
		nested_end();
		for (uint32_t fail_at = 1; fail_at <= needed; fail_at++) {
			nested_prepare(machines[i].bits, machines[i].has_1g, machines[i].boundaries);
			hw.fail_at = fail_at;
			assert_false(xlat.ops->build(&xlat));
			assert_int_equal(hw.fail_at, 0);
			assert_int_equal(hw.out, 0);
			assert_int_equal(xlat.table_count, 0);
			assert_int_equal(xlat.root, 0);
		}
		assert_true(xlat.ops->build(&xlat)); /* and with memory it goes on */
		nested_end();
	}
}

/* --- no memory --- */

static uint64_t sum_of_tables(void)
{
	uint64_t sum = 0;

	for (uint32_t slot = 0; slot < NESTED_TABLES_MAX; slot++)
		for (uint32_t i = 0; hw.table[slot] && i < PAGE_SIZE; i += 8)
			sum = (sum ^ get_u64(hw.table[slot], i)) * 0x100000001b3ull + slot;
	return sum;
}

/* Fails each table_alloc of one prepare() in turn: what was prepared before and not used goes, too. Returns how many there were. */
static uint32_t fail_prepare(uint64_t address)
{
	for (uint32_t fail_at = 1;; fail_at++) {
		uint64_t before = sum_of_tables();
		uint32_t spares = xlat.spare_count, out = hw.out - spares;

		hw.fail_at = fail_at;
		bool done = xlat.ops->prepare(&xlat, gfn_of_address(address));
		if (done)
			assert_int_equal(hw.fail_at, 1);
		hw.fail_at = 0;
		if (done)
			return fail_at - 1;
		if (!spares)
			assert_int_equal(sum_of_tables(), before);
		assert_int_equal(hw.out, out);
		assert_int_equal(xlat.table_count, out);
		assert_null(xlat.spare);
	}
}

static void test_prepare_without_memory(void **unused)
{
	uint64_t at = GIB(20) + MIB(6) + KIB(8);

	(void)unused;
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		nested_build(40, has_1g, 0);
		assert_int_equal(fail_prepare(NESTED_APIC), 0);
		assert_int_equal(fail_prepare(PAGE_SIZE), 0);
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		/* Prepared, not used; prepared again, others after it, too. */
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		assert_int_equal(fail_prepare(at + GIB(1)), 1 + has_1g);
		nested_tidy();
		nested_assert_identity();
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_NONE);
		assert_int_equal(fail_prepare(at), 0);
		assert_int_equal(fail_prepare(at + PAGE_SIZE), 0);
		assert_int_equal(fail_prepare(at + MIB(2)), 1);
		nested_end();
	}
}

/* --- the tester --- */

static void assert_found(const char *what)
{
	assert_non_null(hw.fault);
	assert_non_null(strstr(hw.fault, what));
	hw.fault = NULL;
	nested_flush();
}

/* Present without the flush: the CPU must complain where it held the large leaf. */
static void test_no_flush_is_found(void **unused)
{
	uint64_t at = GIB(20) + MIB(6) + KIB(8);

	(void)unused;
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		nested_build(40, has_1g, 0);
		nested_access(at + PAGE_SIZE);
		assert_true(xlat.ops->prepare(&xlat, gfn_of_address(at)));
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_NONE);
		assert_true(nested_access(at).present); /* stale */
		nested_load_tlb(at);
		nested_assert_no_fault();
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_ALL);
		nested_load_tlb(at);
		assert_found("break before make");
		nested_end();
	}
}

static void test_foreign_table_is_found(void **unused)
{
	(void)unused;
	nested_build(40, false, 0);
	uint64_t root = xlat.root;
	xlat.root += PAGE_SIZE;
	nested_walk(0);
	xlat.root = root;
	assert_found("a table that is none");
	nested_end();
}

static enum memory_type all_write_back(void *context, uint64_t start, uint64_t bytes)
{
	(void)context, (void)start, (void)bytes;
	return MEMORY_WRITE_BACK;
}

static void test_wrong_type_is_found(void **unused)
{
	(void)unused;
	nested_prepare(40, true, NESTED_BOUNDARIES);
	xlat.port.memory_type = all_write_back;
	assert_true(xlat.ops->build(&xlat));
	nested_walk(MIB(641));
	assert_found("not the memory's");
	nested_walk(GIB(7));
	assert_found("more than one type");
	nested_end();
}

/* A page that is displaced is of the type that its frame has; home again, of its own; and an absent page is an entry all the same. */
static void test_types(void **unused)
{
	const uint64_t cached = MIB(639), other = 0xbff80000;

	(void)unused;
	nested_build(40, true, NESTED_BOUNDARIES);
	assert_int_not_equal(nested_type(cached), nested_type(other));
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t page = i ? 0 : cached;
		assert_true(xlat.ops->prepare(&xlat, gfn_of_address(page)));
		xlat.ops->set(&xlat, gfn_of_address(page), mfn_of_address(page), MEM_ACCESS_NONE);
		nested_flush();
		assert_false(nested_walk(page).present);
		xlat.ops->set(&xlat, gfn_of_address(page), mfn_of_address(other), MEM_ACCESS_ALL);
		assert_int_equal(nested_access(page).frame, other); /* the CPU looks at the type */
		nested_assert_no_fault();
		const struct mem_move home = { .page = gfn_of_address(page), .from = mfn_of_address(other), .to = mfn_of_address(page) };
		xlat.ops->hide(&xlat, &home, 1);
		nested_flush();
		xlat.ops->show(&xlat, &home, 1);
		assert_int_equal(nested_access(page).frame, page);
		nested_assert_no_fault();
	}
	nested_end();
}

/* The back-end of NATIVE: nothing built, nothing moved, everything at home. */
static void test_native(void **unused)
{
	enum mem_access access;
	mfn_t frame;

	(void)unused;
	nested_prepare(48, true, 0);
	xlat.ops = &xlat_native;
	assert_true(xlat.ops->build(&xlat));
	assert_int_equal(xlat.root, 0);
	assert_false(xlat.ops->prepare(&xlat, gfn(77)));
	xlat.ops->set(&xlat, gfn(77), mfn(78), MEM_ACCESS_NONE);
	xlat.ops->release(&xlat, gfn(77));
	assert_true(xlat.ops->get(&xlat, gfn(77), &frame, &access));
	assert_int_equal(frame.n, 77);
	assert_int_equal(access, MEM_ACCESS_ALL);
	xlat.ops->tidy(&xlat);
	xlat.ops->drop(&xlat);
	assert_int_equal(hw.next, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_table_count),
		cmocka_unit_test(test_build_without_memory),
		cmocka_unit_test(test_prepare_without_memory),
		cmocka_unit_test(test_no_flush_is_found),
		cmocka_unit_test(test_foreign_table_is_found),
		cmocka_unit_test(test_native),
	};

	const struct CMUnitTest ept_tests[] = {
		cmocka_unit_test(test_wrong_type_is_found),
		cmocka_unit_test(test_types),
	};

	int failed = cmocka_run_group_tests_name("NPT", tests, NULL, NULL);
	nested_is_ept = true;
	failed += cmocka_run_group_tests_name("EPT", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("EPT's types", ept_tests, NULL, NULL);
}
