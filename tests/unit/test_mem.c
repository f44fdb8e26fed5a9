/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the engine on the simulated machine: refusals, counts and flushes one by one; random operations against an
 * array model; every allocation failed in turn. SEED=n in the environment repeats a random run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/p2m.h"
#include "mem/reverse.h"

#define RUN_LONG        1000000
#define RUN_CHECKED     3000
#define ALLOCATIONS_FEW 200u

static struct fake_machine machine;
static struct mem mem;
static struct mem_moved moved;

static int start_with(uint64_t seed)
{
	fake_machine_start(&machine, seed);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	machine.mem = &mem;
	moved = (struct mem_moved){ 0 };
	return 0;
}

static int start(void **unused)
{
	(void)unused;
	return start_with(11);
}

static int stop(void **unused)
{
	(void)unused;
	fake_machine_stop(&machine);
	free(mem.config.storage);
	return 0;
}

static void assert_no_fault(void)
{
	if (machine.fault)
		fail_msg("%s", machine.fault);
}

/* Everything that holds between operations. */
static void assert_sound(void)
{
	const struct mem_view view = { .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	uint64_t where;

	assert_int_equal(mem_check(&mem, &view, &where), SCRIM_HOLDS);
	fake_machine_verify(&machine);
	assert_no_fault();
}

static err_t displace(uint64_t page)
{
	mfn_t frame = mfn(UINT64_MAX);
	err_t err = mem_displace(&mem, gfn(page), &frame, &moved);
	enum mem_access access;

	assert_int_equal(frame.n != UINT64_MAX, err == SCRIM_OK);
	if (err == SCRIM_OK)
		assert_int_equal(mem_translate(&mem, gfn(page), &access).n, frame.n);
	return err;
}

/* --- one by one --- */

static void test_is_ram(void **unused)
{
	(void)unused;
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		assert_int_equal(mem_is_ram(&mem, gfn(page)), machine.is_ram[page]);
	assert_false(mem_is_ram(&mem, gfn(UINT64_MAX)));
	assert_false(mem_is_ram(&mem, gfn(UINT64_MAX >> PAGE_SHIFT)));
	assert_false(mem_is_ram(&mem, gfn(1ull << 52))); /* address 0 in 64 bits */
	assert_false(mem_is_ram(&mem, gfn((1ull << 52) + 300)));
	assert_true(mem_may_displace(&mem, gfn(300)));
	assert_false(mem_may_displace(&mem, gfn(1600))); /* RAM that devices reach */
	assert_false(mem_may_displace(&mem, gfn(2050))); /* free of DMA, but not RAM */
}

static void test_displace_and_home(void **unused)
{
	(void)unused;
	assert_int_equal(displace(300), SCRIM_OK);
	assert_int_equal(mem.displaced, 1);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(moved.pages, 1);
	assert_int_equal(moved.copies, 1);
	assert_int_equal(moved.direct, 0);
	assert_int_equal(machine.flushes, 1);
	assert_sound();

	assert_int_equal(fake_bring_home(&mem, 1, &moved), 0);
	assert_int_equal(moved.pages, 2);
	assert_int_equal(moved.copies, 2);
	assert_int_equal(moved.direct, 1);
	assert_int_equal(moved.indirect, 0);
	assert_int_equal(machine.flushes, 3); /* one for the frame, one for the table page */
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(fake_machine_leaves(&machine), 0);
	assert_int_equal(fake_machine_split_chunks(&machine), 0);
	assert_sound();
}

static void test_refusals_change_nothing(void **unused)
{
	(void)unused;
	assert_int_equal(displace(300), SCRIM_OK);

	struct mem before = mem;

	assert_int_equal(displace(200), SCRIM_ENOTRAM);
	assert_int_equal(displace(2999), SCRIM_ENOTRAM); /* half of it is RAM */
	assert_int_equal(displace(4900), SCRIM_ENOTRAM);
	assert_int_equal(displace(1ull << 52), SCRIM_ENOTRAM);
	assert_int_equal(displace(FAKE_RESERVE_FIRST + 280), SCRIM_ENOTRAM);
	assert_int_equal(displace(0), SCRIM_EDMA);
	assert_int_equal(displace(1500), SCRIM_EDMA);
	assert_int_equal(displace(300), SCRIM_EDISPLACED);
	assert_memory_equal(&mem, &before, sizeof(mem));
	assert_sound();
}

static void test_reserve_runs_out(void **unused)
{
	(void)unused;
	for (uint64_t page = 256; page < 256 + FAKE_RESERVE_FRAMES; page++)
		assert_int_equal(displace(page), SCRIM_OK);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES); /* vacated homes */
	assert_int_equal(displace(256), SCRIM_EDISPLACED);
	assert_int_equal(mem.leaf_count, 2);
	assert_int_equal(displace(4600), SCRIM_OK); /* to one of these */
	assert_sound();
	while (fake_bring_home(&mem, SCRIM_BATCH_MAX, &moved) > 0)
		assert_sound();
	assert_int_equal(moved.copies, 2 * moved.direct);
}

