/* SPDX-License-Identifier: BSD-2-Clause */
/* Portions, and the ways home: virtualize --range, devirtualize with its options. */
#include <string.h>

#include "harness.h"

#define A "0x20000000-0x20010000"
#define B "0x20100000-0x20110000"

static const struct range a = { 0x20000000, 0x20010000 }, b = { 0x20100000, 0x20110000 };

static bool managed(struct range range)
{
	return fake_ranges_cover(&fake->memory.managed, range);
}

/* A and B are managed, and all their 32 pages displaced. */
static void start_two(void)
{
	fake_reset(fake);
	assert_done("virtualize --range " A " --range " B);
	assert_done("scatter");
	assert_int_equal(fake->memory.displaced, 32);
	fake->requests = 0;
}

static void test_virtualize_ranges(void **state)
{
	(void)state;
	assert_done("virtualize --range " A " --range=513M-0x20110000");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_printed("4 CPU(s)");
	assert_printed("2 range(s) are managed as asked, 32 page(s) in all");
	assert_true(managed(a) && managed(b));
	assert_int_equal(fake_pages_of(&fake->memory.managed), 32);
	assert_done("virtualize --range " B);
	assert_printed("already; nothing was done");
	assert_done("virtualize --range 0x20010000-0x20020000");
	assert_printed("1 range(s) are managed as asked, 48 page(s) in all");
	assert_done("virtualize");
	assert_printed("already; nothing was done");
	assert_int_equal(fake_pages_of(&fake->memory.managed), 48);
}

static void test_virtualize_without_ranges_manages_all(void **state)
{
	(void)state;
	assert_done("virtualize");
	assert_true(managed((struct range){ 0x80000000, FAKE_RAM_END }));
	fake_reset(fake);
	fake_begin(fake, SCRIM_COMMENCING); /* killed before its first MANAGE */
	assert_done("virtualize");
	assert_true(managed((struct range){ 0x80000000, FAKE_RAM_END }));
	fake_reset(fake);
	fake_begin(fake, SCRIM_COMMENCING);
	assert_done("virtualize --range " A);
	assert_int_equal(fake_pages_of(&fake->memory.managed), 16);
}

static const char *const bad_ranges[][2] = {
	{ "0x20000001-0x20010000", "does not start and end with a page" },
	{ "0x20000000-0x20010001", "does not start and end with a page" },
	{ A " --range 0x2000f000-0x20020000", "overlap" },
	{ A " --range " A, "overlap" },
	{ "0x7d000000-0x7e001000", "Scrim's own memory" },
	{ "0x7e000000-0x7f000000", "Scrim's own memory" },
	{ "0x90000-0x110000", "at 0x9f000 is a hole, a device or firmware" },
	{ "0xa0000-0xb0000", "at 0xa0000 is a hole" },
	{ "9G-10G", "at 0x240000000 is a hole" },
};

static void test_bad_ranges(void **state)
{
	char line[128];

	(void)state;
	for (size_t i = 0; i < COUNT(bad_ranges); i++) {
		fake_reset(fake);
		snprintf(line, sizeof(line), "virtualize --range %s", bad_ranges[i][0]);
		assert_refused(line, bad_ranges[i][1]);
		assert_int_equal(fake->state, SCRIM_NATIVE);
		fake_virtualize(fake, 10);
		assert_refused(line, bad_ranges[i][1]);
		snprintf(line, sizeof(line), "devirtualize --range %s", bad_ranges[i][0]);
		assert_refused(line, bad_ranges[i][1]);
		assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
		assert_int_equal(fake->memory.displaced, 10);
	}
}

static void test_manage_refused(void **state)
{
	(void)state;
	refuse(SCRIM_OP_MANAGE, SCRIM_EINVAL, 0);
	assert_refused("virtualize --range " A, "failed and undone");
	assert_non_null(strstr(err, "so many ranges"));
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
	fake->refuse = false;
	assert_done("virtualize --range " A);
	refuse(SCRIM_OP_MANAGE, SCRIM_ENOTABLE, 0);
	assert_refused("virtualize --range " A " --range " B, "stopped after 1 of 2 range(s)");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	refuse(SCRIM_OP_RANGE, SCRIM_EBADREQ, 0);
	assert_int_equal(run("virtualize --range " B), EXIT_REFUSED);
}

