/* SPDX-License-Identifier: BSD-2-Clause */
/* scatter and share: whole sweeps, parts of them, refusals, and signals at every request. */
#include <string.h>

#include "harness.h"

#define A "0x20000000-0x20080000" /* 128 pages */

static void start(void)
{
	fake_reset(fake);
	assert_done("virtualize --range " A);
	fake->requests = 0;
}

static void test_scatter(void **state)
{
	(void)state;
	start();
	assert_done("scatter");
	assert_non_null(strstr(out, "scattered 0x20000000-0x20080000: 128 page(s) moved in "));
	assert_non_null(strstr(out, " s, 128 displaced now\n"));
	start();
	assert_done("scatter --range 0x1ff00000-0x20008000 --seed 7 --batch 2");
	assert_printed("scattered 0x1ff00000-0x20008000: 8 page(s) moved in ");
	assert_int_equal(fake->last_op, SCRIM_OP_SCATTER);
	start();
	assert_done("scatter --fraction 1/4");
	assert_printed(": 32 page(s) moved in ");
}

static void test_scatter_json(void **state)
{
	json_t *root;

	(void)state;
	start();
	assert_done("scatter --json --fraction=50% --seed 0x2a");
	root = output_json();
	assert_text(root, "start", "0x20000000");
	assert_text(root, "end", "0x20080000");
	assert_count(root, "seed", 42);
	assert_near(root, "fraction", 0.5);
	assert_true(json_is_true(at(root, "finished")));
	assert_count(root, "pages_moved", 64);
	assert_count(root, "displaced", 64);
	assert_true(json_is_real(at(root, "seconds")));
	json_decref(root);
}

static void test_share(void **state)
{
	json_t *root;

	(void)state;
	start();
	assert_done("share --range 0x20000000-0x20010000");
	assert_printed("shared 0x20000000-0x20010000: 16 page(s) came to share in ");
	assert_printed(" s; 16 page(s) share now, 16 frame(s) saved\n");
	assert_done("share --json --batch 1");
	root = output_json();
	assert_text(root, "end", "0x20080000");
	assert_count(root, "pages_shared", 112);
	assert_count(root, "shared", 128);
	assert_count(root, "saved", 128);
	assert_true(json_is_true(at(root, "finished")));
	assert_true(json_is_real(at(root, "seconds")));
	json_decref(root);
}

static void test_sweep_refused(void **state)
{
	static const enum scrim_op ops[] = { SCRIM_OP_AIM, SCRIM_OP_SCATTER, SCRIM_OP_SCATTER_STEP };

	(void)state;
	assert_refused("scatter", "run scrimctl virtualize first");
	assert_refused("share --range " A, "run scrimctl virtualize first");
	start();
	assert_refused("scatter --range 0x20000001-0x20080000", "multiples of 4096");
	assert_refused("share --range 0x20000000-0x20080001", "multiples of 4096");
	assert_refused("scatter --range 0xa0000-0xb0000", "no RAM of the OS's is in 0xa0000-0xb0000");
	for (size_t i = 0; i < COUNT(ops); i++) {
		refuse(ops[i], SCRIM_EINVAL, 0);
		assert_int_equal(run("scatter"), EXIT_REFUSED);
		assert_one_complaint();
	}
	refuse(SCRIM_OP_SHARE_STEP, SCRIM_ENOTABLE, 0);
	assert_refused("share", "share stopped after 0 page(s) shared: no memory is left");
	refuse(SCRIM_OP_SCATTER_STEP, SCRIM_ESTATE, SCRIM_REMAPPING);
	assert_refused("scatter", "devirtualize is unfinished");
	fake->refuse = false;
	fake->memory.managed.count = 0;
	assert_refused("scatter", "no memory is managed");
}

static void test_scatter_stops_for_want_of_frames(void **state)
{
	json_t *root;

	(void)state;
	start();
	fake->memory.frames_free = 100;
	assert_refused("scatter --json --batch 10", "scatter stopped after 100 page(s) moved: no free frame is left");
	root = output_json();
	assert_true(json_is_false(at(root, "finished")));
	assert_count(root, "pages_moved", 100);
	json_decref(root);
	fake->memory.frames_free = 1;
	assert_done("devirtualize");
}

static void test_sweep_interrupted(void **state)
{
	static const char *const lines[] = { "scatter --batch 16", "share --batch 16" };

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		for (unsigned at_request = 1;; at_request++) {
			enum exit_code code;

			start();
			fake->signal_at = at_request;
			code = run(lines[i]);
			if (fake->interrupted == 0)
				break;
			fake->interrupted = 0;
			if (code != EXIT_DONE) {
				assert_one_complaint();
				assert_non_null(strstr(err, "the map is valid"));
			}
			assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
			fake->signal_at = 0;
			assert_done(lines[i]);
			assert_done("devirtualize");
			assert_true(at_request < 100);
		}
	}
}

int tests_of_sweep(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_scatter),	       TEST(test_scatter_json),
		TEST(test_share),	       TEST(test_sweep_refused),
		TEST(test_sweep_interrupted),  TEST(test_scatter_stops_for_want_of_frames),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
