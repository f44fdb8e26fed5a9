/* SPDX-License-Identifier: BSD-2-Clause */
/* retire: from either state, by machine address or as Linux logged it; and what devirtualize says of it. */
#include <string.h>

#include "harness.h"

static void test_retire(void **state)
{
	json_t *root;

	(void)state;
	fake_virtualize(fake, 0);
	fake->memory.sharers = 2;
	assert_done("retire 0x20000040 513M");
	assert_string_equal(out, "0x20000000 is retired, 3 page(s) moved\n0x20100000 is retired, 1 page(s) moved\n");
	assert_int_equal(fake->memory.retired.count, 2);
	assert_done("retire --json 0x20000fff");
	root = output_json();
	assert_text(root, "retired.0.machine", "0x20000000");
	assert_count(root, "retired.0.pages_moved", 0);
	assert_true(json_is_null(at(root, "refused")));
	json_decref(root);
	assert_int_equal(fake->memory.retired.count, 2);
	assert_done("status --json");
	root = output_json();
	assert_count(root, "pages.retired", 2);
	assert_text(root, "ranges.retired.1.start", "0x20100000");
	json_decref(root);
	assert_done("status");
	assert_printed("retired ");
}

/* All else comes home, and what stays is told. */
static void test_retire_from_native(void **state)
{
	(void)state;
	assert_done("retire 0x20000000 0x20001000 0x40000000");
	assert_printed("0x40000000 is retired, 1 page(s) moved\n");
	assert_printed("memory stays virtualized for 4.0 MiB around 3 retired frame(s)");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake_pages_of(&fake->memory.managed), 1024);
	/* Again: there is nothing to do. */
	assert_done("devirtualize");
	assert_printed("0 page(s) came home\nmemory stays virtualized");
	fake->state = SCRIM_NATIVE;
	assert_refused("retire 0x20000000 0x10000000", "after 1 of 2");
}

static void test_retire_from_native_json(void **state)
{
	json_t *root;

	(void)state;
	assert_int_equal(run("retire --json 0x20000000"), EXIT_DONE);
	root = output_json(); /* nothing else is on the output */
	assert_text(root, "retired.0.machine", "0x20000000");
	json_decref(root);
	assert_non_null(strstr(err, "memory stays virtualized"));
}

/* A portion with a retired frame in it is left but for its 2 MiB; one that another manages again is still told. */
static void test_devirtualize_portion(void **state)
{
	(void)state;
	fake_virtualize(fake, 0);
	assert_done("retire 0x20300000");
	assert_done("devirtualize --range 512M-520M");
	assert_printed("1 range(s) are no longer virtualized");
	assert_printed("memory stays virtualized for 2.0 MiB around 1 retired frame(s) in 0x20000000-0x20800000");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_done("devirtualize --range 1G-1025M");
	assert_int_equal(strstr(out, "retired") == NULL, 1);
}

static void test_retire_logged(void **state)
{
	(void)state;
	fake_virtualize(fake, 0);
	assert_done("retire --logged 0x20000040"); /* nothing was told: it is the frame */
	assert_printed("0x20000000 is retired");
	fake->memory.told_physical = 0x20500080;
	fake->memory.told_machine = 0x20700080;
	assert_done("retire --logged 0x20500040");
	assert_printed("0x20700000 is retired");
	assert_done("retire 0x20500040");
	assert_printed("0x20500000 is retired");
	assert_done("retire --logged 0x20a00000");
	assert_printed("0x20b00000 is retired");
}

static void test_retire_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "retire 0x250000000", "no frame that holds pages" },
		{ "retire 0x10000000", "a device may write" },
	};
	json_t *root;

	(void)state;
	assert_usage("retire");
	assert_usage("retire 0x2000q");
	assert_usage("retire --all 0x20000000");
	fake_virtualize(fake, 0);
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_refused(cases[i][0], cases[i][1]);
	refuse(SCRIM_OP_RETIRE, SCRIM_ENOFRAME, 0);
	assert_refused("retire 0x20000000", "lend memory");
	refuse(SCRIM_OP_RETIRE, SCRIM_EINVAL, 0);
	assert_refused("retire --json 0x20000000", "so many retired frames");
	root = output_json();
	assert_text(root, "refused.status", "invalid");
	json_decref(root);
	assert_int_equal(fake->memory.retired.count, 0);
}

static void test_retire_in_the_wrong_state(void **state)
{
	(void)state;
	fake->state = SCRIM_REMAPPING;
	assert_refused("retire 0x20000000", "devirtualize is unfinished");
	fake->state = SCRIM_COMMENCING;
	assert_refused("retire 0x20000000", "virtualize is unfinished");
}

static void test_retire_interrupted(void **state)
{
	(void)state;
	fake_virtualize(fake, 0);
	fake->signal_at = 4; /* VERSION, STATE, two frames */
	assert_refused("retire 0x20000000 0x20001000 0x20002000", "after 2 of 3");
	assert_int_equal(fake_pages_of(&fake->memory.retired), 2);
	fake->interrupted = 0;
	fake->requests = 0;
	fake->memory.sharers = 5;
	assert_refused("retire 0x20002000", "after 0 of 1");
}

int tests_of_retire(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_retire),
		TEST(test_retire_from_native),
		TEST(test_retire_from_native_json),
		TEST(test_devirtualize_portion),
		TEST(test_retire_logged),
		TEST(test_retire_refused),
		TEST(test_retire_in_the_wrong_state),
		TEST(test_retire_interrupted),
	};

	return cmocka_run_group_tests_name("retire", tests, NULL, NULL);
}
