/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the homecoming on maps of many pages: copies against the lower bound, which is computed here on the frame graph;
 * ranges; refusals; and what only large maps show: long cycles, more chunks than one begin looks at, more frames than one
 * window of the search.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_flat.h"
#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/p2m.h"
#include "mem/scatter.h"

#define PAGES      4096u
#define MANY       60000u /* of 118 chunks and two windows */
#define STEPS_MAX  1000000u
#define LOOKED_MAX 4u /* chunks with displaced pages that one begin looks at, and pages that it tries to walk from */

static struct fake_flat flat;
static struct mem mem;
static struct mem_batch batch, other;
static struct mem_moved moved;
static uint64_t map[MANY], seed;

static int start(void **unused)
{
	(void)unused;
	seed = 20250101;
	moved = (struct mem_moved){ 0 };
	return 0;
}

static void begin_map(uint64_t pages, uint64_t spare, enum mem_reverse reverse)
{
	moved = (struct mem_moved){ 0 };
	fake_flat_start(&flat, &mem, map, pages, spare);
	assert_int_equal(mem_use_reverse(&mem, reverse), SCRIM_OK);
}

static void assert_sound(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;
	enum scrim_violation found = mem_check(&mem, &view, &where);

	if (found != SCRIM_HOLDS)
		fail_msg("violation %u at page %llu", found, (unsigned long long)(where >> PAGE_SHIFT));
	assert_true(fake_flat_holds(&flat));
	assert_int_equal(flat.tables, mem.leaf_count + mem.reverse_leaf_count);
}

static void come_home(enum mem_remap_mode mode, uint64_t first, uint64_t last, uint32_t limit)
{
	enum mem_step step;
	uint32_t steps = 0;

	assert_int_equal(mem_remap_start(&mem, mode, gfn(first), gfn(last)), SCRIM_OK);
	do {
		step = fake_flat_step(&flat, &batch, limit, &moved);
		assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
		assert_true(++steps < STEPS_MAX);
	} while (step != MEM_STEP_DONE);
	mem_remap_stop(&mem);
}

static void assert_nothing_left(void)
{
	assert_int_equal(mem.displaced + mem.saved + mem.read_only + flat.tables, 0);
	assert_int_equal(mem.free_frames, flat.spare);
	assert_sound();
}

/* --- maps --- */

static void map_identity(uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		map[page] = page;
}

static void map_random(uint64_t pages)
{
	map_identity(pages);
	for (uint64_t page = pages - 1; page > 0; page--) {
		uint64_t with = fake_random_below(&seed, page + 1), was = map[page];

		map[page] = map[with];
		map[with] = was;
	}
}

static void map_reversed(uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		map[page] = pages - 1 - page;
}

static void map_rotated(uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		map[page] = (page + 1000) % pages;
}

/* Every page reads a frame of its own choice: about a third of the frames is nobody's. */
static void map_shared(uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		map[page] = fake_random_below(&seed, pages);
}

/* A permutation, and one page in eight shares with another: most cycles are entered from outside, some are not. */
static void map_shared_in_part(uint64_t pages)
{
	map_random(pages);
	for (uint64_t page = 0; page < pages; page++)
		if (fake_random_below(&seed, 8) == 0)
			map[page] = map[fake_random_below(&seed, pages)];
}

/* Pairs that have changed places: a cycle, and a copy more, for every two. */
static void map_swapped(uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		map[page] = page ^ 1;
}

/* Of every five pairs, one page has come to the other. */
static void map_paired(uint64_t pages)
{
	map_swapped(pages);
	for (uint64_t page = 1; page < pages; page += 10)
		map[page] = page;
}

struct kind {
	const char *name;
	void (*make)(uint64_t pages);
};

static const struct kind kinds[] = {
	{ "random", map_random },
	{ "reversed", map_reversed },
	{ "rotated", map_rotated },
	{ "identity", map_identity },
	{ "shared", map_shared },
	{ "shared in part", map_shared_in_part },
	{ "swapped", map_swapped },
	{ "swapped and shared", map_paired },
};

/* --- the lower bound: displaced pages, and one for every cycle that no page outside of it points into --- */

