/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the sparse map by itself: Identity where nothing is set, what was set elsewhere, leaves that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/p2m.h"

static struct fake_machine machine;
static struct mem mem;

static int start(void **unused)
{
	(void)unused;
	fake_machine_start(&machine, 1);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	fake_machine_stop(&machine);
	free(mem.config.storage);
	return 0;
}

static void assert_maps(uint64_t page, uint64_t frame, enum mem_access want)
{
	enum mem_access access = MEM_ACCESS_NONE;

	assert_int_equal(p2m_get(&mem, gfn(page), &access).n, frame);
	assert_int_equal(access, want);
}

/* Takes a leaf that says no more than Identity and frees it, as the engine does behind its flush. */
static bool drop_leaf(uint64_t chunk)
{
	struct p2m_leaf *leaf = p2m_take_leaf(&mem, chunk);

	if (leaf)
		mem.config.port->table_free(mem.config.port_context, leaf);
	return leaf != NULL;
}

static void test_empty_is_identity(void **unused)
{
	(void)unused;
	const uint64_t pages[] = { 0, 511, 512, 5119, 5120, 1ull << 40, UINT64_MAX >> PAGE_SHIFT, UINT64_MAX };

	assert_int_equal(mem.chunk_count, FAKE_CHUNKS);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		assert_maps(pages[i], pages[i], MEM_ACCESS_ALL);
}

static void test_leaf_changes_no_meaning(void **unused)
{
	(void)unused;
	assert_true(p2m_add_leaf(&mem, 3));
	assert_true(p2m_add_leaf(&mem, 3));
	assert_int_equal(mem.leaf_count, 1);
	assert_int_equal(fake_machine_leaves(&machine), 1);
	assert_int_equal(mem.displaced, 0);
	for (uint64_t page = 1500; page < 2100; page++)
		assert_maps(page, page, MEM_ACCESS_ALL);
	assert_int_equal(mem.root[3].changed, 0);
	assert_true(drop_leaf(3));
	assert_false(drop_leaf(3));
	assert_int_equal(mem.leaf_count, 0);
	assert_int_equal(fake_machine_leaves(&machine), 0);
}

static void test_set_counts_displaced(void **unused)
{
	(void)unused;
	assert_true(p2m_add_leaf(&mem, 1));
	p2m_set(&mem, gfn(512), mfn(4000), MEM_ACCESS_ALL);
	p2m_set(&mem, gfn(1023), mfn(4001), MEM_ACCESS_READ);
	assert_int_equal(mem.displaced, 2);
	assert_maps(511, 511, MEM_ACCESS_ALL);
	assert_maps(512, 4000, MEM_ACCESS_ALL);
	assert_maps(513, 513, MEM_ACCESS_ALL);
	assert_maps(1023, 4001, MEM_ACCESS_READ);
	assert_maps(1024, 1024, MEM_ACCESS_ALL);

	p2m_set(&mem, gfn(512), mfn(4000), MEM_ACCESS_NONE); /* absent, and still displaced */
	assert_maps(512, 4000, MEM_ACCESS_NONE);
	assert_int_equal(mem.displaced, 2);
	p2m_set(&mem, gfn(512), mfn(4002), MEM_ACCESS_ALL);
	assert_int_equal(mem.displaced, 2);
	p2m_set(&mem, gfn(512), mfn(512), MEM_ACCESS_ALL);
	p2m_set(&mem, gfn(1023), mfn(1023), MEM_ACCESS_READ);
	assert_int_equal(mem.displaced, 0);
	assert_false(drop_leaf(1)); /* at home, but not with every access */
	p2m_set(&mem, gfn(1023), mfn(1023), MEM_ACCESS_ALL);
	assert_true(drop_leaf(1));
}

/* The highest frame number that 52 address bits give, and that 64 would. */
static void test_large_frames(void **unused)
{
	(void)unused;
	assert_true(p2m_add_leaf(&mem, 0));
	p2m_set(&mem, gfn(7), mfn((1ull << 40) - 1), MEM_ACCESS_ALL);
	p2m_set(&mem, gfn(8), mfn(UINT64_MAX >> PAGE_SHIFT), MEM_ACCESS_ALL);
	assert_maps(7, (1ull << 40) - 1, MEM_ACCESS_ALL);
	assert_maps(8, UINT64_MAX >> PAGE_SHIFT, MEM_ACCESS_ALL);
}

static void test_no_memory_for_leaf(void **unused)
{
	(void)unused;
	machine.fail_at = 1;
	assert_false(p2m_add_leaf(&mem, 2));
	assert_int_equal(mem.leaf_count, 0);
	assert_maps(1024, 1024, MEM_ACCESS_ALL);
	assert_true(p2m_add_leaf(&mem, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty_is_identity, start, stop),
		cmocka_unit_test_setup_teardown(test_leaf_changes_no_meaning, start, stop),
		cmocka_unit_test_setup_teardown(test_set_counts_displaced, start, stop),
		cmocka_unit_test_setup_teardown(test_large_frames, start, stop),
		cmocka_unit_test_setup_teardown(test_no_memory_for_leaf, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
