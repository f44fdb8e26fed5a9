/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests portions and lent frames: what is refused and why, that a refusal changes nothing, and the 4 TiB that pages may be displaced in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/p2m.h"

#define BLOCK_FIRST 640u /* RAM in a chunk of its own, free of DMA */
#define BLOCK_PAGES 64u

static struct fake_machine machine;
static struct mem mem;
static struct mem_moved moved;

static int start(void **unused)
{
	(void)unused;
	fake_machine_start(&machine, 5);

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
	fake_machine_verify(&machine);
	if (machine.fault)
		fail_msg("%s", machine.fault);
}

static err_t displace(uint64_t page)
{
	mfn_t frame;

	return mem_displace(&mem, gfn(page), &frame, &moved);
}

static void bring_all_home(void)
{
	while (fake_bring_home(&mem, SCRIM_BATCH_MAX, &moved) > 0)
		;
}

/* The four, by page numbers. */
static err_t manage(uint64_t first, uint64_t last) { return mem_manage(&mem, first * PAGE_SIZE, last * PAGE_SIZE); }
static err_t unmanage(uint64_t first, uint64_t last) { return mem_unmanage(&mem, first * PAGE_SIZE, last * PAGE_SIZE); }

static err_t lend(uint64_t first, uint64_t last)
{
	err_t err = mem_lend(&mem, first * PAGE_SIZE, last * PAGE_SIZE);

	if (err == SCRIM_OK)
		fake_machine_offline(&machine, first, last);
	return err;
}

static err_t unlend(uint64_t first, uint64_t last)
{
	err_t err = mem_unlend(&mem, first * PAGE_SIZE, last * PAGE_SIZE);

	if (err == SCRIM_OK)
		fake_machine_online(&machine, first, last);
	return err;
}

typedef err_t (*range_fn)(struct mem *, uint64_t, uint64_t);

static void test_bad_ranges(void **unused)
{
	static const range_fn all[] = { mem_manage, mem_unmanage, mem_lend, mem_unlend };
	struct mem before = mem;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_int_equal(all[i](&mem, 1, PAGE_SIZE), SCRIM_EALIGN);
		assert_int_equal(all[i](&mem, 0, PAGE_SIZE + 8), SCRIM_EALIGN);
		assert_int_equal(all[i](&mem, PAGE_SIZE, PAGE_SIZE), SCRIM_EINVAL);
		assert_int_equal(all[i](&mem, 2 * PAGE_SIZE, PAGE_SIZE), SCRIM_EINVAL);
	}
	assert_memory_equal(&mem, &before, sizeof(mem));
}

/* --- portions --- */

static void test_unmanaged_pages_stay(void **unused)
{
	(void)unused;
	assert_int_equal(unmanage(300, 400), SCRIM_OK);
	assert_int_equal(displace(299), SCRIM_OK);
	assert_int_equal(displace(300), SCRIM_EDMA);
	assert_int_equal(displace(399), SCRIM_EDMA);
	assert_int_equal(displace(400), SCRIM_OK);
	assert_int_equal(manage(350, 360), SCRIM_OK);
	assert_int_equal(displace(350), SCRIM_OK);
	assert_int_equal(displace(360), SCRIM_EDMA);
	assert_sound();
	bring_all_home();
	assert_sound();
}

/* A page that is away, one that is in the hands of a batch, a frame that holds another's. Beside them there is no objection. */
static void test_unmanage_in_use(void **unused)
{
	static struct mem_batch batch;

	(void)unused;
	assert_int_equal(displace(300), SCRIM_OK);
	assert_int_equal(unmanage(300, 301), SCRIM_EDISPLACED);
	assert_int_equal(unmanage(0, 2 * FAKE_PAGES), SCRIM_EDISPLACED);
	assert_int_equal(unmanage(301, 512), SCRIM_OK);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	assert_int_equal(mem_remap_begin(&mem, &batch, 1), MEM_STEP_MOVES);
	assert_int_equal(unmanage(300, 301), SCRIM_EDISPLACED);
	mem.config.port->flush(&machine);
	mem_batch_copy(&mem, &batch);
	mem_batch_end(&mem, &batch, &moved);
	mem_remap_stop(&mem);
	assert_int_equal(unmanage(0, 2 * FAKE_PAGES), SCRIM_OK); /* the end of RAM is no obstacle */
	assert_int_equal(displace(300), SCRIM_EDMA);
	assert_int_equal(manage(0, FAKE_PAGES), SCRIM_OK);
	assert_int_equal(displace(300), SCRIM_OK);
	assert_sound();
}