static uint64_t cycle_length(uint64_t page, uint64_t pages, uint32_t *colour, uint32_t mark)
{
	uint64_t at = page, length = 0;

	/* Up to what this walk or an earlier one has seen. */
	while (at < pages && colour[at] == 0) {
		colour[at] = mark;
		at = map[at];
	}
	if (at >= pages || colour[at] != mark)
		return 0;
	for (uint64_t start_at = at; length == 0 || at != start_at; at = map[at])
		length++;
	return length;
}

/* A page on the cycle that the walk from `page` ends in. */
static uint64_t reach(uint64_t page, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		page = map[page];
	return page;
}

static uint64_t pages_in(uint64_t frame, uint64_t pages)
{
	uint64_t count = 0;

	for (uint64_t page = 0; page < pages; page++)
		count += map[page] == frame;
	return count;
}

static uint64_t lower_bound(uint64_t pages)
{
	uint32_t *colour = calloc(pages, sizeof(*colour));
	uint64_t bound = 0;

	for (uint64_t page = 0; page < pages; page++) {
		uint64_t length = cycle_length(page, pages, colour, (uint32_t)page + 1), entered = 0, at;

		bound += map[page] != page;
		if (length < 2)
			continue;
		at = reach(page, pages);
		for (uint64_t i = 0; i < length; i++, at = map[at])
			entered += pages_in(at, pages) - 1;
		bound += entered == 0;
	}
	free(colour);
	return bound;
}

/* By each reverse: the same copies. */
static void test_copies(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t bound;

		kinds[i].make(PAGES);
		bound = lower_bound(PAGES);
		for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
			begin_map(PAGES, 1, (enum mem_reverse)reverse);

			uint64_t displaced = mem.displaced;

			come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, reverse == MEM_REVERSE_BACKMAP ? 64 : SCRIM_BATCH_MAX);
			assert_nothing_left();
			assert_int_equal(moved.copies, flat.copies);
			if (reverse == MEM_REVERSE_BACKMAP)
				print_message("figure: engine, %u pages %s: %llu displaced, %llu copies, lower bound %llu: %.3f\n",
					      PAGES, kinds[i].name, (unsigned long long)displaced,
					      (unsigned long long)moved.copies, (unsigned long long)bound,
					      bound ? (double)moved.copies / (double)bound : 1.0);
			assert_int_equal(moved.copies, bound);
			fake_flat_stop(&flat);
		}
	}
}

static void test_indirect(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
			kinds[i].make(PAGES);
			begin_map(PAGES, 300, (enum mem_reverse)reverse);

			uint64_t displaced = mem.displaced;

			come_home(MEM_REMAP_INDIRECT, 0, UINT64_MAX, 64);
			assert_nothing_left();
			assert_in_range(moved.copies, displaced, 2 * displaced);
			fake_flat_stop(&flat);
		}
}

/* --- ranges --- */

/* The range's pages are in the range's frames, one to one; the others stayed where they were, or had to leave it. */
static void assert_range_home(uint64_t first, uint64_t last, uint64_t pages)
{
	enum mem_access access;

	for (uint64_t page = 0; page < pages; page++) {
		uint64_t frame = mem_translate(&mem, gfn(page), &access).n;
		bool inside = page >= first && page < last;

		assert_int_not_equal(access, MEM_ACCESS_NONE);
		if (inside && (frame != page || access != MEM_ACCESS_ALL))
			fail_msg("page %llu is in %llu, access %u", (unsigned long long)page, (unsigned long long)frame, access);
		assert_true(inside || frame < first || frame >= last);
	}
}

static void test_ranges(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < 3 * ARRAY_SIZE(kinds); i++)
		for (uint32_t mode = 0; mode < 2; mode++) {
			uint64_t first = fake_random_below(&seed, PAGES), last = first + 1 + fake_random_below(&seed, PAGES - first);
			uint64_t displaced;

			kinds[i % ARRAY_SIZE(kinds)].make(PAGES);
			begin_map(PAGES, 1 + fake_random_below(&seed, 40), (enum mem_reverse)(i % MEM_REVERSE_COUNT));
			displaced = mem.displaced;
			come_home((enum mem_remap_mode)mode, first, last, 1 + (uint32_t)fake_random_below(&seed, 300));
			assert_range_home(first, last, PAGES);
			assert_sound();
			if (last - first < PAGES / 2 && displaced > PAGES / 2)
				assert_true(mem.displaced > 0); /* not all was brought home to be sure */
			come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, SCRIM_BATCH_MAX);
			assert_nothing_left();
			fake_flat_stop(&flat);
		}
}

