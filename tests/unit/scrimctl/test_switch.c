/* SPDX-License-Identifier: BSD-2-Clause */
/* virtualize and devirtualize of all memory: done, refused, unfinished, CPUs out of reach. */
#include <errno.h>
#include <string.h>

#include "harness.h"

static void test_virtualize(void **state)
{
	(void)state;
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	assert_non_null(strstr(out, "4 CPU(s)"));
	fake->requests = 0;
	assert_done("virtualize");
	assert_non_null(strstr(out, "already"));
	assert_int_equal(fake->requests, 2);
}

static void test_virtualize_from_guarded(void **state)
{
	(void)state;
	fake->cpus[1].mode = SCRIM_CPU_GUARDED;
	assert_done("virtualize");
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_virtualize_unfinished(void **state)
{
	(void)state;
	fake_begin(fake, SCRIM_COMMENCING);
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	fake->state = SCRIM_REMAPPING;
	assert_refused("virtualize", "devirtualize --abort");
	fake->state = SCRIM_CEASING;
	assert_refused("virtualize", "devirtualize is unfinished");
	assert_int_equal(fake->state, SCRIM_CEASING);
}

static void test_virtualize_unreachable_cpu(void **state)
{
	(void)state;
	fake->cpus[2].blocked_states = 1 << SCRIM_NATIVE | 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "APIC id 4 (cpu1100)");
	assert_non_null(strstr(err, "nothing has changed"));
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake->cpus[2].online = false;
	assert_refused("virtualize", "does not list it as online");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
	fake->cpus[2].mode = SCRIM_CPU_STARTING;
	assert_refused("virtualize", "nothing has changed");
}

static void test_virtualize_cpu_out_of_reach_later(void **state)
{
	(void)state;
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "APIC id 4 (cpu1100)");
	assert_non_null(strstr(err, "failed and undone"));
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING | 1 << SCRIM_CEASING;
	assert_refused("virtualize", "run scrimctl devirtualize");
	assert_int_equal(fake->state, SCRIM_CEASING);
	assert_refused("devirtualize", "APIC id 4");
	fake->cpus[2].blocked_states = 0;
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
}

static void test_virtualize_waits_for_a_cpu_that_comes_online(void **state)
{
	(void)state;
	fake->cpus[1].online = false;
	fake->online_at_pause = 2;
	fake->cpus[1].mode = SCRIM_CPU_STARTING;
	assert_done("virtualize");
	assert_true(fake->pauses == 1);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	fake_reset(fake);
	fake_begin(fake, SCRIM_COMMENCING);
	fake->cpus[1].online = false;
	fake->online_at_pause = 2;
	assert_done("virtualize");
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_rounds_are_bounded(void **state)
{
	(void)state;
	fake_begin(fake, SCRIM_COMMENCING);
	fake->never_zero = true;
	assert_refused("virtualize", "have not switched");
	assert_true(fake->pauses < 20);
	fake_reset(fake);
	fake->flicker = true;
	assert_refused("virtualize", "another scrimctl");
	fake_reset(fake);
	fake_begin(fake, SCRIM_CEASING);
	for (unsigned i = 0; i < 4; i++)
		fake->cpus[i].blocked_states = 1 << SCRIM_CEASING;
	assert_refused("devirtualize", "Invalid argument");
	fake_reset(fake);
	fake->online_error = ENOENT;
	assert_refused("virtualize", "mount sysfs");
}

static void test_virtualize_beaten_by_another(void **state)
{
	(void)state;
	fake->beaten = true;
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

static void test_virtualize_refused(void **state)
{
	(void)state;
	refuse(SCRIM_OP_VIRTUALIZE, SCRIM_ENOTABLE, 0);
	assert_refused("virtualize", "map=boot");
	refuse(SCRIM_OP_VIRTUALIZE, SCRIM_ECPU, 1);
	assert_refused("virtualize", "on its way");
	refuse(SCRIM_OP_ABORT, SCRIM_EBADREQ, 0);
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "install the scrimctl");
}

static void test_devirtualize(void **state)
{
	static const unsigned pages[] = { 0, 1, 63, 64, 65, FAKE_PAGES };
	char words[32];

	(void)state;
	for (size_t i = 0; i < COUNT(pages); i++) {
		fake_reset(fake);
		fake_virtualize(fake, pages[i]);
		assert_done("devirtualize");
		snprintf(words, sizeof(words), " %u page(s) came home", pages[i]);
		assert_non_null(strstr(out, words));
		assert_int_equal(fake->state, SCRIM_NATIVE);
		assert_all_modes(SCRIM_CPU_NATIVE);
		assert_done("devirtualize");
		assert_non_null(strstr(out, "nothing was done"));
	}
}

static void test_devirtualize_unfinished(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake_virtualize(fake, 0);
	fake_begin(fake, SCRIM_CEASING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake_begin(fake, SCRIM_COMMENCING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
}

static void test_devirtualize_unreachable_cpu(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	fake->cpus[0].blocked_states = 1 << SCRIM_VIRTUALIZED;
	assert_refused("devirtualize", "nothing has changed");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake->memory.displaced, 100);
}

static void test_devirtualize_abort(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	assert_done("devirtualize --abort");
	assert_non_null(strstr(out, "nothing was done"));
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize --abort");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake->memory.displaced, 100);
	fake_virtualize(fake, 0);
	fake_begin(fake, SCRIM_CEASING);
	fake->cpus[1].mode = SCRIM_CPU_NATIVE;
	assert_done("devirtualize --abort");
	assert_non_null(strstr(out, "again"));
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	fake_reset(fake);
	assert_refused("devirtualize --abort", "no unfinished devirtualize");
}

static void test_devirtualize_refused(void **state)
{
	(void)state;
	fake_virtualize(fake, 10);
	refuse(SCRIM_OP_STEP, SCRIM_ENOFRAME, 0);
	assert_refused("devirtualize", "report it");
	assert_int_equal(fake->state, SCRIM_REMAPPING);
	refuse(SCRIM_OP_ABORT, SCRIM_EBADREQ, 0);
	assert_refused("devirtualize --abort", "install the scrimctl");
}

int tests_of_switch(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtualize),
		TEST(test_virtualize_from_guarded),
		TEST(test_virtualize_unfinished),
		TEST(test_virtualize_unreachable_cpu),
		TEST(test_virtualize_cpu_out_of_reach_later),
		TEST(test_virtualize_waits_for_a_cpu_that_comes_online),
		TEST(test_rounds_are_bounded),
		TEST(test_virtualize_beaten_by_another),
		TEST(test_virtualize_refused),
		TEST(test_devirtualize),
		TEST(test_devirtualize_unfinished),
		TEST(test_devirtualize_unreachable_cpu),
		TEST(test_devirtualize_abort),
		TEST(test_devirtualize_refused),
	};

	return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
