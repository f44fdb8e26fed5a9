/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests write protection of all that nested tables map: at one instant nothing may be written, then what is asked for and nothing beyond the piece
 * around it, at the end everything that the map lets; while a CPU walks, in both formats.
 */
#include "fake_nested.h"
#include "xlat/xlat_protect.h"

#define STEPS 400u
#define READ_ONLY_EVERY 5u /* one hot page of these may only be read, by the map */

static struct {
	uint64_t start, bytes;
} opened[STEPS];
static uint32_t opened_count;

static enum mem_access map_says(gfn_t page)
{
	for (uint32_t i = 0; i < hot_count; i += READ_ONLY_EVERY)
		if (hot[i] == gfn_address(page))
			return MEM_ACCESS_READ;
	return MEM_ACCESS_ALL;
}

static void start(bool has_1g, uint32_t boundaries)
{
	nested_build(40, has_1g, boundaries);
	nested_choose_hot();
	nested_map = map_says;
	opened_count = 0;
	hw.running = true;
}

/* As the engine leaves shared pages: present, to be read. */
static void make_read_only(void)
{
	for (uint32_t i = 0; i < hot_count; i += READ_ONLY_EVERY) {
		nested_make_absent(i);
		nested_flush_pages();
		nested_make_present(i, hot[i], MEM_ACCESS_READ);
	}
}

static bool is_opened(uint64_t address)
{
	for (uint32_t i = 0; i < opened_count; i++)
		if (address - opened[i].start < opened[i].bytes)
			return true;
	return false;
}

/* Behind a flush: where it may be written it was asked for, and the map lets it. */
static void assert_rights(uint64_t address)
{
	address &= ~PAGE_MASK;
	struct nested_found found = nested_access(address);

	assert_true(found.present);
	assert_int_equal(found.frame + (address - found.start), address);
	assert_false(found.writable && (!is_opened(address) || map_says(gfn_of_address(address)) != MEM_ACCESS_ALL));
}

static void assert_all_rights(void)
{
	for (uint32_t i = 0; i < hot_count; i++)
		assert_rights(hot[i]);
	for (uint32_t i = 0; i < 50; i++)
		assert_rights(nested_hot_address());
	nested_assert_no_fault();
}

static void allow(uint64_t address, uint32_t level)
{
	uint64_t bytes = 1ull << (12 + 9 * (level - 1));
	void *table = NULL;
	enum xlat_allow result;

	opened[opened_count].start = address & ~(bytes - 1);
	opened[opened_count++].bytes = bytes;
	nested_load_tlb(address); /* the write that asks for it */
	while ((result = xlat_allow(&xlat, gfn_of_address(address), level, table)) != XLAT_ALLOWED) {
		table = NULL;
		nested_load_tlb(address); /* and again, before anybody flushes */
		if (result == XLAT_BROKEN)
			nested_flush();
		else
			table = xlat.port.table_alloc(xlat.port.context);
	}
	assert_true(nested_walk(address).present && nested_walk(address).writable);
}

static void protect(void)
{
	xlat_protect(&xlat);
	nested_flush(); /* the caller's */
	assert_all_rights();
}

static void end(void)
{
	xlat_unprotect(&xlat);
	for (uint32_t i = 0; i < hot_count; i++)
		assert_int_equal(nested_walk(hot[i]).writable, map_says(gfn_of_address(hot[i])) == MEM_ACCESS_ALL);
	for (uint32_t i = 0; i < hot_count; i += READ_ONLY_EVERY) { /* home */
		nested_make_absent(i);
		nested_flush_pages();
		nested_make_present(i, hot[i], MEM_ACCESS_ALL);
	}
	nested_tidy();
	nested_assert_identity();
	nested_end();
}

static void test_pieces(void **unused)
{
	(void)unused;
	chance = random_start("pieces");
	for (uint32_t round = 0; round < 8; round++) {
		start(round & 1, round & 2 ? NESTED_BOUNDARIES : 0);
		make_read_only();
		protect();
		for (uint32_t n = 0; n < STEPS; n++) {
			uint64_t address = nested_hot_address() & ~PAGE_MASK;
			if (map_says(gfn_of_address(address)) == MEM_ACCESS_ALL)
				allow(address, 1 + (uint32_t)random_below(&chance, 2 + (round & 1)));
			assert_rights(nested_hot_address());
		}
		assert_all_rights();
		end();
	}
}

/* A chunk at once: each page as the map lets it. */
static void test_chunks(void **unused)
{
	(void)unused;
	chance = random_start("chunks");
	for (uint32_t round = 0; round < 4; round++) {
		start(round & 1, round & 2 ? NESTED_BOUNDARIES : 0);
		make_read_only();
		protect();
		for (uint32_t i = 0; i < hot_count; i++) {
			opened[opened_count].start = hot[i] & ~(MIB(2) - 1);
			opened[opened_count++].bytes = MIB(2);
			xlat_allow_chunk(&xlat, gfn_of_address(hot[i]));
			if (nested_walk(hot[i]).bytes == PAGE_SIZE)
				assert_int_equal(nested_walk(hot[i]).writable, map_says(gfn_of_address(hot[i])) == MEM_ACCESS_ALL);
			assert_all_rights();
		}
		end();
	}
}

/* Over and over: what was handed down or taken apart before is there still. */
static void test_again(void **unused)
{
	(void)unused;
	chance = random_start("again");
	start(true, NESTED_BOUNDARIES);
	make_read_only();
	for (uint32_t round = 0; round < 10; round++) {
		opened_count = 0;
		protect();
		for (uint32_t n = 0; n < 20; n++) {
			uint64_t address = nested_hot_address() & ~PAGE_MASK;
			if (map_says(gfn_of_address(address)) == MEM_ACCESS_ALL)
				allow(address, 1);
		}
		assert_all_rights();
		xlat_unprotect(&xlat);
	}
	protect();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_again),
	};

	int failed = cmocka_run_group_tests_name("NPT", tests, NULL, NULL);
	nested_is_ept = true;
	return failed + cmocka_run_group_tests_name("EPT", tests, NULL, NULL);
}
