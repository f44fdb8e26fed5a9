/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the watch's books: what is closed, copies that are found until they are let go, frames that come back, a lack of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/watch.h"

static struct fake_machine machine;
static struct mem mem;
static struct watch watch;
static struct mem_moved moved;
static void *storage;
static uint8_t (*frames)[PAGE_SIZE]; /* contents of FAKE_PAGES */

static void *bytes(void *context, mfn_t frame)
{
	(void)context;
	assert_true(frame.n < FAKE_PAGES);
	return frames[frame.n];
}

static int start(void **unused)
{
	const struct watch_port port = { .bytes = bytes };

	(void)unused;
	fake_machine_start(&machine, 9);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	machine.mem = &mem;
	storage = calloc(1, watch_storage_bytes(mem.chunk_count * MIB(2)));
	frames = calloc(FAKE_PAGES, PAGE_SIZE);
	watch_init(&watch, &mem, &port, storage);
	for (uint64_t i = 0; i < FAKE_PAGES; i++)
		memset(frames[i], (int)(i % 251 + 1), PAGE_SIZE);
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	fake_machine_stop(&machine);
	free(mem.config.storage);
	free(storage);
	free(frames);
	return 0;
}

static void begin(enum scrim_watch kind)
{
	watch_prepare(&watch, kind);
	watch_start(&watch, kind);
}

static void end(void)
{
	watch_stop(&watch, false);
	assert_true(watch_give_back(&watch));
	assert_false(watch_is_on(&watch));
}

static void os_writes(uint64_t page)
{
	enum mem_access access;

	assert_int_equal(watch_write(&watch, gfn(page)), SCRIM_OK);
	assert_true(watch_is_open(&watch, gfn(page)));
	memset(frames[mem_translate(&mem, gfn(page), &access).n], 0xee, PAGE_SIZE);
}

/* As it was when all pages were at home; `home` where it began. */
static void assert_was(uint64_t page, uint64_t home)
{
	const uint8_t *was = frames[watch_source(&watch, gfn(page)).n];

	for (uint32_t i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(was[i], home % 251 + 1);
}

/* --- what is closed --- */

static void test_all_ram_is_closed(void **unused)
{
	(void)unused;
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		assert_true(watch_is_open(&watch, gfn(page)));
	assert_int_equal(watch_closed(&watch, gfn(0), gfn(FAKE_PAGES)), 0);
	begin(SCRIM_WATCH_DIRTY);
	assert_int_equal(mem.withdrawn_frames, 0);
	for (uint64_t page = 0; page < 2 * FAKE_PAGES; page++)
		assert_int_equal(watch_is_open(&watch, gfn(page)), !mem_is_ram(&mem, gfn(page)));
	end();
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		assert_true(watch_is_open(&watch, gfn(page)));
}

static void test_what_is_written_is_noted(void **unused)
{
	uint64_t page = FAKE_CHUNK;

	(void)unused;
	for (uint32_t round = 0; round < 2; round++) { /* the second starts anew */
		begin(SCRIM_WATCH_DIRTY);
		assert_int_equal(watch_written(&watch, gfn(page)), 0);
		os_writes(page + 3);
		os_writes(page + 63);
		os_writes(page + 63);
		assert_int_equal(watch_written(&watch, gfn(page)), 1ull << 3 | 1ull << 63);
		assert_int_equal(watch_closed(&watch, gfn(page), gfn(page + 200)), 198);
		assert_int_equal(watch_closed(&watch, gfn(page + 3), gfn(page + 63)), 59);
		assert_int_equal(watch_closed(&watch, gfn(0), gfn(2 * FAKE_PAGES)), ranges_pages(&machine.ram, RANGE_RAM) - 2);
		assert_int_equal(watch.copied, 0);
		end();
	}
}

static void test_level(void **unused)
{
	uint64_t chunk = 1;

	(void)unused;
	begin(SCRIM_WATCH_DIRTY);
	for (uint64_t i = 0; i < FAKE_CHUNK; i++) {
		assert_int_equal(watch_open_level(&watch, gfn(chunk * FAKE_CHUNK)), 1);
		os_writes(chunk * FAKE_CHUNK + i);
	}
	assert_int_equal(watch_open_level(&watch, gfn(chunk * FAKE_CHUNK)), 2);
	assert_int_equal(watch_open_level(&watch, gfn(GIB(1) >> PAGE_SHIFT)), 3);
	end();
}

/* --- images --- */

static void test_copies_are_found(void **unused)
{
	static const uint64_t pages[] = { 512, 513, 1023, 1024, 1400 };

	(void)unused;
	begin(SCRIM_WATCH_IMAGE);
	assert_int_equal(mem.withdrawn_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(watch_frames(&watch), FAKE_RESERVE_FRAMES);
	for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++) {
		assert_was(pages[i], pages[i]);
		os_writes(pages[i]);
		os_writes(pages[i]);
	}
	assert_int_equal(watch.copied, ARRAY_SIZE(pages));
	assert_int_equal(watch_frames(&watch), FAKE_RESERVE_FRAMES - ARRAY_SIZE(pages) - 2); /* and two chunks' tables */
	for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++)
		assert_was(pages[i], pages[i]);
	end();
	assert_int_equal(mem.withdrawn_frames, 0);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
}

