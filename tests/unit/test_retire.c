/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests retired frames under each reverse: who is in them moves away, whatever the frame is; nobody reads what is put there
 * afterwards; all else comes home, and what stays managed is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/frames.h"
#include "mem/mem_check.h"
#include "mem/scatter.h"
#include "mem/share.h"

#define FIRST FAKE_RESERVE_FIRST
#define SLOTS 256u
#define LENT_FIRST 640u /* RAM in a chunk of its own, free of DMA */
#define LENT_LAST  704u

static struct fake_machine machine;
static struct mem mem;
static struct mem_moved moved;

static int start(void **state)
{
	fake_machine_start(&machine, 5);
	fake_machine_fill(&machine, 3);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	machine.mem = &mem;
	moved = (struct mem_moved){ 0 };
	return mem_use_reverse(&mem, *(const enum mem_reverse *)*state) == SCRIM_OK ? 0 : -1;
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
	fake_machine_verify(&machine);
	if (machine.fault)
		fail_msg("%s", machine.fault);
}

static uint64_t frame_of(uint64_t page) { return mem_translate(&mem, gfn(page), &(enum mem_access){ 0 }).n; }

static uint64_t displace(uint64_t page)
{
	mfn_t frame;

	assert_int_equal(mem_displace(&mem, gfn(page), &frame, &moved), SCRIM_OK);
	return frame.n;
}

/* Until the frame is retired; it then holds what nobody may read. Returns the pages that moved. */
static uint64_t retire(uint64_t frame)
{
	uint64_t before = moved.pages;
	bool done;

	do
		assert_int_equal(mem_retire(&mem, mfn(frame), &moved, &done), SCRIM_OK);
	while (!done);
	assert_true(frames_is_retired(&mem, mfn(frame)));
	for (uint32_t i = 0; i < FAKE_WORDS; i++)
		machine.frame[frame][i] = UINT64_MAX;
	assert_sound();
	return moved.pages - before;
}

static void refuse(uint64_t frame, err_t why)
{
	uint64_t free_frames = mem.free_frames, retired = mem.retired_frames, pages = moved.pages, displaced = mem.displaced;
	uint32_t managed = mem.managed.count;
	bool done;

	assert_int_equal(mem_retire(&mem, mfn(frame), &moved, &done), why);
	assert_false(done);
	assert_true(free_frames == mem.free_frames && retired == mem.retired_frames && pages == moved.pages);
	assert_true(displaced == mem.displaced && managed == mem.managed.count);
	assert_sound();
}

static void come_home(enum mem_remap_mode mode, uint64_t first, uint64_t last)
{
	static struct mem_batch batch;
	enum mem_step step;

	assert_int_equal(mem_remap_start(&mem, mode, gfn(first), gfn(last)), SCRIM_OK);
	do {
		step = mem_remap_begin(&mem, &batch, SCRIM_BATCH_MAX);
		assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
		if (step != MEM_STEP_MOVES)
			continue;
		mem.config.port->flush(&machine);
		mem_batch_copy(&mem, &batch);
		mem_batch_end(&mem, &batch, &moved);
	} while (step != MEM_STEP_DONE);
	mem_remap_stop(&mem);
	assert_sound();
}

static void scatter(uint64_t first, uint64_t last)
{
	static struct mem_batch batch;
	static struct mem_scatter cursor;
	enum mem_step step;

	mem_scatter_start(&cursor, 9, gfn(first), gfn(last), SCATTER_ALL);
	while ((step = mem_scatter_begin(&mem, &cursor, &batch, 64)) != MEM_STEP_DONE) {
		assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN);
		if (step != MEM_STEP_MOVES)
			continue;
		mem.config.port->flush(&machine);
		mem_batch_copy(&mem, &batch);
		mem_batch_end(&mem, &batch, &moved);
	}
}

static void share(uint64_t first, uint64_t last)
{
	static struct mem_share cursor;
	static uint64_t slots[SLOTS];

	mem_share_start(&cursor, gfn(first), gfn(last), slots, SLOTS);
	while (mem_share_step(&mem, &cursor, 64) == MEM_STEP_AGAIN)
		;
}

