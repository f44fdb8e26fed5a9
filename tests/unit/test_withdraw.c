/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests withdrawn frames under each reverse: neither free nor occupied, what is refused, and that a refusal changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/frames.h"
#include "mem/mem_check.h"

#define FIRST FAKE_RESERVE_FIRST
#define END   (FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES)

static struct fake_machine machine;
static struct mem mem;
static struct mem_moved moved;

static int start(void **state)
{
	fake_machine_start(&machine, 5);

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

static uint64_t displace(uint64_t page)
{
	mfn_t frame;

	assert_int_equal(mem_displace(&mem, gfn(page), &frame, &moved), SCRIM_OK);
	return frame.n;
}

static void bring_all_home(void)
{
	while (fake_bring_home(&mem, SCRIM_BATCH_MAX, &moved) > 0)
		;
}

static err_t withdraw(uint64_t first, uint64_t count) { return mem_withdraw(&mem, mfn(first), count); }
static err_t give_back(uint64_t first, uint64_t count) { return mem_give_back(&mem, mfn(first), count); }

static void refuse(uint64_t first, uint64_t count, err_t why)
{
	static struct mem before;

	before = mem;
	assert_int_equal(withdraw(first, count), why);
	assert_memory_equal(before.withdrawn.entry, mem.withdrawn.entry, sizeof(mem.withdrawn.entry));
	assert_int_equal(before.withdrawn.count, mem.withdrawn.count);
	assert_int_equal(before.withdrawn_frames, mem.withdrawn_frames);
	assert_int_equal(before.free_frames, mem.free_frames);
	assert_int_equal(before.free_homes, mem.free_homes);
	assert_sound();
}

/* With all but a few withdrawn, pages go to these few; given back, frames hold pages again. */
static void test_nobody_goes_there(void **unused)
{
	(void)unused;
	assert_int_equal(withdraw(FIRST, FAKE_RESERVE_FRAMES - 3), SCRIM_OK);
	assert_int_equal(mem.free_frames, 3);
	assert_true(frames_is_withdrawn(&mem, mfn(FIRST)) && !frames_is_spare(&mem, mfn(FIRST)));
	assert_sound();
	for (uint64_t page = 300; page < 320; page++) {
		uint64_t frame = displace(page);

		assert_false(frame >= FIRST && frame < END - 3);
	}
	assert_sound();
	assert_int_equal(give_back(FIRST + 10, 5), SCRIM_OK);
	for (uint64_t page = 330; page < 335; page++)
		assert_in_range(displace(page), FIRST + 10, FIRST + 14);
	assert_sound();
	bring_all_home();
	assert_int_equal(mem.free_frames, 8);
	assert_int_equal(mem.leaf_count + mem.reverse_leaf_count, 0);
	assert_int_equal(give_back(FIRST, 10), SCRIM_OK);
	assert_int_equal(give_back(FIRST + 15, FAKE_RESERVE_FRAMES - 18), SCRIM_OK);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_int_equal(mem.withdrawn.count, 0);
	assert_sound();
}

/* The free home of a page that is away: it stays away until the frame is given back. */
static void test_home(void **unused)
{
	enum mem_access access;

	(void)unused;
	(void)displace(300);
	assert_int_equal(withdraw(300, 1), SCRIM_OK);
	assert_int_equal(mem.free_homes, 0);
	for (uint64_t page = 301; page < 301 + FAKE_RESERVE_FRAMES + 5; page++)
		assert_int_not_equal(displace(page), 300);
	assert_sound();
	assert_int_equal(give_back(300, 1), SCRIM_OK);
	bring_all_home();
	assert_int_equal(mem_translate(&mem, gfn(300), &access).n, 300);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_sound();
}

/* Another reverse does not take them for free. */
static void test_other_reverse(void **state)
{
	enum mem_reverse before = *(const enum mem_reverse *)*state;

	(void)displace(300);
	assert_int_equal(withdraw(300, 1), SCRIM_OK);
	assert_int_equal(withdraw(END - 20, 10), SCRIM_OK);
	for (uint32_t i = 1; i <= MEM_REVERSE_COUNT; i++) {
		assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)((before + i) % MEM_REVERSE_COUNT)), SCRIM_OK);
		assert_sound();
	}
	assert_int_equal(give_back(END - 20, 10), SCRIM_OK);
	assert_int_equal(give_back(300, 1), SCRIM_OK);
	bring_all_home();
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_sound();
}