static void test_let_go_gives_back(void **unused)
{
	uint64_t first = FAKE_CHUNK;

	(void)unused;
	begin(SCRIM_WATCH_IMAGE);
	/* More copies in all than there are frames, one chunk after another read. */
	for (uint32_t round = 0; round < 2; round++, first += FAKE_CHUNK) {
		for (uint64_t i = 0; i < 200; i++)
			os_writes(first + 2 * i);
		for (uint64_t i = 0; i < FAKE_CHUNK; i++) {
			assert_was(first + i, first + i);
			watch_let_go(&watch, gfn(first + i));
			assert_true(watch_is_open(&watch, gfn(first + i)));
		}
		assert_int_equal(watch_open_level(&watch, gfn(first)), 2);
		assert_int_equal(watch_frames(&watch), FAKE_RESERVE_FRAMES);
	}
	assert_int_equal(watch.copied, 400);
	end();
}

/* A copy that is let go in a chunk of which all has been written: its table stays till the last. */
static void test_let_go_where_all_is_open(void **unused)
{
	uint64_t first = FAKE_CHUNK;

	(void)unused;
	begin(SCRIM_WATCH_IMAGE);
	for (uint64_t i = 2; i < FAKE_CHUNK; i++)
		watch_let_go(&watch, gfn(first + i));
	os_writes(first);
	os_writes(first + 1);
	watch_let_go(&watch, gfn(first));
	assert_was(first + 1, first + 1);
	assert_int_equal(watch_frames(&watch), FAKE_RESERVE_FRAMES - 2);
	watch_let_go(&watch, gfn(first + 1));
	assert_int_equal(watch_frames(&watch), FAKE_RESERVE_FRAMES);
	end();
}

static void test_no_frame(void **unused)
{
	uint64_t page = FAKE_CHUNK;
	mfn_t frame;

	(void)unused;
	begin(SCRIM_WATCH_IMAGE);
	while (watch_frames(&watch) > 1)
		os_writes(page++);
	assert_int_equal(watch_write(&watch, gfn(2 * FAKE_CHUNK)), SCRIM_ENOFRAME); /* one for its table, none for it */
	os_writes(page++);
	assert_int_equal(watch_write(&watch, gfn(page)), SCRIM_ENOFRAME);
	assert_false(watch_is_open(&watch, gfn(page)));
	assert_false(watch_take_frame(&watch, &frame));
	watch_stop(&watch, true);
	assert_int_equal(watch.failed, SCRIM_WATCH_IMAGE);
	assert_true(watch_is_open(&watch, gfn(page)));
	assert_true(watch_give_back(&watch));
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	begin(SCRIM_WATCH_IMAGE);
	assert_int_equal(watch.failed, SCRIM_WATCH_NONE);
	end();
}

