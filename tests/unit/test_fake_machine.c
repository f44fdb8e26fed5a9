/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the tester: each mistake that the simulated machine promises to find is made, and must be found by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/p2m.h"

#define PAGE_A     300u
#define PAGE_B     301u
#define FREE_FRAME FAKE_RESERVE_FIRST

static struct fake_machine machine;
static const struct mem_port_ops *const port = &fake_machine_ops;

static int start(void **unused)
{
	(void)unused;
	fake_machine_start(&machine, 3);
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	fake_machine_stop(&machine);
	return 0;
}

/* Every entry of CPU 0: the few accesses of the next call cannot push all of them out. */
static void cache(uint64_t page, uint64_t frame, enum mem_access access)
{
	for (uint32_t i = 0; i < FAKE_TLB; i++)
		machine.tlb[0][i] = (struct fake_entry){ page, frame, 1, access };
}

static void set(uint64_t page, uint64_t frame, enum mem_access access)
{
	port->map_set(&machine, gfn(page), mfn(frame), access);
}

static void copy(mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	const struct mem_move move = { .from = from, .to = to };

	port->copy(&machine, &move, 1, offset, bytes);
}

static void assert_found(const char *what)
{
	assert_non_null(machine.fault);
	assert_string_equal(machine.fault, what);
}

static void test_sound_move(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	set(PAGE_A, FREE_FRAME, MEM_ACCESS_ALL);
	fake_machine_verify(&machine);
	assert_null(machine.fault);
	assert_int_equal(fake_machine_split_chunks(&machine), 1);
}

static void test_set_unprepared(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_B, PAGE_B, MEM_ACCESS_NONE);
	assert_found("map_set for a page that was not prepared, or out of RAM");
}

static void test_copy_from_present(void **unused)
{
	(void)unused;
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	assert_found("a copy from a frame that a CPU can write");
}

static void test_copy_to_present(void **unused)
{
	(void)unused;
	copy(mfn(PAGE_A), mfn(FREE_FRAME), 0, PAGE_SIZE);
	assert_found("a copy to a frame that a CPU can reach");
}

static void test_copy_unflushed(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	cache(PAGE_A, PAGE_A, MEM_ACCESS_ALL);
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	assert_found("a copy from a frame that a CPU can write");
}

/* Who may only read a frame does not disturb a copy from it, but one to it. */
static void test_copy_with_reader(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	cache(PAGE_A, PAGE_A, MEM_ACCESS_READ);
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	assert_null(machine.fault);
	port->flush(&machine);
	cache(PAGE_A, PAGE_A, MEM_ACCESS_READ);
	copy(mfn(PAGE_A), mfn(FREE_FRAME), 0, PAGE_SIZE);
	assert_found("a copy to a frame that a CPU can reach");
}

static void test_copy_to_itself(void **unused)
{
	(void)unused;
	copy(mfn(PAGE_A), mfn(PAGE_A), 0, PAGE_SIZE);
	assert_found("a copy of a frame to itself, or outside the machine");
}

static void test_present_without_copy(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, FREE_FRAME, MEM_ACCESS_ALL);
	assert_found("a page is made present in a frame without its contents");
}

static void test_present_unflushed(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	set(PAGE_A, PAGE_A, MEM_ACCESS_ALL);
	assert_found("a page is made present that was not absent over a flush");
}

static void test_present_in_occupied_frame(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_B, MEM_ACCESS_ALL);
	assert_found("a page is made present in a frame that is occupied");
}

static void test_frame_reused_while_cached(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	cache(PAGE_B, FREE_FRAME, MEM_ACCESS_READ);
	set(PAGE_A, FREE_FRAME, MEM_ACCESS_ALL);
	assert_found("a frame is reused that a TLB still holds for another page");
}

static void test_stale_access(void **unused)
{
	(void)unused;
	cache(PAGE_A, FREE_FRAME, MEM_ACCESS_ALL);
	for (int i = 0; i < 1000 && !machine.fault; i++) {
		machine.hot[0] = PAGE_A;
		fake_machine_access(&machine);
	}
	assert_found("a CPU reads other than was written");
}

/* A store that was translated before the move and drains after it. */
static void test_late_store(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	machine.store[0][0] = (struct fake_store){ PAGE_A, FREE_FRAME, 0, 5 };
	machine.stores[0] = 1;
	port->flush(&machine);
	assert_found("a store ends in a frame that is no longer its page's");
}

/* It is no TLB that stands in the way of this copy. */
static void test_copy_before_store(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	for (uint32_t cpu = 0; cpu < FAKE_CPUS; cpu++) {
		for (uint32_t i = 0; i < FAKE_STORES; i++)
			machine.store[cpu][i] = (struct fake_store){ PAGE_A, PAGE_A, 0, 5 };
		machine.stores[cpu] = FAKE_STORES;
	}
	copy(mfn(FREE_FRAME), mfn(PAGE_A), 0, PAGE_SIZE);
	assert_found("a copy from a frame that a CPU can write");
}

/* A page that devices write is taken away from under them. */
static void test_device_write(void **unused)
{
	(void)unused;
	assert_true(machine.device_pages > 0);
	for (uint64_t page = 0; page < 160; page++) {
		assert_true(port->map_prepare(&machine, gfn(page)));
		set(page, page, MEM_ACCESS_NONE);
	}
	for (int i = 0; i < 100 && !machine.fault; i++)
		port->flush(&machine);
	assert_found("a device writes a page that is not at home");
}