/* A batch is bounded by its argument and by SCRIM_BATCH_MAX, and costs one flush, or two where chunks came home. */
static void test_batches(void **unused)
{
	(void)unused;
	for (uint64_t page = 256; page < 256 + FAKE_RESERVE_FRAMES; page++)
		assert_int_equal(displace(page), SCRIM_OK);

	uint64_t flushes = machine.flushes;

	assert_int_equal(fake_bring_home(&mem, 0, &moved), 300);
	assert_int_equal(machine.flushes, flushes);
	assert_int_equal(fake_bring_home(&mem, 1, &moved), 299);
	assert_int_equal(machine.flushes, flushes + 1);
	assert_int_equal(fake_bring_home(&mem, UINT32_MAX, &moved), 299 - SCRIM_BATCH_MAX);
	assert_int_equal(machine.flushes, flushes + 3);
	assert_int_equal(mem.leaf_count, 1);
	assert_int_equal(fake_bring_home(&mem, 256, &moved), 0);
	assert_int_equal(machine.flushes, flushes + 5);
	assert_int_equal(fake_bring_home(&mem, 256, &moved), 0);
	assert_int_equal(machine.flushes, flushes + 5);
	assert_int_equal(moved.direct, 300);
	assert_int_equal(moved.copies, machine.copies);
	assert_sound();
}

/* Pages displaced behind the cursor come home too. */
static void test_cursor_goes_round(void **unused)
{
	(void)unused;
	assert_int_equal(displace(4600), SCRIM_OK);
	assert_int_equal(displace(4601), SCRIM_OK);
	assert_int_equal(fake_bring_home(&mem, 1, &moved), 1);
	assert_int_equal(displace(300), SCRIM_OK);
	assert_int_equal(displace(2500), SCRIM_OK);
	assert_int_equal(fake_bring_home(&mem, 2, &moved), 1);
	assert_sound();
	assert_int_equal(fake_bring_home(&mem, 2, &moved), 0);
	assert_int_equal(fake_machine_leaves(&machine), 0);
	assert_sound();
}

/* The back-end refuses after the map took a leaf: the leaf goes, unless another page needs it. */
static void test_prepare_fails(void **unused)
{
	(void)unused;
	machine.fail_at = 2;
	assert_int_equal(displace(300), SCRIM_ENOTABLE);
	assert_int_equal(mem.leaf_count, 0);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(fake_machine_leaves(&machine), 0);
	assert_sound();

	assert_int_equal(displace(300), SCRIM_OK);
	machine.fail_at = 1;
	assert_int_equal(displace(301), SCRIM_ENOTABLE);
	assert_int_equal(mem.leaf_count, 1);
	assert_int_equal(mem.displaced, 1);
	assert_sound();
}

static void test_no_ram(void **unused)
{
	(void)unused;
	struct mem_config config = mem.config;
	struct range_list none = { .count = 0 };

	config.ram = &none;
	mem_init(&mem, &config);
	assert_int_equal(mem.chunk_count, 0);
	assert_int_equal(displace(300), SCRIM_ENOTRAM);
	assert_int_equal(fake_bring_home(&mem, 256, &moved), 0);
}

static void test_storage(void **unused)
{
	(void)unused;
	assert_int_equal(mem_storage_bytes(0, 0), 3 * PAGE_SIZE);
	assert_int_equal(mem_storage_bytes(1, 0), 3 * PAGE_SIZE + 16 + 3 * sizeof(struct frame_slot));
	assert_int_equal(mem_storage_bytes(MIB(2), MIB(6)), 3 * PAGE_SIZE + 16 + 6 * sizeof(struct frame_slot));
	/* Less than a tenth of a byte a page is always there; what is displaced has tables of its own. */
	assert_true((double)mem_storage_bytes(GIB(64), GIB(64)) / (double)(GIB(64) / PAGE_SIZE) < 0.15);
}