/* A part of the frames, in proportion to what is unread; a quarter of it to the end. */
static void test_room(void **unused)
{
	uint64_t first = FAKE_CHUNK, written = 0, pages = ranges_pages(&machine.ram, RANGE_RAM);

	(void)unused;
	begin(SCRIM_WATCH_IMAGE);
	for (; watch_frames(&watch) > FAKE_RESERVE_FRAMES / 2; written++) {
		assert_true(watch_has_room(&watch, 2));
		os_writes(first + written);
	}
	assert_false(watch_has_room(&watch, 2));
	for (; watch_frames(&watch) > FAKE_RESERVE_FRAMES / 4; written++) {
		assert_true(watch_has_room(&watch, 4));
		os_writes(first + written);
	}
	assert_false(watch_has_room(&watch, 4));
	/* What is let go twice counts once. */
	for (uint32_t round = 0; round < 2; round++)
		for (uint64_t i = 0; i < FAKE_CHUNK; i++)
			watch_let_go(&watch, gfn(2 * FAKE_CHUNK + i));
	assert_int_equal(watch.unread, pages - FAKE_CHUNK);
	assert_true(watch_has_room(&watch, 4));
	watch.unread = 0;
	while (watch_frames(&watch) > FAKE_RESERVE_FRAMES / 16) {
		assert_true(watch_has_room(&watch, 4));
		os_writes(first + written++);
	}
	assert_false(watch_has_room(&watch, 4));
	end();
}

/* Displaced pages: their frames are theirs, lent ones are taken as well, and what a cycle needs is left. */
static void test_displaced_and_lent(void **unused)
{
	uint64_t page = 0, lent = 2200, kept;
	mfn_t to, frame;

	(void)unused;
	while (!mem_may_displace(&mem, gfn(page)))
		page++;
	assert_int_equal(mem_displace(&mem, gfn(page), &to, &moved), SCRIM_OK);
	assert_int_equal(mem_lend(&mem, lent * PAGE_SIZE, (lent + 64) * PAGE_SIZE), SCRIM_OK);
	memset(frames[to.n], (int)(page % 251 + 1), PAGE_SIZE);
	kept = watch_frames(&watch);
	begin(SCRIM_WATCH_IMAGE);
	assert_true(mem.withdrawn_frames > 64);
	assert_true(mem.free_frames >= 1);
	assert_true(watch_frames(&watch) <= kept);
	for (uint32_t i = 0; i < WATCH_RUNS && i < watch.run_count; i++)
		assert_false(to.n >= watch.run[i].first.n && to.n < watch.run[i].first.n + watch.run[i].count);
	os_writes(page);
	assert_was(page, page);
	assert_true(watch_take_frame(&watch, &frame));
	watch_return_frame(&watch, frame);
	while (watch_take_frame(&watch, &frame)) /* through every run */
		memset(frames[frame.n], 0, PAGE_SIZE);
	end();
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES + 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_ram_is_closed, start, stop),
		cmocka_unit_test_setup_teardown(test_what_is_written_is_noted, start, stop),
		cmocka_unit_test_setup_teardown(test_level, start, stop),
		cmocka_unit_test_setup_teardown(test_copies_are_found, start, stop),
		cmocka_unit_test_setup_teardown(test_let_go_gives_back, start, stop),
		cmocka_unit_test_setup_teardown(test_let_go_where_all_is_open, start, stop),
		cmocka_unit_test_setup_teardown(test_no_frame, start, stop),
		cmocka_unit_test_setup_teardown(test_room, start, stop),
		cmocka_unit_test_setup_teardown(test_displaced_and_lent, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