static void test_refused(void **unused)
{
	static struct mem_batch batch;
	uint64_t frame = displace(300);

	(void)unused;
	refuse(FIRST, 0, SCRIM_EINVAL);
	refuse(0, 1, SCRIM_ENOTRAM);                     /* RAM where devices write: no page there ever moves */
	refuse(UINT64_MAX, 1, SCRIM_ENOTRAM);
	refuse(FIRST, UINT64_MAX, SCRIM_ENOTRAM);
	refuse(frame, 1, SCRIM_EDISPLACED);              /* page 300 is there */
	refuse(301, 1, SCRIM_EDISPLACED);                /* its own page is there */
	assert_int_equal(withdraw(END - 10, 10), SCRIM_OK);
	refuse(END - 11, 2, SCRIM_EDISPLACED);           /* twice */
	assert_int_equal(give_back(END - 11, 2), SCRIM_EINVAL);
	assert_int_equal(give_back(END - 10, 0), SCRIM_EINVAL);
	assert_int_equal(give_back(UINT64_MAX, 2), SCRIM_EINVAL);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	assert_int_equal(mem_remap_begin(&mem, &batch, 1), MEM_STEP_MOVES);
	assert_int_equal(withdraw(END - 20, 1), SCRIM_ESTATE);
	mem.config.port->flush(&machine);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	mem_remap_stop(&mem);
	assert_int_equal(withdraw(END - 20, 1), SCRIM_OK);
	assert_sound();
}

/* One frame stays to open a cycle with while a page is away; none is needed while all are at home. */
static void test_reserve_stays(void **unused)
{
	uint64_t frame = displace(300);

	(void)unused;
	assert_int_equal(withdraw(300, 1), SCRIM_OK);
	for (uint64_t other = FIRST; other < END; other++)
		if (other != frame && mem.free_frames > 1)
			assert_int_equal(withdraw(other, 1), SCRIM_OK);
	for (uint64_t other = FIRST; other < END; other++)
		if (other != frame && !frames_is_withdrawn(&mem, mfn(other)))
			refuse(other, 1, SCRIM_ENOFRAME);
	assert_int_equal(give_back(300, 1), SCRIM_OK);
	bring_all_home();
	assert_int_equal(mem.free_frames, 2);
	for (uint64_t other = FIRST; other < END; other++)
		if (!frames_is_withdrawn(&mem, mfn(other)))
			assert_int_equal(withdraw(other, 1), SCRIM_OK);
	assert_int_equal(mem.free_frames, 0);
	assert_sound();
}

/* Each second frame, until the list is full; then room is made by one that is given back. */
static void test_list_is_full(void **unused)
{
	uint64_t frame = FIRST;
	uint64_t page;

	(void)unused;
	for (; frame < END; frame += 2)
		assert_int_equal(withdraw(frame, 1), SCRIM_OK);
	for (page = 2200; mem.withdrawn.count < RANGES_MAX; page += 2) {
		(void)displace(page);
		assert_int_equal(withdraw(page, 1), SCRIM_OK);
	}
	(void)displace(page);
	refuse(page, 1, SCRIM_EINVAL);
	assert_int_equal(give_back(FIRST, 1), SCRIM_OK);
	assert_int_equal(withdraw(page, 1), SCRIM_OK);
	assert_sound();
}

#define UNDER(test, reverse) { #test " " #reverse, test, start, stop, (void *)&all[reverse] }
#define UNDER_EACH(test) UNDER(test, MEM_REVERSE_SEARCH), UNDER(test, MEM_REVERSE_REFCOUNT), UNDER(test, MEM_REVERSE_BACKMAP)

int main(void)
{
	static enum mem_reverse all[] = { MEM_REVERSE_SEARCH, MEM_REVERSE_REFCOUNT, MEM_REVERSE_BACKMAP };
	const struct CMUnitTest tests[] = {
		UNDER_EACH(test_nobody_goes_there), UNDER_EACH(test_home), UNDER_EACH(test_other_reverse),
		UNDER_EACH(test_refused), UNDER_EACH(test_reserve_stays), UNDER_EACH(test_list_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
