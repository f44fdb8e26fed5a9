/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the search for equal pages: what is shared and passed over, and what is left where memory for tables ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/share.h"

#define SLOTS 64u

static struct fake_machine machine;
static struct mem mem;
static struct mem_moved moved;
static struct mem_share share;
static uint64_t slots[SLOTS];

/* Every page is zero, and whoever writes, writes zeros. */
static int start(void **unused)
{
	(void)unused;
	fake_machine_start(&machine, 5);
	fake_machine_fill(&machine, 1);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	machine.mem = &mem;
	moved = (struct mem_moved){ 0 };
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	fake_machine_stop(&machine);
	free(mem.config.storage);
	return 0;
}

static void assert_sound(void)
{
	const struct mem_view view = { .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	uint64_t where;

	assert_int_equal(mem_check(&mem, &view, &where), SCRIM_HOLDS);
	assert_int_equal(fake_machine_leaves(&machine), mem.leaf_count + mem.reverse_leaf_count);
	assert_int_equal(fake_machine_split_chunks(&machine), mem.leaf_count);
	fake_machine_verify(&machine);
	if (machine.fault)
		fail_msg("%s", machine.fault);
}

static uint64_t share_range(uint64_t first, uint64_t last)
{
	memset(slots, 0, sizeof(slots));
	mem_share_start(&share, gfn(first), gfn(last), slots, SLOTS);
	while (mem_share_step(&mem, &share, 200) == MEM_STEP_AGAIN)
		assert_sound();
	assert_sound();
	return share.shared;
}

static void bring_all_home(void)
{
	while (fake_bring_home(&mem, SCRIM_BATCH_MAX, &moved) > 0)
		;
}

/* In as many frames as keep lists of pages short. */
static void test_zero_pages(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		uint64_t saved = 996;

		assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)reverse), SCRIM_OK);
		assert_int_equal(share_range(256, 1256), saved);
		assert_int_equal(mem.saved, saved);
		assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES + saved);
		assert_int_equal(mem.read_only, 1000);
		assert_int_equal(share_range(256, 1256), 0);
		bring_all_home();
		assert_int_equal(mem.saved + mem.read_only + mem.leaf_count + mem.reverse_leaf_count, 0);
		assert_sound();
	}
}

/* Two steps of one search, two writes: each has its own page again, and nobody is asked twice. */
static void test_writes_unshare(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)reverse), SCRIM_OK);
		assert_int_equal(share_range(300, 303), 2);

		uint64_t copies = machine.copies;

		assert_int_equal(mem_unshare_on_write(&mem, gfn(301), &moved), MEM_STEP_DONE);
		assert_int_equal(machine.copies, copies + 1);
		assert_int_equal(mem_unshare_on_write(&mem, gfn(301), &moved), MEM_STEP_DONE); /* another CPU was first */
		assert_int_equal(machine.copies, copies + 1);
		assert_int_equal(mem.saved, 1);
		assert_sound();
		assert_int_equal(mem_unshare_on_write(&mem, gfn(300), &moved), MEM_STEP_DONE);
		assert_int_equal(mem.saved + mem.read_only + mem.displaced, 0);
		assert_sound();
	}
}

/* Where devices translate, every page of RAM may be displaced; shared it is only where none writes. */
static void test_devices_translate(void **unused)
{
	(void)unused;
	mem.config.movable = &machine.ram;
	assert_true(mem_may_displace(&mem, gfn(10)) && !mem_may_share(&mem, gfn(10)));
	assert_true(mem_may_displace(&mem, gfn(300)) && mem_may_share(&mem, gfn(300)));
	assert_int_equal(share_range(0, 200), 0);
	assert_int_equal(share_range(300, 303), 2);
	bring_all_home();
	assert_sound();
}

static void test_passed_over(void **unused)
{
	mfn_t frame;

	(void)unused;
	assert_int_equal(share_range(0, 200), 0);           /* devices write there */
	assert_int_equal(share_range(FAKE_RESERVE_FIRST, FAKE_RESERVE_FIRST + 50), 0);
	assert_int_equal(share_range(UINT64_MAX - 5, UINT64_MAX), 0);
	assert_int_equal(share_range(301, 300), 0);
	assert_int_equal(mem_unmanage(&mem, 310 * PAGE_SIZE, 315 * PAGE_SIZE), SCRIM_OK);
	assert_int_equal(share_range(306, 320), 8);
	assert_int_equal(mem_displace(&mem, gfn(400), &frame, &moved), SCRIM_OK);
	assert_int_equal(share_range(400, 402), 1); /* where a partner is does not matter */
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	mem_share_start(&share, gfn(500), gfn(600), slots, SLOTS);
	assert_int_equal(mem_share_step(&mem, &share, 100), MEM_STEP_WAIT);
	mem_remap_stop(&mem);
	bring_all_home();
	assert_sound();
}

/* What a run says is what each of its pages is told, and there are few of them; also where ranges end within a page. */
static void test_runs(void **unused)
{
	uint64_t runs = 0;

	(void)unused;
	assert_int_equal(mem_unmanage(&mem, 310 * PAGE_SIZE, 315 * PAGE_SIZE), SCRIM_OK);
	fake_machine_offline(&machine, 1024, 1100);
	assert_int_equal(mem_lend(&mem, 1024 * PAGE_SIZE, 1100 * PAGE_SIZE), SCRIM_OK);
	machine.dma_free.entry[0].end -= 1;
	machine.ram.entry[0].start += 1;
	for (uint64_t page = 0; page < FAKE_PAGES + 1000; runs++) {
		struct mem_run run = mem_run_around(&mem, gfn(page));

		assert_true(run.first.n <= page && page < run.end.n);
		for (uint64_t other = run.first.n; other < run.end.n && other < FAKE_PAGES + 1000; other++) {
			assert_true(mem_may_share(&mem, gfn(other)) == run.may_share);
			assert_int_equal(mem_run_around(&mem, gfn(other)).end.n, run.end.n);
		}
		page = run.end.n;
	}
	assert_in_range(runs, 8, 40);
	assert_false(mem_run_around(&mem, gfn(UINT64_MAX - 1)).may_share);
	machine.dma_free.entry[0].end += 1;
	machine.ram.entry[0].start -= 1;
}

/* Each table page refused in turn: fewer pages are shared, and nothing is left of the attempt. */
static uint32_t refuse_each(enum mem_reverse reverse, uint64_t first, uint64_t last)
{
	uint32_t n = 0;
	bool failed = true;

	while (failed) {
		assert_int_equal(mem_use_reverse(&mem, reverse), SCRIM_OK);
		machine.fail_at = ++n;
		(void)share_range(first, last);
		failed = machine.fail_at == 0;
		machine.fail_at = 0;
		bring_all_home();
		assert_int_equal(mem.leaf_count + mem.reverse_leaf_count + mem.saved, 0);
		assert_sound();
	}
	return n - 1;
}

static void test_every_allocation_fails(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		assert_in_range(refuse_each((enum mem_reverse)reverse, 300, 302), 3, 10);  /* in one chunk */
		assert_in_range(refuse_each((enum mem_reverse)reverse, 510, 514), 5, 20);  /* in two */
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_zero_pages),
		TEST(test_writes_unshare),
		TEST(test_devices_translate),
		TEST(test_passed_over),
		TEST(test_runs),
		TEST(test_every_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
