/* SPDX-License-Identifier: BSD-2-Clause */
/* The tool killed and interrupted at every request, and what the next command makes of it. */
#include <string.h>

#include "harness.h"

static void start_native(void)
{
	fake_reset(fake);
}

static void start_guarded(void)
{
	fake_reset(fake);
	fake->cpus[0].mode = SCRIM_CPU_GUARDED;
	fake->cpus[0].guard_over = true;
}

static void start_displaced(void)
{
	fake_reset(fake);
	fake_virtualize(fake, 200);
}

static void start_home(void)
{
	fake_reset(fake);
	fake_virtualize(fake, 0);
}

static void start_ceasing(void)
{
	start_home();
	fake_begin(fake, SCRIM_CEASING);
}

static const struct {
	void (*start)(void);
	const char *line;
} journeys[] = {
	{ start_native, "virtualize" },
	{ start_guarded, "virtualize" },
	{ start_displaced, "devirtualize" },
	{ start_home, "devirtualize" },
	{ start_ceasing, "devirtualize --abort" },
	{ start_native, "virtualize --range 0x20000000-0x20010000 --range 1G-1025M" },
	{ start_home, "virtualize --range 0x20000000-0x20010000" },
	{ start_displaced, "devirtualize --paused --reverse search" },
	{ start_displaced, "devirtualize --range 0x20000000-0x20010000 --range 0x20020000-0x20030000 --batch 5" },
	{ start_displaced, "scatter --range 0x20000000-0x20100000 --fraction 1/2" },
	{ start_displaced, "share --range 0x20000000-0x20100000" },
	{ start_native, "status" },
	{ start_guarded, "status --json" },
};

/* From wherever a killed or interrupted tool left the machine, the next command goes where it says. */
static void assert_goes_on(void)
{
	enum scrim_state left_in = fake_state(fake);
	uint64_t displaced = fake->memory.displaced;
	struct fake left = *fake;

	assert_true(displaced == 0 || left_in == SCRIM_VIRTUALIZED || left_in == SCRIM_REMAPPING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_not_equal(fake->cpus[i].mode, SCRIM_CPU_TRANSLATING);
	*fake = left;
	assert_done("status");
	if (left_in == SCRIM_REMAPPING || left_in == SCRIM_CEASING) {
		assert_refused("virtualize", "unfinished");
		assert_done("devirtualize --abort");
		assert_int_equal(fake->memory.displaced, displaced);
	} else {
		assert_done("virtualize");
	}
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_killed_at_every_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned at_request = 1;; at_request += strncmp(journeys[i].line, "status", 6) == 0 ? 7 : 1) {
			journeys[i].start();
			fake->kill_at = at_request;
			if (run_in_child(journeys[i].line) != FAKE_KILLED)
				break;
			fake->kill_at = 0;
			fake->pinned = false; /* an affinity dies with its thread */
			assert_goes_on();
			assert_true(at_request < 1000);
		}
	}
}

static void test_interrupted_at_every_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned at_request = 1;; at_request++) {
			enum exit_code code;

			journeys[i].start();
			fake->signal_at = at_request;
			code = run(journeys[i].line);
			if (fake->interrupted == 0)
				break;
			fake->signal_at = 0;
			fake->interrupted = 0;
			if (code != EXIT_DONE) {
				assert_int_equal(code, EXIT_REFUSED);
				assert_one_complaint();
				assert_non_null(strstr(err, "interrupted"));
			}
			if (journeys[i].start != start_home && strncmp(journeys[i].line, "virtualize", 10) == 0)
				assert_int_equal(fake->state, code == EXIT_DONE ? SCRIM_VIRTUALIZED : SCRIM_NATIVE);
			assert_goes_on();
			assert_true(at_request < 1000);
		}
	}
}

int tests_of_killed(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_killed_at_every_request),
		TEST(test_interrupted_at_every_request),
	};

	return cmocka_run_group_tests_name("killed", tests, NULL, NULL);
}
