/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests which pages the search for equal ones finds: among pages that are alike, written meanwhile, many, or without tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_flat.h"
#include "mem/mem_check.h"
#include "mem/share.h"

#define PAGES 1024u
#define SPARE 16u
#define SLOTS 2048u

static struct fake_flat flat;
static struct mem mem;
static struct mem_share share;
static uint64_t slots[SLOTS];

static void start(enum mem_reverse reverse)
{
	fake_flat_start(&flat, &mem, NULL, PAGES, SPARE);
	assert_int_equal(mem_use_reverse(&mem, reverse), SCRIM_OK);
}

static void fill(uint64_t first, uint64_t last, uint64_t sample, uint64_t rest)
{
	for (uint64_t page = first; page < last; page++)
		flat.frame[page] = flat.wrote[page] = sample << FAKE_FLAT_SAMPLE | rest;
}

static void begin(uint64_t first, uint64_t last)
{
	memset(slots, 0, sizeof(slots));
	mem_share_start(&share, gfn(first), gfn(last), slots, SLOTS);
}

/* Pages that have come to share. */
static uint64_t search(uint64_t first, uint64_t last)
{
	begin(first, last);
	while (mem_share_step(&mem, &share, SCRIM_BATCH_MAX) == MEM_STEP_AGAIN)
		;
	return share.shared;
}

static void stop(void)
{
	const struct mem_view view = { .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	uint64_t where;

	assert_int_equal(mem_check(&mem, &view, &where), SCRIM_HOLDS);
	assert_true(fake_flat_holds(&flat));
	fake_flat_stop(&flat);
}

static uint64_t frame_of(uint64_t page)
{
	enum mem_access access;

	return mem_translate(&mem, gfn(page), &access).n;
}

/* Four kinds of pages with one sample: each is found by what else it holds, by the first search and by a later one. */
static void test_alike(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		start((enum mem_reverse)reverse);
		for (uint64_t page = 100; page < 140; page++)
			fill(page, page + 1, 5, page % 4);
		assert_int_equal(search(100, 140), 36);
		for (uint64_t page = 140; page < 144; page++)
			fill(page, page + 1, 5, page % 4);
		assert_int_equal(search(100, 144), 4);
		for (uint64_t page = 104; page < 144; page++)
			assert_int_equal(frame_of(page), frame_of(100 + page % 4));
		stop();
	}
}

/* More of them than a step has room for, none equal to another: all are as before. */
static void test_alike_alone(void **unused)
{
	(void)unused;
	start(MEM_REVERSE_BACKMAP);
	for (uint64_t page = 100; page < 500; page++)
		fill(page, page + 1, 5, page);
	assert_int_equal(search(100, 500), 0);
	assert_int_equal(mem.read_only + mem.displaced + mem.leaf_count + mem.reverse_leaf_count, 0);
	stop();
}

/* The page that others would share with holds something else by then: the next takes its part. */
static void test_written_meanwhile(void **unused)
{
	(void)unused;
	start(MEM_REVERSE_BACKMAP);
	fill(100, 103, 5, 5);
	begin(100, 103);
	assert_int_equal(mem_share_step(&mem, &share, 1), MEM_STEP_AGAIN);
	fill(100, 101, 7, 7);

	uint64_t flushes = flat.flushes;

	assert_int_equal(mem_share_step(&mem, &share, 1), MEM_STEP_AGAIN);
	assert_int_equal(flat.flushes, flushes); /* nothing was made absent in vain */
	assert_int_equal(mem_share_step(&mem, &share, 1), MEM_STEP_DONE);
	assert_int_equal(share.shared, 1);
	assert_int_equal(frame_of(102), 101);
	stop();
}

/* Later searches add to a frame until it is full; how full it is, only a search of the map would tell. */
static void test_crowd(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		start((enum mem_reverse)reverse);
		fill(0, PAGES, 5, 5);
		assert_int_equal(search(0, 3), 2);
		assert_int_equal(search(0, 200), 197);
		assert_int_equal(mem.saved, 199);
		assert_int_equal(search(0, 400), reverse == MEM_REVERSE_SEARCH ? 200 : 199);
		assert_int_equal(frame_of(255), 0);
		assert_int_equal(frame_of(SHARE_CROWD), reverse == MEM_REVERSE_SEARCH ? 0 : SHARE_CROWD);
		stop();
	}
}

/* From the first refusal on pages without tables are not even looked at; the next search asks again. */
static void test_out_of_tables(void **unused)
{
	(void)unused;
	start(MEM_REVERSE_BACKMAP);
	fill(0, PAGES, 5, 5);
	flat.tables_max = 2; /* two leaves, of one chunk */
	assert_int_equal(search(0, PAGES), 510);

	uint64_t samples = flat.samples;

	assert_in_range(samples, 512, 2 * 512 + 8);
	flat.tables_max = 4;
	assert_int_equal(search(0, PAGES), 510);
	assert_int_equal(mem.saved, PAGES - 4);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alike),
		cmocka_unit_test(test_alike_alone),
		cmocka_unit_test(test_written_meanwhile),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_out_of_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