static void test_devirtualize_range(void **state)
{
	(void)state;
	start_two();
	assert_done("devirtualize --range " A);
	assert_string_equal(out, "1 range(s) are no longer virtualized: 16 page(s) came home, 16 page(s) are still "
				 "managed\n");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_true(!managed(a) && managed(b));
	assert_refused("devirtualize --range " A, "is not managed: its pages are home");
	assert_refused("devirtualize --range 0x200ff000-0x20101000", "is managed only in part");
	assert_done("devirtualize --range 0x20100000-0x20108000");
	assert_printed("8 page(s) came home, 8 page(s) are still managed");
	assert_done("devirtualize --range 0x20108000-0x20110000");
	assert_printed("memory is no longer virtualized (state native): 8 page(s) came home");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_done("devirtualize --range " A);
	assert_printed("nothing was done");
}

static void test_devirtualize_ranges(void **state)
{
	(void)state;
	start_two();
	assert_done("devirtualize --range " B " --range " A);
	assert_printed("state native): 32 page(s) came home");
	start_two();
	assert_done("virtualize --range 1G-1025M");
	assert_done("devirtualize --range " B " --range " A);
	assert_printed("2 range(s) are no longer virtualized: 32 page(s) came home, 256 page(s) are still");
	assert_done("devirtualize");
	assert_printed("state native): 0 page(s)");
}

static void test_devirtualize_range_in_other_states(void **state)
{
	(void)state;
	fake_begin(fake, SCRIM_COMMENCING);
	assert_refused("devirtualize --range " A, "virtualize is unfinished");
	assert_int_equal(fake->state, SCRIM_COMMENCING);
	fake_begin(fake, SCRIM_CEASING);
	assert_done("devirtualize --range " A);
	assert_int_equal(fake->state, SCRIM_NATIVE);
}

static void test_devirtualize_goes_on_with_the_old_range(void **state)
{
	bool home;

	(void)state;
	start_two();
	fake_devirtualize(&fake->memory, b.start, b.end, &home);
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize --range " A);
	assert_int_equal(fake->state, SCRIM_NATIVE);
	start_two();
	fake_devirtualize(&fake->memory, b.start, b.end, &home);
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize --range " B);
	assert_printed("1 range(s) are no longer virtualized: 16 page(s) came home, 16 page(s) are still managed");
	assert_true(managed(a) && !managed(b));
}

static void test_devirtualize_beside_another(void **state)
{
	(void)state;
	start_two();
	refuse(SCRIM_OP_DEVIRTUALIZE, SCRIM_OK, 0); /* as where another homecoming was begun a moment ago */
	assert_refused("devirtualize --range " A, "another scrimctl");
	refuse(SCRIM_OP_DEVIRTUALIZE, SCRIM_EINVAL, 0);
	assert_refused("devirtualize --range " A, "not all managed any more");
	refuse(SCRIM_OP_DEVIRTUALIZE, SCRIM_ENOFRAME, 0);
	assert_refused("devirtualize", "nothing has changed");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

static void test_devirtualize_ways(void **state)
{
	(void)state;
	fake_virtualize(fake, 200);
	assert_done("devirtualize --concurrent --remap indirect --reverse refcount --batch 10");
	assert_int_equal(fake->memory.remap, SCRIM_REMAP_INDIRECT);
	assert_int_equal(fake->memory.reverse, SCRIM_REVERSE_REFCOUNT);
	assert_int_equal(fake->memory.steps, 20);
	fake_virtualize(fake, 200);
	assert_done("devirtualize");
	assert_int_equal(fake->memory.remap, SCRIM_REMAP_DIRECT);
	assert_int_equal(fake->memory.reverse, SCRIM_REVERSE_REFCOUNT);
	fake_virtualize(fake, 200);
	assert_done("devirtualize --reverse=search --batch=256 --remap=direct");
	assert_int_equal(fake->memory.reverse, SCRIM_REVERSE_SEARCH);
	fake_virtualize(fake, 200);
	refuse(SCRIM_OP_REVERSE, SCRIM_ENOTABLE, 0);
	assert_refused("devirtualize --reverse backmap", "the one in use stays");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

static void test_devirtualize_jobs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		fake_reset(fake);
		fake_virtualize(fake, FAKE_PAGES);
		assert_done("devirtualize --jobs 4 --batch 1");
		assert_printed(" 400 page(s) came home");
		assert_int_equal(fake->state, SCRIM_NATIVE);
		assert_int_equal(fake->memory.steps, FAKE_PAGES);
	}
	fake_virtualize(fake, FAKE_PAGES);
	refuse(SCRIM_OP_STEP, SCRIM_ENOFRAME, 0);
	assert_refused("devirtualize --jobs 8", "report it");
}

