/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on the smallest machine, all of them, with all reverses and switches between them, two batches in
 * flight, aborts and failing allocations. The model is what the OS wrote, and where the hardware's tables lead; the map
 * is checked often. SEED=n in the environment repeats a run, STEPS=n makes it longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "fake_small.h"
#include "mem/mem_check.h"
#include "mem/scatter.h"
#include "mem/share.h"

#define STEPS      1000000u
#define PAGES      8u
#define OPERATIONS 13u

static struct small_world world;
static struct mem mem;
static struct mem_batch batch[2];
static bool in_flight[2], flushed[2], copied[2];
static struct mem_moved moved;
static struct mem_scatter scatter;
static struct mem_share share;
static uint64_t slots[8], seed, done[OPERATIONS];

static uint64_t below(uint64_t limit) { return fake_random_below(&seed, limit); }

static void check(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;
	enum scrim_violation found = mem_check(&mem, &view, &where);

	if (found != SCRIM_HOLDS)
		fail_msg("violation %u at page %llu", found, (unsigned long long)(where >> PAGE_SHIFT));
	assert_int_equal(world.tables, mem.leaf_count + mem.reverse_leaf_count);
}

static bool is_ok(err_t err) { return err == SCRIM_OK; }

static bool do_displace(void)
{
	mfn_t frame;

	return is_ok(mem_displace(&mem, gfn(below(PAGES)), &frame, &moved));
}

static void begun(uint32_t which, enum mem_step step)
{
	in_flight[which] = step == MEM_STEP_MOVES;
	flushed[which] = copied[which] = false;
}

static bool do_scatter(void)
{
	uint32_t which = (uint32_t)below(2);

	if (in_flight[which])
		return false;
	if (scatter.at == scatter.pages)
		mem_scatter_start(&scatter, fake_random(&seed), gfn(below(3)), gfn(5 + below(PAGES - 4)),
				  (uint32_t)below(SCATTER_ALL + 1));
	begun(which, mem_scatter_begin(&mem, &scatter, &batch[which], 2 + (uint32_t)below(8)));
	return in_flight[which];
}

static bool do_share(void)
{
	if (share.next.n >= share.last.n) {
		memset(slots, 0, sizeof(slots));
		mem_share_start(&share, gfn(0), gfn(PAGES), slots, ARRAY_SIZE(slots));
	}

	uint64_t before = share.shared;

	(void)!mem_share_step(&mem, &share, 1 + (uint32_t)below(PAGES));
	return share.shared > before;
}

static bool do_write(void)
{
	uint32_t page = (uint32_t)below(PAGES);

	if (page == PAGES - 1 && mem.lent_frames)
		return false;
	world.next_value = 1 + below(4);
	if (small_write(&world, page))
		return true;
	if (mem_unshare_on_write(&mem, gfn(page), &moved) != MEM_STEP_DONE)
		return false;
	assert_true(small_write(&world, page));
	return true;
}

static bool do_remap_start(void)
{
	uint64_t first = below(3) ? 0 : below(PAGES), last = below(3) ? UINT64_MAX : first + 1 + below(PAGES);

	return is_ok(mem_remap_start(&mem, (enum mem_remap_mode)below(2), gfn(first), gfn(last)));
}

static bool do_remap_stop(void)
{
	if (below(4))
		return false;
	mem_remap_stop(&mem);
	return true;
}

static bool do_remap(void)
{
	uint32_t which = (uint32_t)below(2);

	if (in_flight[which])
		return false;

	enum mem_step step = mem_remap_begin(&mem, &batch[which], 1 + (uint32_t)below(8));

	begun(which, step);
	if (step == MEM_STEP_DONE)
		mem_remap_stop(&mem);
	return in_flight[which];
}

/* The next step of a batch in flight. */
static bool do_step(void)
{
	uint32_t which = (uint32_t)below(2);

	if (!in_flight[which])
		return false;
	if (!flushed[which]) {
		mem.config.port->flush(&world);
		flushed[which] = true;
	} else if (!copied[which]) {
		mem_batch_copy(&mem, &batch[which]);
		copied[which] = true;
	} else {
		mem_batch_end(&mem, &batch[which], &moved);
		in_flight[which] = false;
	}
	return true;
}