/* --- random operations against an array --- */

struct model {
	uint64_t seed;
	uint64_t frame[FAKE_PAGES];
	uint64_t page_of[FAKE_RESERVE_FRAMES]; /* occupant of a frame of the reserve; 0: none (page 0 is never moved) */
	uint64_t displaced;
	uint64_t done[SCRIM_STATUS_COUNT]; /* displace by result */
	uint64_t homes;
};

static struct model model;

static void model_start(uint64_t seed)
{
	memset(&model, 0, sizeof(model));
	model.seed = seed;
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		model.frame[page] = page;
	start_with(seed);
}

/* Half of the time in a corner where operations meet. */
static uint64_t random_page(void)
{
	if (fake_random_below(&model.seed, 2))
		return 400 + fake_random_below(&model.seed, 300);
	return fake_random_below(&model.seed, FAKE_PAGES);
}

static err_t expected_displace(uint64_t page)
{
	bool dma_free = (page >= 256 && page < 1500) || (page >= 2000 && page < 4700);

	if (!machine.is_ram[page])
		return SCRIM_ENOTRAM;
	if (!dma_free)
		return SCRIM_EDMA;
	if (model.frame[page] != page)
		return SCRIM_EDISPLACED;
	return SCRIM_OK;
}

static void random_displace(void)
{
	uint64_t page = random_page();
	uint64_t copies = machine.copies;
	mfn_t frame;

	if (model.displaced == FAKE_RESERVE_FRAMES)
		return; /* chains and cycles are for other tests */

	machine.fail_at = fake_random_below(&model.seed, 20) ? 0 : 1 + (uint32_t)fake_random_below(&model.seed, 2);

	err_t want = expected_displace(page);
	err_t got = mem_displace(&mem, gfn(page), &frame, &moved);

	if (got == SCRIM_ENOTABLE)
		assert_true(want == SCRIM_OK && machine.fail_at == 0);
	else
		assert_int_equal(got, want);
	machine.fail_at = 0;
	model.done[got]++;
	assert_int_equal(machine.copies - copies, got == SCRIM_OK);
	if (got != SCRIM_OK)
		return;
	assert_in_range(frame.n, FAKE_RESERVE_FIRST, FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES - 1);
	assert_int_equal(model.page_of[frame.n - FAKE_RESERVE_FIRST], 0);
	model.page_of[frame.n - FAKE_RESERVE_FIRST] = page;
	model.frame[page] = frame.n;
	model.displaced++;
}

/* Which pages come home is the engine's choice; how many, and that the others stay where they were, is not. */
static void random_bring_home(void)
{
	uint32_t batch = 1 + (uint32_t)fake_random_below(&model.seed, 1ull << fake_random_below(&model.seed, 9));
	uint64_t expected = model.displaced > batch ? model.displaced - batch : 0;
	enum mem_access access;

	assert_int_equal(fake_bring_home(&mem, batch, &moved), expected);
	for (uint64_t i = 0; i < FAKE_RESERVE_FRAMES; i++) {
		uint64_t page = model.page_of[i];

		if (page == 0 || mem_translate(&mem, gfn(page), &access).n == model.frame[page])
			continue;
		assert_int_equal(mem_translate(&mem, gfn(page), &access).n, page);
		model.frame[page] = page;
		model.page_of[i] = 0;
		model.displaced--;
		model.homes++;
	}
	assert_int_equal(model.displaced, expected);
}

static void random_translate(void)
{
	uint64_t page = random_page();
	enum mem_access access = MEM_ACCESS_NONE;

	assert_int_equal(mem_translate(&mem, gfn(page), &access).n, model.frame[page]);
	assert_int_equal(access, MEM_ACCESS_ALL);
}

/* Seasons: pages come home seldom, so that the reserve fills up, then often, so that leaves come and go. */
static void random_step(int step)
{
	uint64_t kind = fake_random_below(&model.seed, 1000);
	uint64_t homes = step / 1500 % 2 ? 60 : 1;

	if (kind < homes)
		random_bring_home();
	else if (kind < 600)
		random_displace();
	else
		random_translate();
	assert_int_equal(mem.displaced, model.displaced);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(fake_machine_leaves(&machine), mem.leaf_count + mem.reverse_leaf_count);
	assert_int_equal(fake_machine_split_chunks(&machine), mem.leaf_count);
	assert_no_fault();
}