static void share_a_with_b(enum mem_access access)
{
	for (uint64_t word = 0; word < FAKE_WORDS; word++)
		machine.frame[PAGE_B][word] = machine.wrote[PAGE_B][word] = machine.wrote[PAGE_A][word];
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)) && port->map_prepare(&machine, gfn(PAGE_B)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	set(PAGE_B, PAGE_B, MEM_ACCESS_NONE);
	port->flush(&machine);
	set(PAGE_A, PAGE_A, MEM_ACCESS_READ);
	set(PAGE_B, PAGE_A, access);
}

static void test_sound_sharing(void **unused)
{
	(void)unused;
	share_a_with_b(MEM_ACCESS_READ);
	fake_machine_verify(&machine);
	assert_null(machine.fault);
	set(PAGE_A, PAGE_A, MEM_ACCESS_ALL);
	assert_found("a page is made present in a frame that is occupied");
}

static void test_sharing_with_writer(void **unused)
{
	(void)unused;
	share_a_with_b(MEM_ACCESS_ALL);
	assert_found("a page is made present in a frame that is occupied");
}

/* A page taken offline is nobody's: its frame may hold another. */
static void test_offline(void **unused)
{
	(void)unused;
	fake_machine_offline(&machine, PAGE_B, PAGE_B + 1);
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->flush(&machine);
	copy(mfn(PAGE_B), mfn(PAGE_A), 0, PAGE_SIZE);
	set(PAGE_A, PAGE_B, MEM_ACCESS_ALL);
	fake_machine_verify(&machine);
	assert_null(machine.fault);
	set(PAGE_A, PAGE_B, MEM_ACCESS_NONE);
	port->flush(&machine);
	copy(mfn(PAGE_A), mfn(PAGE_B), 0, PAGE_SIZE);
	set(PAGE_A, PAGE_A, MEM_ACCESS_ALL);
	fake_machine_online(&machine, PAGE_B, PAGE_B + 1);
	port->flush(&machine);
	fake_machine_verify(&machine);
	assert_null(machine.fault);
}

static void test_release_unsplit(void **unused)
{
	(void)unused;
	port->map_release(&machine, gfn(PAGE_A));
	assert_found("map_release of a chunk that is not split");
}

static void test_release_displaced(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	port->map_release(&machine, gfn(PAGE_A));
	assert_found("map_release of a chunk that is not all at home");
}

static void test_table_reused_unflushed(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	port->map_release(&machine, gfn(PAGE_A));
	assert_null(machine.fault);
	assert_non_null(port->table_alloc(&machine));
	assert_found("a table page is asked for while one that was given up may still be walked");
}

static void test_release_unflushed(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	port->map_release(&machine, gfn(PAGE_A));
	fake_machine_verify(&machine);
	assert_found("a table page was given up and no flush made");
}

static void test_double_free(void **unused)
{
	(void)unused;
	void *page = port->table_alloc(&machine);

	port->table_free(&machine, page);
	assert_null(machine.fault);
	assert_int_equal(fake_machine_leaves(&machine), 0);
	port->table_free(&machine, page);
	assert_found("a table page is freed that is not out");
}

static void test_page_left_absent(void **unused)
{
	(void)unused;
	assert_true(port->map_prepare(&machine, gfn(PAGE_A)));
	set(PAGE_A, PAGE_A, MEM_ACCESS_NONE);
	fake_machine_verify(&machine);
	assert_found("a page was left absent");
}

/* A leaf that was in the map when it was last read, freed with no flush between. */
static void test_leaf_freed_unflushed(void **unused)
{
	(void)unused;
	struct mem_config config = fake_machine_config(&machine);
	struct mem mem;
	struct p2m_leaf *leaf;

	mem_init(&mem, &config);
	machine.mem = &mem;
	assert_true(p2m_add_leaf(&mem, 0));
	port->flush(&machine);
	leaf = p2m_take_leaf(&mem, 0);
	assert_non_null(leaf);
	port->flush(&machine);
	port->table_free(&machine, leaf);
	assert_null(machine.fault);

	assert_true(p2m_add_leaf(&mem, 0));
	port->flush(&machine);
	port->table_free(&machine, p2m_take_leaf(&mem, 0));
	assert_found("a leaf is freed that a CPU in an exit may be reading");
	free(config.storage);
}

/* The engine on a machine whose flush forgets one CPU. */
static void test_broken_flush(void **unused)
{
	(void)unused;
	struct mem_config config = fake_machine_config(&machine);
	struct mem_moved moved = { 0 };
	struct mem mem;
	mfn_t frame;

	mem_init(&mem, &config);
	machine.flush_broken = true;
	for (uint64_t page = 256; page < 500 && !machine.fault; page++) {
		assert_int_equal(mem_displace(&mem, gfn(page), &frame, &moved), SCRIM_OK);
		fake_bring_home(&mem, 1, &moved);
	}
	assert_non_null(machine.fault);
	free(config.storage);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sound_move),
		TEST(test_set_unprepared),
		TEST(test_copy_from_present),
		TEST(test_copy_to_present),
		TEST(test_copy_unflushed),
		TEST(test_copy_with_reader),
		TEST(test_copy_to_itself),
		TEST(test_present_without_copy),
		TEST(test_present_unflushed),
		TEST(test_present_in_occupied_frame),
		TEST(test_frame_reused_while_cached),
		TEST(test_stale_access),
		TEST(test_late_store),
		TEST(test_copy_before_store),
		TEST(test_device_write),
		TEST(test_sound_sharing),
		TEST(test_sharing_with_writer),
		TEST(test_offline),
		TEST(test_release_unsplit),
		TEST(test_release_displaced),
		TEST(test_table_reused_unflushed),
		TEST(test_release_unflushed),
		TEST(test_double_free),
		TEST(test_page_left_absent),
		TEST(test_leaf_freed_unflushed),
		TEST(test_broken_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