/* A range of whole chunks, and the only free frames lie in it, lent: what is there cannot leave it. */
static void test_range_without_frame(void **unused)
{
	(void)unused;
	map_identity(PAGES);
	map[100] = 700;
	map[700] = 100;
	begin_map(PAGES, 0, MEM_REVERSE_BACKMAP);
	assert_int_equal(mem_lend(&mem, 1024 * PAGE_SIZE, 1030 * PAGE_SIZE), SCRIM_OK);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(512), gfn(2048)), SCRIM_OK);
	for (int i = 0; i < 10; i++)
		assert_true(fake_flat_step(&flat, &batch, 64, &moved) != MEM_STEP_MOVES);
	assert_int_equal(fake_flat_step(&flat, &batch, 64, &moved), MEM_STEP_NO_FRAME);
	assert_int_equal(mem.displaced, 2);
	mem_remap_stop(&mem);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, 64);
	assert_int_equal(mem.displaced, 0);
	fake_flat_stop(&flat);
}

/* --- refusals --- */

/* Nothing but cycles and not one free frame: told before anything changes. With none displaced there is no need of one. */
static void test_no_frame(void **unused)
{
	(void)unused;
	map_reversed(PAGES);
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		begin_map(PAGES, 0, (enum mem_reverse)reverse);
		assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_ENOFRAME);
		assert_false(mem.remap.active);
		assert_int_equal(mem.displaced, PAGES);
		assert_int_equal(flat.copies + flat.flushes, 0);
		fake_flat_stop(&flat);
	}
	map_identity(PAGES);
	begin_map(PAGES, 0, MEM_REVERSE_BACKMAP);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, 64);
	assert_int_equal(mem_remap_begin(&mem, &batch, 64), MEM_STEP_DONE);
	fake_flat_stop(&flat);
}

static void test_one_at_a_time(void **unused)
{
	(void)unused;
	map_reversed(PAGES);
	begin_map(PAGES, 1, MEM_REVERSE_BACKMAP);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(10)), SCRIM_ESTATE);
	while (mem_remap_begin(&mem, &batch, 4) == MEM_STEP_AGAIN)
		;
	assert_true(mem.in_flight > 0);
	assert_int_equal(mem_use_reverse(&mem, MEM_REVERSE_SEARCH), SCRIM_ESTATE);
	assert_int_equal(mem_use_reverse(&mem, MEM_REVERSE_COUNT), SCRIM_EINVAL);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	mem_remap_stop(&mem);
	assert_int_equal(mem_use_reverse(&mem, MEM_REVERSE_SEARCH), SCRIM_OK);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, UINT32_MAX);
	assert_nothing_left();
	fake_flat_stop(&flat);
}

/* --- large maps --- */

static void test_large(void **unused)
{
	struct mem_scatter scatter;

	(void)unused;
	fake_flat_start(&flat, &mem, NULL, MANY, 2);
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		enum mem_step step;

		assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)reverse), SCRIM_OK);
		mem_scatter_start(&scatter, 7 + reverse, gfn(0), gfn(MANY), reverse ? SCATTER_ALL : SCATTER_ALL / 50);
		do {
			step = mem_scatter_begin(&mem, &scatter, &batch, UINT32_MAX);
			if (step == MEM_STEP_MOVES) {
				mem_batch_copy(&mem, &batch);
				mem_batch_end(&mem, &batch, &moved);
			}
			assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
		} while (step != MEM_STEP_DONE);
		assert_sound();
		assert_true(mem.displaced > (reverse ? MANY / 2 : 0));
		come_home(MEM_REMAP_DIRECT, MANY - 10, MANY, 64);
		assert_range_home(MANY - 10, MANY, MANY);
		come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, SCRIM_BATCH_MAX);
		assert_nothing_left();
	}
	fake_flat_stop(&flat);
}