/* Every other page, until the list is full. It was not harmed by being full. */
static void test_list_of_portions_full(void **unused)
{
	uint64_t page = 300;

	(void)unused;
	while (unmanage(page, page + 1) == SCRIM_OK)
		page += 2;
	assert_in_range(page, 300 + 200, 300 + 2 * RANGES_MAX);
	assert_int_equal(unmanage(page, page + 1), SCRIM_EINVAL);
	assert_int_equal(displace(page), SCRIM_OK);
	assert_int_equal(displace(page - 2), SCRIM_EDMA);
	assert_int_equal(unmanage(4000, 4001), SCRIM_EINVAL);
	assert_int_equal(manage(299, page + 1), SCRIM_OK);
	assert_int_equal(unmanage(4000, 4001), SCRIM_OK);

	/* And the other way round. */
	bring_all_home();
	assert_int_equal(unmanage(0, FAKE_PAGES), SCRIM_OK);
	for (page = 300; manage(page, page + 1) == SCRIM_OK;)
		page += 2;
	assert_int_equal(manage(page, page + 1), SCRIM_EINVAL);
	assert_int_equal(displace(page), SCRIM_EDMA);
	assert_sound();
}

/* --- lent frames --- */

static void test_lend_refused(void **unused)
{
	(void)unused;
	assert_int_equal(displace(650), SCRIM_OK);

	struct mem before = mem;

	assert_int_equal(lend(100, 200), SCRIM_ENOTRAM);
	assert_int_equal(lend(4899, 4901), SCRIM_ENOTRAM);
	assert_int_equal(lend(FAKE_RESERVE_FIRST, FAKE_RESERVE_FIRST + 1), SCRIM_ENOTRAM);
	assert_int_equal(lend(640, 704), SCRIM_EDISPLACED);
	assert_memory_equal(&mem, &before, sizeof(mem));
	assert_int_equal(lend(704, 768), SCRIM_OK);
	before = mem;
	assert_int_equal(lend(704, 768), SCRIM_EDISPLACED);
	assert_int_equal(lend(767, 770), SCRIM_EDISPLACED);
	assert_int_equal(lend(700, 705), SCRIM_EDISPLACED);
	assert_int_equal(lend(690, 800), SCRIM_EDISPLACED);
	assert_int_equal(unlend(640, 650), SCRIM_EINVAL);
	assert_int_equal(unlend(704, 769), SCRIM_EINVAL);
	assert_memory_equal(&mem, &before, sizeof(mem));
	assert_int_equal(lend(768, 800), SCRIM_OK); /* neighbours are no overlap */
	assert_int_equal(lend(690, 704), SCRIM_OK);
	assert_sound();
}

static void test_list_of_lent_full(void **unused)
{
	uint64_t page = 300;

	(void)unused;
	while (lend(page, page + 1) == SCRIM_OK)
		page += 2;
	assert_in_range(page, 300 + 200, 300 + 2 * RANGES_MAX + 2);

	uint64_t lent = (page - 300) / 2;

	assert_int_equal(mem.lent_frames, lent);
	assert_int_equal(lend(page, page + 1), SCRIM_EINVAL);
	assert_int_equal(mem.lent_frames, lent);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES + lent);
	assert_sound();
	while (page > 300) {
		page -= 2;
		assert_int_equal(unlend(page, page + 1), SCRIM_OK);
	}
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
	assert_sound();

	/* A hole in the middle of a lent block makes two of it. */
	assert_int_equal(lend(300, 1400), SCRIM_OK);
	for (page = 301; unlend(page, page + 1) == SCRIM_OK;)
		page += 2;
	assert_in_range(page, 301, 1400);
	assert_int_equal(unlend(page, page + 1), SCRIM_EINVAL);
	assert_sound();
}

/* Frames that hold pages are not given back; nor those which only free homes would be left for. */
static void test_unlend_in_use(void **unused)
{
	(void)unused;
	for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
		assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)reverse), SCRIM_OK);
		assert_int_equal(lend(BLOCK_FIRST, BLOCK_FIRST + BLOCK_PAGES), SCRIM_OK);
		for (uint64_t page = 256; page < 256 + FAKE_RESERVE_FRAMES + 10; page++)
			assert_int_equal(displace(page), SCRIM_OK);
		assert_int_equal(displace(BLOCK_FIRST), SCRIM_EDMA);
		assert_int_equal(unlend(BLOCK_FIRST, BLOCK_FIRST + BLOCK_PAGES), SCRIM_EDISPLACED);
		assert_sound();
		bring_all_home();
		assert_int_equal(unlend(BLOCK_FIRST, BLOCK_FIRST + BLOCK_PAGES), SCRIM_OK);
		assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES);
		assert_int_equal(displace(BLOCK_FIRST), SCRIM_OK);
		bring_all_home();
		assert_int_equal(mem.reverse_leaf_count, 0);
		assert_sound();
	}
}