static bool do_abort(void)
{
	uint32_t which = (uint32_t)below(2);

	if (!in_flight[which] || copied[which])
		return false;
	mem_batch_abort(&mem, &batch[which]);
	in_flight[which] = false;
	return true;
}

static bool do_reverse(void) { return is_ok(mem_use_reverse(&mem, (enum mem_reverse)below(MEM_REVERSE_COUNT))); }

static bool do_portion(void)
{
	uint64_t start = below(PAGES), end = start + 1 + below(PAGES - start);

	if (below(3))
		return is_ok(mem_manage(&mem, start * PAGE_SIZE, end * PAGE_SIZE));
	return !mem.in_flight && is_ok(mem_unmanage(&mem, start * PAGE_SIZE, end * PAGE_SIZE));
}

/* The last page is lent and taken back: the OS writes it again only then, and its contents are lost by contract. */
static bool do_lend(void)
{
	const uint64_t start = (PAGES - 1) * PAGE_SIZE, end = PAGES * PAGE_SIZE;

	if (!mem.lent_frames) {
		if (mem_lend(&mem, start, end) != SCRIM_OK)
			return false;
		world.lent = 1u << (PAGES - 1);
		mem.config.port->flush(&world); /* the OS has offlined it: long ago */
		return true;
	}
	if (!is_ok(mem_unlend(&mem, start, end)))
		return false;
	world.lent = 0;
	world.wrote[PAGES - 1] = world.frame[PAGES - 1];
	return true;
}

static bool do_failure(void)
{
	world.fail_at = below(3) ? 0 : 1 + (uint32_t)below(6);
	return world.fail_at > 0;
}

static bool (*const operation[OPERATIONS])(void) = {
	do_displace, do_scatter, do_share, do_write, do_remap_start, do_remap_stop, do_remap,
	do_step, do_abort, do_reverse, do_portion, do_lend, do_failure,
};

static const uint8_t weight[OPERATIONS] = { 12, 14, 10, 25, 4, 2, 25, 60, 4, 4, 3, 4, 3 };

static uint32_t choose(void)
{
	uint32_t sum = 0, i;

	for (i = 0; i < OPERATIONS; i++)
		sum += weight[i];

	uint64_t left = below(sum);

	for (i = 0; left >= weight[i]; i++)
		left -= weight[i];
	return i;
}

static void settle_all(void)
{
	enum mem_step step;

	world.fail_at = 0;
	for (uint32_t i = 0; i < 2; i++)
		if (in_flight[i]) {
			mem.config.port->flush(&world);
			if (!copied[i]) /* twice would read what the batch itself has written */
				mem_batch_copy(&mem, &batch[i]);
			mem_batch_end(&mem, &batch[i], &moved);
			in_flight[i] = false;
		}
	mem_remap_stop(&mem);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	do {
		step = mem_remap_begin(&mem, &batch[0], 256);
		if (step == MEM_STEP_MOVES) {
			mem.config.port->flush(&world);
			mem_batch_copy(&mem, &batch[0]);
			mem_batch_end(&mem, &batch[0], &moved);
		}
		assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
	} while (step != MEM_STEP_DONE);
	mem_remap_stop(&mem);
	check();
	if (mem.lent_frames)
		assert_true(do_lend());
	small_verify(&world);
	assert_int_equal(world.tables, 0);
	assert_int_equal(mem.displaced + mem.saved + mem.read_only, 0);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_random(void **unused)
{
	const uint32_t identity[PAGES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	uint64_t first = from_environment("SEED", 20250101), steps = from_environment("STEPS", STEPS);

	(void)unused;
	print_message("SEED=%llu STEPS=%llu\n", (unsigned long long)first, (unsigned long long)steps);
	seed = first ? first : 1;
	small_start(&world, &mem, identity, PAGES, 1);
	for (uint64_t i = 0; i < steps; i++) {
		uint32_t which = choose();

		done[which] += operation[which]();
		if (world.fault)
			fail_msg("%s: step %llu, operation %u", world.fault, (unsigned long long)i, which);
		if (i % 64 == 0)
			check();
		if (i % 10000 == 0)
			settle_all();
	}
	settle_all();
	for (uint32_t i = 0; i < OPERATIONS; i++)
		print_message("%llu%s", (unsigned long long)done[i], i + 1 < OPERATIONS ? ", " : " done\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