/* One begin looks at a few chunks, and the next one goes on where it has ended, to what lies behind all the others. */
static void test_bounded_looks(void **unused)
{
	(void)unused;
	map_swapped(MANY);
	for (uint32_t i = 0; i < MEM_REVERSE_COUNT * 2; i++) {
		enum mem_remap_mode mode = i % 2 ? MEM_REMAP_INDIRECT : MEM_REMAP_DIRECT;
		uint64_t looked = 0;

		begin_map(MANY, 3, (enum mem_reverse)(i / 2));
		assert_int_equal(mem_remap_start(&mem, mode, gfn(MANY - 10), gfn(MANY)), SCRIM_OK);
		while (mem_remap_begin(&mem, &batch, 64) == MEM_STEP_AGAIN) {
			uint64_t at = p2m_chunk(mem.remap.open_cursor);

			assert_in_range(at, looked + 1, looked + LOOKED_MAX);
			looked = at;
		}
		assert_true(batch.count > 0);
		mem_batch_copy(&mem, &batch);
		mem_batch_end(&mem, &batch, &moved);
		mem_remap_stop(&mem);
		come_home(mode, MANY - 10, MANY, 64);
		assert_range_home(MANY - 10, MANY, MANY);
		fake_flat_stop(&flat);
	}
}

/*
 * Two cycles of 2048 pages. One is open and has a batch in flight: a second CPU opens the other beside it only if it can
 * see that it is another, and it is too long to be walked round. So it waits, and all come home in the end. No begin tries
 * to walk from more than a few pages.
 */
static void test_long_cycles(void **unused)
{
	enum mem_step step;
	uint64_t at;

	(void)unused;
	for (uint64_t page = 0; page < PAGES; page++)
		map[page] = (page + 2) % PAGES;
	begin_map(PAGES, 3, MEM_REVERSE_BACKMAP);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	do
		step = mem_remap_begin(&mem, &batch, 64);
	while (step == MEM_STEP_AGAIN);
	assert_int_equal(step, MEM_STEP_MOVES);
	at = mem.remap.open_cursor.n;
	assert_int_equal(mem_remap_begin(&mem, &other, 64), MEM_STEP_AGAIN);
	assert_in_range(mem.remap.open_cursor.n, at + 1, at + LOOKED_MAX);
	do
		step = mem_remap_begin(&mem, &other, 64);
	while (step == MEM_STEP_AGAIN);
	assert_int_equal(step, MEM_STEP_WAIT);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	mem_remap_stop(&mem);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX, 64);
	assert_int_equal(moved.copies, PAGES + 2);
	assert_nothing_left();
	fake_flat_stop(&flat);
}

/* --- sharing, where books are thin --- */

/* With counts, a batch that is taken back may find that nobody is left to be counted around its page's home. */
static void test_abort_alone(void **unused)
{
	struct mem_scatter scatter;

	(void)unused;
	map_identity(PAGES);
	map[3000] = 100;
	begin_map(PAGES, 2, MEM_REVERSE_REFCOUNT);
	mem_scatter_start(&scatter, 1, gfn(100), gfn(101), SCATTER_ALL);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(3000), gfn(3001)), SCRIM_OK);
	assert_int_equal(mem_remap_begin(&mem, &batch, 4), MEM_STEP_MOVES);
	mem_remap_stop(&mem);

	/* Page 100 moves out of its own frame: the last sharer is on its way, but not gone. */
	assert_int_equal(mem_translate(&mem, gfn(100), &(enum mem_access){ 0 }).n, 100);
	assert_int_equal(mem_unshare_on_write(&mem, gfn(100), &moved), MEM_STEP_WAIT);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	assert_int_equal(mem_unshare_on_write(&mem, gfn(100), &moved), MEM_STEP_DONE);
	assert_nothing_left();
	fake_flat_stop(&flat);
}

#define TEST(function) cmocka_unit_test_setup(function, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copies),
		TEST(test_indirect),
		TEST(test_ranges),
		TEST(test_range_without_frame),
		TEST(test_no_frame),
		TEST(test_one_at_a_time),
		TEST(test_large),
		TEST(test_bounded_looks),
		TEST(test_long_cycles),
		TEST(test_abort_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
