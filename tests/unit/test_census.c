/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the census: what it counts in a range is what the map says of each page there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/census.h"
#include "mem/p2m.h"

#define ENTRIES 400u
#define RANGES  300u

static struct fake_machine machine;
static struct mem mem;

static void set(uint64_t page, uint64_t frame, enum mem_access access)
{
	assert_true(p2m_add_leaf(&mem, p2m_chunk(gfn(page))));
	p2m_set(&mem, gfn(page), mfn(frame), access);
}

/* By another way: page for page, where the map is looked up. */
static struct mem_census count(uint64_t first, uint64_t last)
{
	struct mem_census census = { 0 };

	for (uint64_t page = first; page < last; page++) {
		enum mem_access access;
		mfn_t frame = mem_translate(&mem, gfn(page), &access);

		census.displaced += frame.n != page;
		census.shared += access == MEM_ACCESS_READ;
		census.in_flight += access == MEM_ACCESS_NONE;
	}
	return census;
}

static void assert_census(uint64_t first, uint64_t last)
{
	struct mem_census is = mem_census(&mem, gfn(first), gfn(last)), want = count(first, last);

	assert_int_equal(is.displaced, want.displaced);
	assert_int_equal(is.shared, want.shared);
	assert_int_equal(is.in_flight, want.in_flight);
}

static void test_ranges(void **unused)
{
	(void)unused;
	srandom(11);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		uint64_t page = (uint64_t)random() % FAKE_PAGES;
		/* Chunk 3 stays without a leaf; chunk 4 has one that says nothing. */
		if (p2m_chunk(gfn(page)) != 3 && p2m_chunk(gfn(page)) != 4)
			set(page, random() % 3 ? (uint64_t)random() % FAKE_PAGES : page, (enum mem_access)(random() % 3));
	}
	assert_true(p2m_add_leaf(&mem, 4));
	assert_census(0, FAKE_PAGES);
	struct mem_census all = mem_census(&mem, gfn(0), gfn(FAKE_PAGES));
	assert_int_equal(all.displaced, mem.displaced);
	assert_int_equal(all.shared, mem.read_only);
	assert_int_equal(all.in_flight, mem.in_flight);
	assert_true(all.displaced > 0 && all.shared > 0 && all.in_flight > 0);
	for (uint32_t i = 0; i < RANGES; i++) {
		uint64_t first = (uint64_t)random() % FAKE_PAGES;
		assert_census(first, first + (uint64_t)random() % (FAKE_PAGES - first + 1));
	}
}

/* Beyond the map all is Identity, up to the last page number that there is. */
static void test_beyond(void **unused)
{
	(void)unused;
	set(FAKE_PAGES - 1, 5, MEM_ACCESS_ALL);
	assert_int_equal(mem_census(&mem, gfn(FAKE_PAGES - 1), gfn(UINT64_MAX)).displaced, 1);
	assert_int_equal(mem_census(&mem, gfn(FAKE_PAGES), gfn(UINT64_MAX)).displaced, 0);
	assert_int_equal(mem_census(&mem, gfn(7), gfn(7)).displaced, 0);
}

static int start(void **unused)
{
	(void)unused;
	fake_machine_start(&machine, 1);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	for (uint64_t chunk = 0; chunk < mem.chunk_count; chunk++)
		if (mem.root[chunk].leaf)
			mem.config.port->table_free(mem.config.port_context, mem.root[chunk].leaf);
	fake_machine_stop(&machine);
	free(mem.config.storage);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, start, stop),
		cmocka_unit_test_setup_teardown(test_beyond, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