/* No reserve but what is lent: the last free frame stays as long as a page is away. */
static void test_unlend_last(void **unused)
{
	struct mem_config config = mem.config;

	(void)unused;
	config.reserve_frames = 0;
	mem_init(&mem, &config);
	assert_int_equal(displace(300), SCRIM_ENOFRAME);
	assert_int_equal(lend(BLOCK_FIRST, BLOCK_FIRST + 2), SCRIM_OK);
	assert_int_equal(displace(300), SCRIM_OK);

	uint64_t taken = mem_translate(&mem, gfn(300), &(enum mem_access){ 0 }).n;
	uint64_t other = taken == BLOCK_FIRST ? BLOCK_FIRST + 1 : BLOCK_FIRST;

	assert_in_range(taken, BLOCK_FIRST, BLOCK_FIRST + 1);
	assert_int_equal(unlend(taken, taken + 1), SCRIM_EDISPLACED);
	assert_int_equal(mem.free_frames, 2); /* and the home of page 300 */
	assert_int_equal(unlend(other, other + 1), SCRIM_OK);
	assert_int_equal(mem.free_frames, 1);
	assert_sound();
	bring_all_home();
	assert_int_equal(unlend(taken, taken + 1), SCRIM_OK);
	assert_int_equal(mem.free_frames, 0);
	assert_sound();
}

/* Not while a batch is in flight: where it goes is not free, and what it leaves is not free yet. */
static void test_unlend_in_flight(void **unused)
{
	static struct mem_batch batch;

	(void)unused;
	assert_int_equal(lend(BLOCK_FIRST, BLOCK_FIRST + BLOCK_PAGES), SCRIM_OK);
	assert_int_equal(displace(300), SCRIM_OK);
	assert_int_equal(mem_remap_start(&mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	assert_int_equal(mem_remap_begin(&mem, &batch, 1), MEM_STEP_MOVES);
	assert_int_equal(unlend(BLOCK_FIRST + 9, BLOCK_FIRST + BLOCK_PAGES), SCRIM_ENOFRAME);
	mem.config.port->flush(&machine);
	mem_batch_abort(&mem, &batch);
	mem_remap_stop(&mem);
	assert_int_equal(unlend(BLOCK_FIRST + 9, BLOCK_FIRST + BLOCK_PAGES), SCRIM_OK);
	bring_all_home();
	assert_sound();
}

/* --- 4 TiB --- */

/* The last page that the back map can name comes and goes; those after it stay. Their frames may be lent. */
static void test_last_page(void **unused)
{
	static struct range_list ram;
	struct mem_config config = mem.config;
	uint64_t end = (MEM_PAGES_MAX + 4096) * PAGE_SIZE;

	(void)unused;
	ram = (struct range_list){ 0 };
	assert_true(ranges_add(&ram, 0, end, RANGE_RAM));
	free(config.storage);
	config.ram = config.movable = config.dma_free = &ram;
	config.reserve_first = mfn(end / PAGE_SIZE);
	config.reserve_frames = 4;
	config.storage = calloc(1, mem_storage_bytes(end, end + 4 * PAGE_SIZE));
	mem_init(&mem, &config);
	for (uint64_t page = MEM_PAGES_MAX - 3; page < MEM_PAGES_MAX + 3; page++) {
		assert_true(mem_is_ram(&mem, gfn(page)));
		assert_int_equal(mem_may_displace(&mem, gfn(page)), page < MEM_PAGES_MAX);
	}
	assert_false(mem_may_displace(&mem, gfn(UINT64_MAX)));
	assert_int_equal(displace(MEM_PAGES_MAX), SCRIM_EDMA);
	assert_int_equal(mem_lend(&mem, MEM_PAGES_MAX * PAGE_SIZE, (MEM_PAGES_MAX + 1) * PAGE_SIZE), SCRIM_OK);
	assert_int_equal(mem.free_frames, 5);
	mem.config.port = NULL; /* nothing above asked for anything */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_ranges),
		TEST(test_unmanaged_pages_stay),
		TEST(test_unmanage_in_use),
		TEST(test_list_of_portions_full),
		TEST(test_lend_refused),
		TEST(test_list_of_lent_full),
		TEST(test_unlend_in_use),
		TEST(test_unlend_last),
		TEST(test_unlend_in_flight),
		TEST(test_last_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
