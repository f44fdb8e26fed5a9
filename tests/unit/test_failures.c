/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fails every allocation in turn, one a run, in a story that takes every public operation over several chunks: displace,
 * scatter, share, write, switch of the reverse, lend, homecoming of a range and of all, in both modes, with CPUs and devices
 * going on. The operation that is refused has changed nothing that a page shows; the same call again goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/scatter.h"
#include "mem/share.h"

#define SLOTS      256u
#define SEED       20250101u
#define RUNS_MAX   2000u
#define LENT_FIRST 2900u
#define LENT_LAST  2964u

static struct fake_machine machine;
static struct mem mem;
static struct mem_batch batch;
static struct mem_moved moved;
static uint64_t slots[SLOTS];
static mfn_t before[FAKE_PAGES];
static uint32_t refused;

static void assert_sound(void)
{
	const struct mem_view view = { .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	uint64_t where;
	enum scrim_violation found = mem_check(&mem, &view, &where);

	if (found != SCRIM_HOLDS)
		fail_msg("violation %u at page %llu", found, (unsigned long long)(where >> PAGE_SHIFT));
	assert_int_equal(fake_machine_leaves(&machine), mem.leaf_count + mem.reverse_leaf_count);
	assert_int_equal(fake_machine_split_chunks(&machine), mem.leaf_count);
	fake_machine_verify(&machine);
	if (machine.fault)
		fail_msg("%s", machine.fault);
}

static void note(void)
{
	enum mem_access access;

	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		before[page] = mem_translate(&mem, gfn(page), &access);
}

static void assert_unchanged(void)
{
	enum mem_access access;

	refused++;
	assert_int_equal(machine.fail_at, 0);
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		assert_int_equal(before[page].n, mem_translate(&mem, gfn(page), &access).n);
	assert_sound();
}

/* --- operations, each until it has not been refused --- */

static void displace(uint64_t page)
{
	mfn_t frame;

	note();
	if (mem_displace(&mem, gfn(page), &frame, &moved) == SCRIM_ENOTABLE) {
		assert_unchanged();
		assert_int_equal(mem_displace(&mem, gfn(page), &frame, &moved), SCRIM_OK);
	}
}

static void use_reverse(enum mem_reverse reverse)
{
	note();
	if (mem_use_reverse(&mem, reverse) == SCRIM_ENOTABLE) {
		assert_unchanged();
		assert_int_equal(mem_use_reverse(&mem, reverse), SCRIM_OK);
	}
}

/* True: there is more to do. */
static bool go_on(enum mem_step step)
{
	if (step == MEM_STEP_MOVES) {
		mem.config.port->flush(&machine);
		mem_batch_copy(&mem, &batch);
		mem_batch_end(&mem, &batch, &moved);
	} else if (step == MEM_STEP_NO_TABLE) {
		assert_unchanged();
	} else {
		assert_true(step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
	}
	note();
	return step != MEM_STEP_DONE;
}

static void scatter(uint64_t first, uint64_t last)
{
	struct mem_scatter cursor;

	note();
	mem_scatter_start(&cursor, SEED, gfn(first), gfn(last), SCATTER_ALL / 40);
	while (go_on(mem_scatter_begin(&mem, &cursor, &batch, 64)))
		;
}

static void share(uint64_t first, uint64_t last)
{
	static struct mem_share cursor;

	memset(slots, 0, sizeof(slots));
	mem_share_start(&cursor, gfn(first), gfn(last), slots, SLOTS);
	while (mem_share_step(&mem, &cursor, 64) == MEM_STEP_AGAIN)
		;
}

/* The OS writes every tenth page that it may not write. */
static void write_pages(uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page < last; page += 10) {
		note();
		if (mem_unshare_on_write(&mem, gfn(page), &moved) == MEM_STEP_DONE)
			continue;
		assert_unchanged();
		assert_int_equal(mem_unshare_on_write(&mem, gfn(page), &moved), MEM_STEP_DONE);
	}
}

static void come_home(enum mem_remap_mode mode, uint64_t first, uint64_t last)
{
	note();
	assert_int_equal(mem_remap_start(&mem, mode, gfn(first), gfn(last)), SCRIM_OK);
	while (go_on(mem_remap_begin(&mem, &batch, 64)))
		;
	mem_remap_stop(&mem);
}

/* --- the story --- */

static void spread(void)
{
	displace(300);
	displace(4300);
	scatter(256, 1400);
	share(400, 440);
	share(2100, 2140);
	scatter(420, 2250);
	write_pages(400, 440);
}

/* Frames whose pages are at home, away, and shared; one that is free, and one of the reserve. */
static void retire(void)
{
	static const uint64_t frames[] = { 2200, 300, 410, FAKE_RESERVE_FIRST + 250, FAKE_RESERVE_FIRST };

	for (uint32_t i = 0; i < ARRAY_SIZE(frames); i++)
		for (bool done = false; !done;) {
			note();

			err_t err = mem_retire(&mem, mfn(frames[i]), &moved, &done);

			if (err == SCRIM_OK)
				continue;
			assert_int_equal(err, SCRIM_ENOTABLE);
			assert_unchanged();
		}
}

static void story(enum mem_reverse reverse)
{
	use_reverse(reverse);
	spread();
	use_reverse((enum mem_reverse)((reverse + 1) % MEM_REVERSE_COUNT));
	retire();
	come_home(MEM_REMAP_DIRECT, 512, 1024);
	use_reverse(reverse);
	come_home(MEM_REMAP_INDIRECT, 0, UINT64_MAX);
	assert_int_equal(mem.displaced, 3);
	mem_give_all_back(&mem);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	assert_int_equal(mem_lend(&mem, LENT_FIRST * PAGE_SIZE, LENT_LAST * PAGE_SIZE), SCRIM_OK);
	fake_machine_offline(&machine, LENT_FIRST, LENT_LAST);
	spread();
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	assert_int_equal(mem_unlend(&mem, LENT_FIRST * PAGE_SIZE, LENT_LAST * PAGE_SIZE), SCRIM_OK);
	fake_machine_online(&machine, LENT_FIRST, LENT_LAST);
	assert_sound();
	assert_int_equal(mem.displaced + mem.saved + mem.read_only + mem.leaf_count + mem.reverse_leaf_count, 0);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
}

/* False: the story asks for fewer than `n`. */
static bool tell(enum mem_reverse reverse, uint32_t n)
{
	fake_machine_start(&machine, SEED + n);
	fake_machine_fill(&machine, 4);

	struct mem_config config = fake_machine_config(&machine);
	bool failed;

	mem_init(&mem, &config);
	machine.mem = &mem;
	moved = (struct mem_moved){ 0 };
	machine.fail_at = n;
	story(reverse);
	failed = machine.fail_at == 0;
	fake_machine_stop(&machine);
	free(config.storage);
	return failed;
}

static void test_every_allocation_fails(void **unused)
{
	uint32_t runs = 0;

	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		uint32_t n = 1;

		for (; tell((enum mem_reverse)reverse, n); n++)
			assert_in_range(n, 1, RUNS_MAX);
		runs += n - 1;
	}
	print_message("figure: engine, %u allocations failed in turn, %u times an operation was refused for it\n", runs, refused);
	assert_true(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation_fails) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