/* At home, away, in another's home, free, of the reserve; twice; and none of them is ever used again. */
static void test_kinds_of_frames(void **unused)
{
	gfn_t page;

	(void)unused;
	assert_int_equal(retire(300), 1); /* its own page */
	assert_in_range(frame_of(300), FIRST, FIRST + FAKE_RESERVE_FRAMES - 1);
	assert_int_equal(retire(300), 0);
	assert_int_equal(mem.retired_frames, 1);

	uint64_t away = displace(301);

	assert_int_equal(retire(away), 1); /* its page goes home: that is free */
	assert_int_equal(frame_of(301), 301);
	(void)displace(302);
	assert_int_equal(retire(302), 0); /* a home that is free */
	assert_int_equal(retire(FIRST + 200), 0);
	assert_int_equal(retire(frame_of(300)), 1); /* page 300 moves on: it has no home */
	assert_int_equal(mem.retired_frames, 5);
	assert_true(mem_find_occupant(&mem, mfn(frame_of(300)), &page) && page.n == 300);
	assert_false(mem_find_occupant(&mem, mfn(300), &page));
	assert_false(mem_find_occupant(&mem, mfn(FIRST + 200), &page));
	assert_true(mem_find_occupant(&mem, mfn(400), &page) && page.n == 400);
	assert_true(mem_find_occupant(&mem, mfn(1ull << 40), &page) && page.n == 1ull << 40);
	scatter(256, 900);
	assert_sound();
	for (uint64_t i = 0; i < FAKE_PAGES; i++)
		assert_false(machine.is_ram[i] && frames_is_retired(&mem, mfn(frame_of(i))));
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	assert_int_equal(mem.displaced, 2);
}

/* All who share the frame move, one a call. */
static void test_shared(void **unused)
{
	uint64_t frame = 0;

	(void)unused;
	share(400, 460);
	assert_true(mem.read_only > 20);
	for (uint64_t page = 400; page < 460 && !frame; page++)
		if (frame_of(page) != page)
			frame = frame_of(page);
	assert_true(retire(frame) > 1);
	for (uint64_t page = 400; page < 460; page++)
		assert_true(frame_of(page) != frame);
	come_home(MEM_REMAP_INDIRECT, 0, UINT64_MAX);
	assert_int_equal(mem.displaced, 1);
	assert_int_equal(mem.saved, 0);
}

/* Pages that share, one of them without a home: it gets out of the home of the other. */
static void test_homeless_shares(void **unused)
{
	(void)unused;
	for (uint64_t page = 420; page < 430; page++)
		retire(page);
	share(400, 460);
	assert_true(mem.read_only > 20);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		assert_true(page >= 420 && page < 430 ? frames_is_spare(&mem, mfn(frame_of(page))) : frame_of(page) == page);
}

/* A lent frame is retired, too, and stays lent. */
static void test_lent(void **unused)
{
	(void)unused;
	assert_int_equal(mem_lend(&mem, LENT_FIRST * PAGE_SIZE, LENT_LAST * PAGE_SIZE), SCRIM_OK);
	fake_machine_offline(&machine, LENT_FIRST, LENT_LAST);
	assert_int_equal(retire(LENT_FIRST + 3), 0);
	assert_int_equal(mem_unlend(&mem, LENT_FIRST * PAGE_SIZE, LENT_LAST * PAGE_SIZE), SCRIM_EDISPLACED);
	assert_int_equal(mem_unlend(&mem, (LENT_FIRST + 4) * PAGE_SIZE, LENT_LAST * PAGE_SIZE), SCRIM_OK);
	fake_machine_online(&machine, LENT_FIRST + 4, LENT_LAST);
	assert_int_equal(mem.displaced, 0);
	assert_sound();
}

