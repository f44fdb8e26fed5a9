/* SPDX-License-Identifier: BSD-2-Clause */
/* move and check. */
#include <string.h>

#include "harness.h"
#include "names.h"

static void test_move(void **state)
{
	json_t *root;

	(void)state;
	fake_virtualize(fake, 0);
	assert_done("move 0x20000000 536875008 513M");
	assert_string_equal(out, "0x20000000 -> 0x7f000000\n0x20001000 -> 0x7f001000\n0x20100000 -> 0x7f002000\n");
	assert_done("move 0x1c0000000");
	assert_int_equal(fake->memory.pages[3], 0x1c0000000);
	assert_done("move --json 0x20003000");
	root = output_json();
	assert_text(root, "moved.0.physical", "0x20003000");
	assert_text(root, "moved.0.machine", "0x7f004000");
	assert_true(json_is_null(at(root, "refused")));
	json_decref(root);
}

static void test_move_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "move 0x20000001", "multiple of 4096" },
		{ "move 0x250000000", "no RAM of the OS's" },
		{ "move 0x10000000", "dma-free=" },
		{ "move 0x20000000", "displaced already" },
		{ "move 0xfffffffffffff000", "no physical address" },
	};

	(void)state;
	fake_virtualize(fake, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_refused(cases[i][0], cases[i][1]);
		assert_string_equal(out, "");
	}
	fake->memory.frames_free = 0;
	assert_refused("move 0x20001000", "larger reserve=");
	assert_int_equal(fake->memory.displaced, 1);
}

static void test_move_stops_at_the_first_refusal(void **state)
{
	json_t *root;

	(void)state;
	fake_virtualize(fake, 0);
	assert_refused("move 0x20000000 0x10000000 0x20001000", "after 1 of 3");
	assert_string_equal(out, "0x20000000 -> 0x7f000000\n");
	assert_int_equal(fake->memory.displaced, 1);
	assert_refused("move --json 0x20002000 0x20000000 0x20001000", "after 1 of 3");
	root = output_json();
	assert_int_equal(json_array_size(at(root, "moved")), 1);
	assert_text(root, "refused.physical", "0x20000000");
	assert_text(root, "refused.status", "displaced");
	json_decref(root);
}

static void test_move_in_the_wrong_state(void **state)
{
	static const char *const words[] = { [SCRIM_NATIVE] = "scrimctl virtualize first",
					     [SCRIM_COMMENCING] = "virtualize is unfinished",
					     [SCRIM_REMAPPING] = "devirtualize is unfinished",
					     [SCRIM_CEASING] = "devirtualize is unfinished" };

	(void)state;
	for (int i = SCRIM_NATIVE; i < SCRIM_STATE_COUNT; i++) {
		fake->state = (enum scrim_state)i;
		if (i != SCRIM_VIRTUALIZED)
			assert_refused("move 0x20000000", words[i]);
	}
	fake->state = SCRIM_NATIVE;
	fake->cpus[0].mode = SCRIM_CPU_PARKED;
	assert_refused("move 0x20000000", "in state guarded");
}

static void test_move_interrupted(void **state)
{
	(void)state;
	fake_virtualize(fake, 0);
	fake->signal_at = 3; /* VERSION, two moves */
	assert_refused("move 0x20000000 0x20001000 0x20002000", "interrupted after 2 of 3");
	assert_int_equal(fake->memory.displaced, 2);
}

static void test_check(void **state)
{
	json_t *root;

	(void)state;
	assert_done("check");
	assert_string_equal(out, "all invariants hold\n");
	assert_done("check --json");
	root = output_json();
	assert_true(json_is_true(at(root, "holds")));
	assert_true(json_is_null(at(root, "violation")));
	json_decref(root);
	for (int i = SCRIM_HOLDS + 1; i < SCRIM_VIOLATION_COUNT; i++) {
		fake->violation = (enum scrim_violation)i;
		assert_refused("check", meaning_of_violation((uint64_t)i));
		assert_non_null(strstr(err, "0xabc000"));
		assert_string_equal(out, "");
		assert_refused("check --json", name_of_violation((uint64_t)i));
		root = output_json();
		assert_false(json_is_true(at(root, "holds")));
		assert_count(root, "violation.invariant", i);
		assert_text(root, "violation.name", name_of_violation((uint64_t)i));
		assert_text(root, "violation.address", "0xabc000");
		json_decref(root);
	}
	refuse(SCRIM_OP_CHECK, SCRIM_EBADREQ, 0);
	assert_refused("check", "install the scrimctl");
}

int tests_of_move(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_move),
		TEST(test_move_refused),
		TEST(test_move_stops_at_the_first_refusal),
		TEST(test_move_in_the_wrong_state),
		TEST(test_move_interrupted),
		TEST(test_check),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
