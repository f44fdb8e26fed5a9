/* SPDX-License-Identifier: BSD-2-Clause */
/* dirty: what it counts, how it is drawn, and what it leaves. */
#include <string.h>

#include "harness.h"

static void start(void)
{
	/* One page in five is written (fake_is_written()). */
	static const struct range ram[] = { { 0x400000, 0x800000 }, { 0x40000000, 0x40100000 }, { 0x1000, 0x9f000 } };

	fake_reset(fake);
	fake->memory.ram = ram;
	fake->memory.ram_count = COUNT(ram);
}

static json_int_t multiples_of_5(json_int_t from, json_int_t to)
{
	return (to + 4) / 5 - (from + 4) / 5;
}

static void test_json(void **state)
{
	json_t *root;

	(void)state;
	start();
	assert_int_equal(run("dirty --seconds 1 --json --range 0x402000-0x403000 --range 4M-5M --range 0-1M"), EXIT_DONE);
	root = output_json();
	assert_count(root, "pages", 256 + 0x9e);
	assert_count(root, "written", multiples_of_5(0x400, 0x500) + multiples_of_5(1, 0x9f));
	assert_text(root, "blocks.0.start", "0x0");
	assert_count(root, "blocks.0.pages", 0x9e);
	assert_text(root, "blocks.1.start", "0x400000");
	assert_count(root, "blocks.1.written", multiples_of_5(0x400, 0x500));
	assert_text(root, "ranges.0.start", "0x5000");
	assert_text(root, "ranges.0.end", "0x6000");
	assert_int_equal(json_array_size(at(root, "ranges")), json_integer_value(at(root, "written")));
	assert_int_equal(json_array_size(at(root, "samples")), 8);
	assert_true(json_real_value(at(root, "growth_per_second")) == 0);
	json_decref(root);
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_NONE);
}

static void test_picture(void **state)
{
	(void)state;
	start();
	fake_virtualize(fake, 0);
	assert_done("dirty --seconds=1");
	assert_printed("one cell is 2.0 MiB: '.' nothing of it written, ':' to '#' up to all of it\n");
	assert_printed("           0  - --\n");
	assert_printed("    40000000  -\n");
	assert_printed("working set of writes: 287 page(s), growing by 0 a second at the end\n");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

static void test_refused(void **state)
{
	(void)state;
	start();
	assert_refused("dirty --range 2G-3G", "no page of the OS's RAM");
	fake->watch.kind = SCRIM_WATCH_IMAGE;
	assert_refused("dirty", "scrimctl snapshot --cancel");
	fake->watch.kind = SCRIM_WATCH_NONE;
	refuse(SCRIM_OP_DIRTY, SCRIM_ENOTABLE, 0);
	assert_int_equal(run("dirty --seconds 1"), EXIT_REFUSED);
	assert_one_complaint();
	refuse(SCRIM_OP_DIRTY, SCRIM_ESTATE, SCRIM_VIRTUALIZED);
	assert_refused("dirty --seconds 1", "another program ended it");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_NONE);
}

static void test_interrupted(void **state)
{
	(void)state;
	for (unsigned at_request = 1; at_request < 40; at_request++) {
		start();
		fake->signal_at = at_request;
		if (run("dirty --seconds 1") != EXIT_DONE)
			assert_one_complaint();
		assert_int_equal(fake->state, SCRIM_NATIVE);
		assert_int_equal(fake->watch.kind, SCRIM_WATCH_NONE);
	}
}

static void test_usage(void **state)
{
	(void)state;
	assert_usage("dirty --seconds 0");
	assert_usage("dirty --seconds 100000");
	assert_usage("dirty --seconds soon");
	assert_usage("dirty now");
	assert_usage("dirty --range 5-4");
}

int tests_of_dirty(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json), TEST(test_picture), TEST(test_refused), TEST(test_interrupted), TEST(test_usage),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