static void finish_random(uint64_t seed)
{
	while (model.displaced > 0)
		random_bring_home();
	assert_int_equal(moved.direct, model.homes);
	assert_int_equal(moved.pages, model.homes + model.done[SCRIM_OK]);
	assert_int_equal(moved.copies, machine.copies);
	assert_int_equal(mem.leaf_count, 0);
	assert_sound();
	print_message("SEED=%llu: %llu moved, %llu accesses, %llu of them waits\n", (unsigned long long)seed,
		      (unsigned long long)moved.pages, (unsigned long long)machine.accesses,
		      (unsigned long long)machine.waits);
	stop(NULL);
}

static uint64_t seed_of_run(void)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 20250101;

	print_message("SEED=%llu\n", (unsigned long long)seed);
	return seed ? seed : 1;
}

static void test_random_long(void **unused)
{
	(void)unused;
	const err_t results[] = {
		SCRIM_OK, SCRIM_ENOTRAM, SCRIM_EDMA, SCRIM_EDISPLACED, SCRIM_ENOTABLE
	};
	const char *steps = getenv("STEPS");
	int run = steps ? atoi(steps) : RUN_LONG;
	uint64_t seed = seed_of_run();

	model_start(seed);
	for (int i = 0; i < run; i++) {
		random_step(i);
		if (i % (RUN_LONG / 50) == 0)
			assert_sound();
	}
	finish_random(seed);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		assert_true(model.done[results[i]] > 0);
}

static void test_random_checked(void **unused)
{
	(void)unused;
	uint64_t seed = seed_of_run();

	model_start(seed);
	for (int i = 0; i < RUN_CHECKED; i++) {
		random_step(i);
		assert_sound();
	}
	finish_random(seed);
}

/* --- every allocation failed in turn --- */

struct snapshot {
	struct mem mem;
	struct p2m_slot root[FAKE_CHUNKS];
	uint32_t leaves, split_chunks;
};

static void take_snapshot(struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	s->mem = mem;
	s->mem.scan_chunk = 0; /* a place to go on looking at means nothing */
	memcpy(s->root, mem.root, sizeof(s->root));
	s->leaves = fake_machine_leaves(&machine);
	s->split_chunks = fake_machine_split_chunks(&machine);
}

/* Refused once for want of memory, with no trace; then done. */
static void displace_in_the_end(uint64_t page)
{
	static struct snapshot before, after;

	take_snapshot(&before);

	err_t err = displace(page);

	if (err == SCRIM_ENOTABLE) {
		take_snapshot(&after);
		assert_memory_equal(&before, &after, sizeof(before));
		err = displace(page);
	}
	assert_int_equal(err, SCRIM_OK);
	assert_sound();
}

static void scenario(void)
{
	const uint64_t pages[] = { 300, 301, 511, 512, 2200, 4600, 1400 };

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
			displace_in_the_end(pages[i]);
		assert_int_equal(fake_bring_home(&mem, 3, &moved), ARRAY_SIZE(pages) - 3);
		assert_sound();
		displace_in_the_end(302);
		while (fake_bring_home(&mem, 2, &moved) > 0)
			assert_sound();
		assert_int_equal(fake_machine_leaves(&machine) + fake_machine_split_chunks(&machine), 0);
	}
}

static void test_every_allocation_fails(void **unused)
{
	(void)unused;
	uint32_t n = 0;
	bool failed;

	do {
		start_with(11);
		machine.fail_at = ++n;
		scenario();
		failed = machine.fail_at == 0;
		stop(NULL);
	} while (failed);
	print_message("%u allocations failed in turn\n", n - 1);
	assert_in_range(n, 20, ALLOCATIONS_FEW);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_is_ram),
		TEST(test_displace_and_home),
		TEST(test_refusals_change_nothing),
		TEST(test_reserve_runs_out),
		TEST(test_batches),
		TEST(test_cursor_goes_round),
		TEST(test_prepare_fails),
		TEST(test_no_ram),
		TEST(test_storage),
		cmocka_unit_test(test_random_long),
		cmocka_unit_test(test_random_checked),
		cmocka_unit_test(test_every_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
