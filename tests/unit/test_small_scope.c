/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries everything in a small scope: every map of a few pages, shared ones among them, comes home in both modes with every
 * reverse and batch size, checked after every step; copies in direct mode equal the lower bound, computed here on the
 * frame graph. 5 pages: direct mode and back map only, checked at the end. SOAK in the environment: 5 pages in all ways,
 * up to 4 with two spare frames, and one batch size more. STEPS in the environment, for a short run: up to 4 pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_small.h"
#include "mem/mem_check.h"

#define PAGES_MAX 5u

static struct small_world world;
static struct mem mem;
static struct mem_batch batches[2];
static struct mem_moved moved;
static const uint32_t *map_now;
static uint32_t pages_now, spare_now;

static void fail_here(const char *what)
{
	char text[64] = "";

	for (uint32_t i = 0; i < pages_now; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", map_now[i]);
	fail_msg("%s: map%s, %u spare, mode %u, %s", what, text, spare_now, mem.remap.mode, mem.reverse ? "" : "?");
}

static void check(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;
	enum scrim_violation found = mem_check(&mem, &view, &where);

	if (found != SCRIM_HOLDS) {
		print_message("violation %u at page %llu\n", found, (unsigned long long)(where >> PAGE_SHIFT));
		fail_here("mem_check");
	}
	if (world.fault)
		fail_here(world.fault);
}

/* --- the lower bound --- */

/* Displaced pages, and one for every cycle that no page outside of it points into. */
static uint32_t lower_bound(const uint32_t *map, uint32_t pages)
{
	uint32_t bound = 0;

	for (uint32_t p = 0; p < pages; p++) {
		uint32_t at = map[p], length = 1, least = p, inside = 1u << p;

		if (at == p)
			continue;
		bound++;
		while (at < pages && at != p && length <= pages) {
			inside |= 1u << at;
			least = at < least ? at : least;
			at = map[at];
			length++;
		}
		if (at != p || least != p)
			continue; /* not on a cycle, or not the page that stands for it */

		bool entered = false;

		for (uint32_t q = 0; q < pages; q++)
			entered |= !(inside >> q & 1) && map[q] < pages && (inside >> map[q] & 1);
		bound += !entered;
	}
	return bound;
}

static uint32_t displaced_in(const uint32_t *map, uint32_t pages)
{
	uint32_t count = 0;

	for (uint32_t p = 0; p < pages; p++)
		count += map[p] != p;
	return count;
}

/* --- one map comes home --- */

static void finish(struct mem_batch *batch)
{
	mem.config.port->flush(&world);
	mem_batch_copy(&mem, batch);
	mem_batch_end(&mem, batch, &moved);
}

/* Taken back, nothing is left of the batch: every page stands where it stood and may do what it might. */
static void abort_batch(const struct small_world *before)
{
	mem.config.port->flush(&world);
	mem_batch_abort(&mem, &batches[0]);
	check();
	small_verify(&world);
	if (memcmp(world.now, before->now, sizeof(world.now)) != 0 || memcmp(world.frame, before->frame, sizeof(world.frame)) != 0)
		fail_here("an abort leaves traces");
}

static void come_home_aborting(uint32_t limit)
{
	static struct small_world before;
	enum mem_step step;
	uint32_t steps = 0;

	do {
		before = world;
		step = mem_remap_begin(&mem, &batches[0], limit);
		if (step == MEM_STEP_MOVES && ++steps % 2)
			abort_batch(&before);
		else if (step == MEM_STEP_MOVES)
			finish(&batches[0]);
		else if (step != MEM_STEP_AGAIN && step != MEM_STEP_DONE)
			fail_here("a step is refused");
		if (steps > 1000)
			fail_here("no end");
	} while (step != MEM_STEP_DONE);
	small_verify(&world);
}

static void come_home(uint32_t limit)
{
	enum mem_step step;
	uint32_t steps = 0;

	do {
		step = mem_remap_begin(&mem, &batches[0], limit);
		if (++steps > 1000)
			fail_here("no end");
		if (pages_now < PAGES_MAX)
			check();
		if (step == MEM_STEP_MOVES)
			finish(&batches[0]);
		else if (step != MEM_STEP_AGAIN && step != MEM_STEP_DONE)
			fail_here("a step is refused");
		if (pages_now < PAGES_MAX)
			check();
		small_verify(&world);
	} while (step != MEM_STEP_DONE);
}

static void assert_all_home(void)
{
	if (mem.displaced || mem.leaf_count || mem.reverse_leaf_count || world.tables || mem.saved || mem.read_only)
		fail_here("something is left");
	for (uint32_t i = 0; i < pages_now; i++)
		if (world.now[i].frame != i || world.now[i].access != MEM_ACCESS_ALL)
			fail_here("a page is not at home");
	check();
}

static void start_map(const uint32_t *map, uint32_t pages, uint32_t spare, enum mem_reverse reverse)
{
	map_now = map;
	pages_now = pages;
	spare_now = spare;
	moved = (struct mem_moved){ 0 };
	small_start(&world, &mem, map, pages, spare);
	assert_int_equal(mem_use_reverse(&mem, reverse), SCRIM_OK);
	check();
}

static uint64_t runs;
static bool in_full;

static void try_map(const uint32_t *map, uint32_t pages, uint32_t spare)
{
	const uint32_t limits[] = { SCRIM_BATCH_MAX, 1, 2 };
	uint32_t limit_count = pages == PAGES_MAX ? 1 : in_full ? (uint32_t)ARRAY_SIZE(limits) : 2;
	uint32_t mode_count = pages < PAGES_MAX || in_full ? 2 : 1;
	uint32_t first_reverse = pages < PAGES_MAX || in_full ? 0 : MEM_REVERSE_BACKMAP;
	uint32_t displaced = displaced_in(map, pages), bound = lower_bound(map, pages);

	for (uint32_t mode = 0; mode < mode_count; mode++)
		for (uint32_t reverse = first_reverse; reverse < MEM_REVERSE_COUNT; reverse++)
			for (uint32_t i = 0; i < limit_count; i++) {
				start_map(map, pages, spare, (enum mem_reverse)reverse);
				assert_int_equal(mem_remap_start(&mem, (enum mem_remap_mode)mode, gfn(0), gfn(UINT64_MAX)),
						 SCRIM_OK);
				come_home(limits[i]);
				assert_all_home();
				if (mode == 0 && moved.copies != bound) {
					print_message("%llu copies, bound %u, limit %u, reverse %u\n",
						      (unsigned long long)moved.copies, bound, limits[i], reverse);
					fail_here("copies");
				}
				if (moved.copies > 2 * displaced)
					fail_here("more than two copies a page");
				runs++;
			}
}

static void for_every_map(uint32_t pages, uint32_t spare, void (*each)(const uint32_t *, uint32_t, uint32_t))
{
	uint32_t choice[PAGES_MAX] = { 0 }, map[PAGES_MAX], i;

	do {
		for (i = 0; i < pages; i++)
			map[i] = choice[i] < pages ? choice[i] : SMALL_SPARE + choice[i] - pages;
		each(map, pages, spare);
		for (i = 0; i < pages && ++choice[i] == pages + spare; i++)
			choice[i] = 0;
	} while (i < pages);
}

static void test_every_map_comes_home(void **unused)
{
	(void)unused;
	in_full = getenv("SOAK") != NULL;
	for (uint32_t pages = 1; pages <= PAGES_MAX - (getenv("STEPS") != NULL); pages++)
		for (uint32_t spare = 1; spare <= (pages < PAGES_MAX && in_full ? 2u : 1u); spare++)
			for_every_map(pages, spare, try_map);
	print_message("%llu homecomings\n", (unsigned long long)runs);
}

static void try_aborts(const uint32_t *map, uint32_t pages, uint32_t spare)
{
	static const uint32_t limits[] = { SCRIM_BATCH_MAX, 1 };

	for (uint32_t mode = 0; mode < 2; mode++)
		for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++)
			for (uint32_t i = 0; i < ARRAY_SIZE(limits); i++) {
				start_map(map, pages, spare, (enum mem_reverse)reverse);
				assert_int_equal(mem_remap_start(&mem, (enum mem_remap_mode)mode, gfn(0), gfn(UINT64_MAX)),
						 SCRIM_OK);
				come_home_aborting(limits[i]);
				assert_all_home();
				runs++;
			}
}

/* Every batch of every homecoming is taken back once, and planned again. */
static void test_every_batch_aborted(void **unused)
{
	(void)unused;
	runs = 0;
	for (uint32_t pages = 1; pages < PAGES_MAX; pages++)
		for (uint32_t spare = 1; spare <= 2; spare++)
			for_every_map(pages, spare, try_aborts);
	print_message("%llu homecomings\n", (unsigned long long)runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_map_comes_home),
		cmocka_unit_test(test_every_batch_aborted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