static void test_devirtualize_paused(void **state)
{
	(void)state;
	fake_virtualize(fake, 300);
	fake->pause_us = 400000;
	assert_done("devirtualize --paused");
	assert_string_equal(out, "the machine will stand still for about 0.4 s\n"
				 "memory is no longer virtualized (state native): 300 page(s) came home\n");
	assert_int_equal(fake->memory.pauses, 1);
	assert_int_equal(fake->memory.steps, 0);
	fake_virtualize(fake, 300);
	fake->pause_us = 2000001;
	fake->requests = 0;
	assert_refused("devirtualize --paused", "add --force");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_done("devirtualize --paused --force");
	assert_printed("about 2.0 s");
	start_two();
	fake->pause_us = 0;
	assert_done("devirtualize --paused --range " A);
	assert_string_equal(out, "1 range(s) are no longer virtualized: 16 page(s) came home, 16 page(s) are still "
				 "managed\n");
}

static void test_devirtualize_paused_unfinished(void **state)
{
	(void)state;
	fake_virtualize(fake, 300);
	fake->state = SCRIM_REMAPPING;
	fake->memory.remap_all = true;
	fake->pause_us = 3000000;
	assert_refused("devirtualize --paused", "stand still for about 3.0 s");
	assert_int_equal(fake->state, SCRIM_REMAPPING);
	assert_int_equal(fake->memory.displaced, 300);
	refuse(SCRIM_OP_PAUSED, SCRIM_ECPU, 0);
	assert_refused("devirtualize --paused --force", "a CPU did not come in time, and nothing has moved");
	fake->refuse = false;
	assert_done("devirtualize --paused --force");
	assert_int_equal(fake->memory.pauses, 1);
}

static void test_interrupted_between_ranges(void **state)
{
	unsigned at_request;

	(void)state;
	for (at_request = 1;; at_request++) {
		enum exit_code code;

		start_two();
		assert_done("virtualize --range 1G-1025M");
		fake->requests = 0;
		fake->signal_at = at_request;
		code = run("devirtualize --range " A " --range " B " --batch 4");
		if (fake->interrupted == 0)
			break;
		fake->interrupted = 0;
		fake->signal_at = 0;
		if (code != EXIT_DONE)
			assert_one_complaint();
		assert_true(fake->state == SCRIM_VIRTUALIZED || fake->state == SCRIM_REMAPPING);
		assert_done("devirtualize");
		assert_int_equal(fake->memory.displaced, 0);
	}
	assert_true(at_request > 30);
}

/* The same command once more, after a kill in the middle of a range, goes on behind that range. */
static void test_killed_between_ranges(void **state)
{
	(void)state;
	for (unsigned at_request = 1;; at_request++) {
		start_two();
		assert_done("virtualize --range 1G-1025M");
		fake->requests = 0;
		fake->kill_at = at_request;
		if (run_in_child("devirtualize --range " A " --range " B " --batch 4") != FAKE_KILLED)
			break;
		fake->kill_at = 0;
		fake->pinned = false;
		if (fake->state == SCRIM_REMAPPING || managed(a)) {
			assert_done("devirtualize --range " A " --range " B);
			assert_int_equal(fake->memory.displaced, 0);
		} else if (managed(b)) {
			assert_refused("devirtualize --range " A " --range " B, "is not managed");
			assert_done("devirtualize --range " B);
		}
		assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
		assert_int_equal(fake_pages_of(&fake->memory.managed), 256);
	}
}

int tests_of_portions(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtualize_ranges),
		TEST(test_virtualize_without_ranges_manages_all),
		TEST(test_bad_ranges),
		TEST(test_manage_refused),
		TEST(test_devirtualize_range),
		TEST(test_devirtualize_ranges),
		TEST(test_devirtualize_range_in_other_states),
		TEST(test_devirtualize_goes_on_with_the_old_range),
		TEST(test_devirtualize_beside_another),
		TEST(test_devirtualize_ways),
		TEST(test_devirtualize_jobs),
		TEST(test_devirtualize_paused),
		TEST(test_devirtualize_paused_unfinished),
		TEST(test_interrupted_between_ranges),
		TEST(test_killed_between_ranges),
	};

	return cmocka_run_group_tests_name("portions", tests, NULL, NULL);
}