static void test_refused(void **unused)
{
	static struct mem_batch batch;
	bool done;

	(void)unused;
	refuse(0, SCRIM_EDMA);                 /* RAM where devices write */
	refuse(FAKE_PAGES + 5, SCRIM_ENOTRAM);
	refuse(UINT64_MAX >> PAGE_SHIFT, SCRIM_ENOTRAM);
	assert_int_equal(mem_withdraw(&mem, mfn(FIRST + 7), 1), SCRIM_OK);
	refuse(FIRST + 7, SCRIM_EDISPLACED);
	(void)displace(300);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	refuse(310, SCRIM_ESTATE);
	assert_int_equal(mem_remap_begin(&mem, &batch, 1), MEM_STEP_MOVES);
	mem_remap_stop(&mem);
	assert_int_equal(mem_retire(&mem, mfn(310), &moved, &done), SCRIM_ESTATE); /* in flight */
	mem.config.port->flush(&machine);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	retire(310);
}

/* One frame is kept to open a cycle. */
static void test_no_frame(void **unused)
{
	uint64_t page = 300;

	(void)unused;
	assert_int_equal(mem_withdraw(&mem, mfn(FIRST), FAKE_RESERVE_FRAMES - 4), SCRIM_OK);
	for (; mem.free_frames > 1; page++)
		retire(page);
	assert_int_equal(page, 303);
	refuse(page, SCRIM_ENOFRAME);
	scatter(256, 600);
	assert_sound();
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	assert_int_equal(mem.displaced, 3);
}

/* What stays managed: 2 MiB of each, or of that what was. */
static void test_what_is_locked(void **unused)
{
	static struct range_list scratch;

	(void)unused;
	retire(300);
	retire(310);
	retire(2200);
	retire(FIRST);
	scatter(256, 1024);
	come_home(MEM_REMAP_DIRECT, 0, 1024);
	assert_true(mem_may_lock(&mem, 0, 1024 * PAGE_SIZE, &scratch));
	assert_int_equal(mem_lock_portion(&mem, 0, 1024 * PAGE_SIZE), SCRIM_OK);
	assert_memory_equal(scratch.entry, mem.managed.entry, scratch.count * sizeof(scratch.entry[0]));
	assert_true(mem_may_displace(&mem, gfn(511)) && !mem_may_displace(&mem, gfn(512)) && !mem_may_displace(&mem, gfn(1023)) &&
		    mem_may_displace(&mem, gfn(1024)));
	assert_sound();
	scatter(2100, 2400);
	come_home(MEM_REMAP_INDIRECT, 0, UINT64_MAX);
	mem_lock_all(&mem);
	assert_int_equal(mem.managed.count, 2);
	assert_true(mem_may_displace(&mem, gfn(2201)) && !mem_may_displace(&mem, gfn(1400)));
	assert_int_equal(mem.displaced, 3);
	assert_sound();
	/* A frame outside: its page alone is managed again. */
	retire(1400);
	assert_true(mem_may_displace(&mem, gfn(1400)) && !mem_may_displace(&mem, gfn(1401)));
	mem_give_all_back(&mem);
	come_home(MEM_REMAP_DIRECT, 0, UINT64_MAX);
	assert_int_equal(mem.displaced + mem.leaf_count + mem.reverse_leaf_count + mem.retired_frames, 0);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	mem_lock_all(&mem);
	assert_int_equal(mem.managed.count, 0);
}

#define UNDER(test, reverse) { #test " " #reverse, test, start, stop, (void *)&all[reverse] }
#define UNDER_EACH(test) UNDER(test, MEM_REVERSE_SEARCH), UNDER(test, MEM_REVERSE_REFCOUNT), UNDER(test, MEM_REVERSE_BACKMAP)

int main(void)
{
	static enum mem_reverse all[] = { MEM_REVERSE_SEARCH, MEM_REVERSE_REFCOUNT, MEM_REVERSE_BACKMAP };
	const struct CMUnitTest tests[] = {
		UNDER_EACH(test_kinds_of_frames), UNDER_EACH(test_shared), UNDER_EACH(test_homeless_shares), UNDER_EACH(test_lent),
		UNDER_EACH(test_refused), UNDER_EACH(test_no_frame), UNDER_EACH(test_what_is_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
