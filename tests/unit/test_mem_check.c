/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests that mem_check reports what is wrong, and where, and nothing else: a sound map is corrupted in each way that an
 * invariant speaks of, one at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "fake_small.h"
#include "mem/frames.h"
#include "mem/mem_check.h"
#include "mem/p2m.h"
#include "mem/reverse.h"

/* Displaced in the sound map, into the first four frames of the reserve. Chunk 3 holds the reserve and no leaf. */
static const uint64_t displaced_pages[] = { 300, 301, 600, 2200 };

#define HOLE    200u /* in chunk 0, which has a leaf */
#define AT_HOME 310u /* RAM in chunk 0 */

/* Words of a leaf of the back map (reverse_backmap.c): two for a frame, the second is who is in it. */
#define BACK_FREE  0x80000000u
#define BACK_LIMBO 0x40000000u

struct bench {
	struct fake_machine machine;
	struct mem mem;
	struct mem_view view;
	struct range_list other_ranges;
	struct mem_batch batch;
};

static struct bench bench;

static void build(struct bench *b)
{
	struct mem_moved moved = { 0 };
	mfn_t frame;

	fake_machine_start(&b->machine, 7);

	struct mem_config config = fake_machine_config(&b->machine);

	mem_init(&b->mem, &config);
	b->view = (struct mem_view){ .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	b->other_ranges.count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(displaced_pages); i++)
		assert_int_equal(mem_displace(&b->mem, gfn(displaced_pages[i]), &frame, &moved), SCRIM_OK);
}

static void tear_down(struct bench *b)
{
	fake_machine_stop(&b->machine);
	free(b->mem.config.storage);
}

static uint64_t *entry_of(struct bench *b, uint64_t page)
{
	return &b->mem.root[p2m_chunk(gfn(page))].leaf->entry[p2m_index(gfn(page))];
}

static struct fake_entry *hardware_entry_of(struct bench *b, uint64_t page)
{
	return &b->machine.table[page / FAKE_CHUNK][page % FAKE_CHUNK];
}

/* Writes both the map and the hardware's table, so that only the invariant itself is broken. */
static void point(struct bench *b, uint64_t page, uint64_t frame)
{
	*entry_of(b, page) = frame << PAGE_SHIFT | MEM_ACCESS_ALL;
	*hardware_entry_of(b, page) = (struct fake_entry){ page, frame, 1, MEM_ACCESS_ALL };
}

/* --- the ways --- */

static void state_commencing(struct bench *b) { b->view.state = SCRIM_COMMENCING; }
static void state_ceasing(struct bench *b) { b->view.state = SCRIM_CEASING; }
static void state_native(struct bench *b) { b->view.state = SCRIM_NATIVE; }
static void cpu_untranslated(struct bench *b) { b->view.all_cpus_translate = false; }

static void cpu_untranslated_remapping(struct bench *b)
{
	b->view = (struct mem_view){ .state = SCRIM_REMAPPING, .all_cpus_translate = false };
}

static void device_untranslated(struct bench *b)
{
	b->other_ranges.entry[b->other_ranges.count++] = (struct range){ 302 * PAGE_SIZE, 5000 * PAGE_SIZE, RANGE_RAM };
	b->mem.config.movable = b->mem.config.dma_free = &b->other_ranges;
}

static void device_bypasses(struct bench *b) { b->view.devices_bypass = true; }

/* Displaced it may be, since devices translate; read-only it must not be. */
static void read_only_for_devices(struct bench *b)
{
	b->other_ranges.entry[b->other_ranges.count++] = (struct range){ 301 * PAGE_SIZE, 5000 * PAGE_SIZE, RANGE_RAM };
	b->mem.config.dma_free = &b->other_ranges;
	*entry_of(b, 300) -= MEM_ACCESS_ALL - MEM_ACCESS_READ;
	hardware_entry_of(b, 300)->access = MEM_ACCESS_READ;
	b->mem.read_only++;
}

static void leaf_left(struct bench *b) { assert_true(p2m_add_leaf(&b->mem, 9)); }

static void leaf_left_in_native(struct bench *b)
{
	struct mem_moved moved = { 0 };

	assert_int_equal(fake_bring_home(&b->mem, SCRIM_BATCH_MAX, &moved), 0);
	assert_true(p2m_add_leaf(&b->mem, 9));
	b->view.state = SCRIM_NATIVE;
}

static void frame_shared(struct bench *b) { point(b, 301, FAKE_RESERVE_FIRST); }
static void displaced_count_high(struct bench *b) { b->mem.displaced++; }
static void displaced_count_low(struct bench *b) { b->mem.displaced--; }
static void leaf_count_off(struct bench *b) { b->mem.leaf_count++; }
static void free_count_off(struct bench *b) { b->mem.free_frames++; }

static void free_count_off_at_home(struct bench *b)
{
	struct mem_moved moved = { 0 };

	assert_int_equal(fake_bring_home(&b->mem, SCRIM_BATCH_MAX, &moved), 0);
	b->mem.free_frames--;
	b->view.state = SCRIM_NATIVE;
}

/* The first frame of the reserve is RAM in another list: the home of one page, the frame of another. */
static void reserve_in_ram(struct bench *b)
{
	b->other_ranges.entry[b->other_ranges.count++] = (struct range){ 0, 4900 * PAGE_SIZE, RANGE_RAM };
	b->mem.config.ram = &b->other_ranges;
}

static void backend_other_frame(struct bench *b) { hardware_entry_of(b, 600)->frame++; }
static void backend_home_page_away(struct bench *b) { hardware_entry_of(b, AT_HOME)->frame = FAKE_RESERVE_FIRST + 9; }
static void backend_absent(struct bench *b) { hardware_entry_of(b, AT_HOME)->access = MEM_ACCESS_NONE; }
static void backend_read_only(struct bench *b) { hardware_entry_of(b, 301)->access = MEM_ACCESS_READ; }
static void backend_hole_away(struct bench *b) { hardware_entry_of(b, HOLE)->frame = AT_HOME; }

static void backend_swapped(struct bench *b)
{
	hardware_entry_of(b, 300)->frame = FAKE_RESERVE_FIRST + 1;
	hardware_entry_of(b, 301)->frame = FAKE_RESERVE_FIRST;
}

/* Chunk 9 has no leaf, and a table in the back-end that is not Identity. */
static void backend_identity_chunk_away(struct bench *b)
{
	assert_true(fake_machine_ops.map_prepare(&b->machine, gfn(4700)));
	for (uint64_t page = 9 * FAKE_CHUNK; page < FAKE_PAGES; page++)
		hardware_entry_of(b, page)->frame = page - 1;
}

/* --- books and counts --- */

static void lent_page_displaced(struct bench *b)
{
	assert_true(ranges_set_type(&b->mem.lent, 300 * PAGE_SIZE, 301 * PAGE_SIZE, RANGE_RAM));
	b->mem.lent_frames = 1;
}

/* Withdrawn as the lists and counts say, but: */
static void say_withdrawn(struct bench *b, uint64_t frame)
{
	assert_true(ranges_set_type(&b->mem.withdrawn, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE, RANGE_RAM));
	b->mem.withdrawn_frames++;
}

static void withdrawn_frame_occupied(struct bench *b) { say_withdrawn(b, FAKE_RESERVE_FIRST); }
static void withdrawn_page_at_home(struct bench *b) { say_withdrawn(b, AT_HOME); }
static void withdrawn_frame_listed_free(struct bench *b) { say_withdrawn(b, FAKE_RESERVE_FIRST + 9); }

static void withdrawn_count_off(struct bench *b)
{
	assert_int_equal(mem_withdraw(&b->mem, mfn(FAKE_RESERVE_FIRST + 9), 1), SCRIM_OK);
	b->mem.withdrawn_frames++;
}

static void retired_count_off(struct bench *b)
{
	assert_int_equal(mem_withdraw(&b->mem, mfn(FAKE_RESERVE_FIRST + 9), 1), SCRIM_OK);
	b->mem.retired_frames++;
}

static void chunk_displaced_off(struct bench *b) { b->mem.root[1].displaced--; }
static void chunk_changed_off(struct bench *b) { b->mem.root[1].changed++; }
static void read_only_off(struct bench *b) { b->mem.read_only++; }
static void in_flight_off(struct bench *b) { b->mem.in_flight++; }
static void saved_off(struct bench *b) { b->mem.saved++; }
static void free_homes_off(struct bench *b) { b->mem.free_homes++; }
static void hint_at_home(struct bench *b) { b->mem.hint[b->mem.hint_count++] = gfn(AT_HOME); }
static void cache_at_home(struct bench *b) { b->mem.free_cache[0] = AT_HOME + 1; }

/* One who may write, and one who may read. */
static void frame_shared_with_writer(struct bench *b)
{
	*entry_of(b, 301) = (uint64_t)FAKE_RESERVE_FIRST << PAGE_SHIFT | MEM_ACCESS_READ;
	*hardware_entry_of(b, 301) = (struct fake_entry){ 301, FAKE_RESERVE_FIRST, 1, MEM_ACCESS_READ };
	b->mem.read_only = 1;
}

static void reverse_leaf_left(struct bench *b)
{
	struct mem_moved moved = { 0 };

	assert_int_equal(fake_bring_home(&b->mem, SCRIM_BATCH_MAX, &moved), 0);
	b->mem.reverse_leaf_count++;
}

static uint32_t *back_words(struct bench *b, uint64_t number)
{
	return (uint32_t *)b->mem.back_slot[number / P2M_CHUNK_PAGES].leaf + 2 * (number % P2M_CHUNK_PAGES);
}

/* A batch holds page 2200, so that frames may be between two places. */
static void begin_batch(struct bench *b)
{
	assert_int_equal(mem_remap_start(&b->mem, MEM_REMAP_DIRECT, gfn(2200), gfn(2201)), SCRIM_OK);
	while (mem_remap_begin(&b->mem, &b->batch, 1) == MEM_STEP_AGAIN)
		;
	assert_int_equal(b->mem.in_flight, 1);
}

static void back_home_not_free(struct bench *b) { back_words(b, 300)[1] = BACK_LIMBO; }
static void back_occupied_free(struct bench *b) { back_words(b, FAKE_RESERVE_FIRST)[1] = BACK_FREE; }
static void back_free_at_home(struct bench *b) { back_words(b, AT_HOME)[1] = BACK_FREE; }
static void back_busy_off(struct bench *b) { b->mem.back_slot[3].busy++; }
static void back_free_count_off(struct bench *b) { b->mem.back_slot[3].free_count++; }
static void back_other_page(struct bench *b) { back_words(b, FAKE_RESERVE_FIRST)[1] = AT_HOME + 1; }
static void back_page_off_the_machine(struct bench *b) { back_words(b, FAKE_RESERVE_FIRST)[1] = BACK_LIMBO - 1; }
static void back_page_without_leaf(struct bench *b) { back_words(b, FAKE_RESERVE_FIRST)[1] = 4300 + 1; }
static void back_ring_ends(struct bench *b) { back_words(b, 300)[0] = 0; }
static void back_ring_goes_astray(struct bench *b) { back_words(b, 300)[0] = 301 + 1; }

/* Two share the frame, soundly but for this: the ring does not come round to where it begins. */
static void back_ring_without_beginning(struct bench *b)
{
	uint64_t entry = (uint64_t)FAKE_RESERVE_FIRST << PAGE_SHIFT | MEM_ACCESS_READ;

	for (uint64_t page = 300; page <= 301; page++) {
		*entry_of(b, page) = entry;
		*hardware_entry_of(b, page) = (struct fake_entry){ page, FAKE_RESERVE_FIRST, 1, MEM_ACCESS_READ };
		back_words(b, page)[0] = 301 + 1;
	}
	b->mem.read_only += 2;
	b->mem.saved++;
	frames_free(&b->mem, mfn(FAKE_RESERVE_FIRST + 1));
}

static void back_home_nothing(struct bench *b)
{
	begin_batch(b);
	back_words(b, 300)[1] = 0;
}

static void back_spare_nothing(struct bench *b)
{
	begin_batch(b);
	back_words(b, FAKE_RESERVE_FIRST + 9)[1] = 0;
}

static void back_stranger_lost(struct bench *b)
{
	begin_batch(b);
	back_words(b, FAKE_RESERVE_FIRST)[1] = BACK_LIMBO;
}

static uint32_t *count_word(struct bench *b, uint64_t frame)
{
	assert_int_equal(mem_use_reverse(&b->mem, MEM_REVERSE_REFCOUNT), SCRIM_OK);
	return (uint32_t *)b->mem.count_slot[frame / 1024].leaf + frame % 1024;
}

static void count_high(struct bench *b) { ++*count_word(b, FAKE_RESERVE_FIRST); }
static void count_low(struct bench *b) { --*count_word(b, FAKE_RESERVE_FIRST); }

static void count_busy_off(struct bench *b)
{
	(void)count_word(b, FAKE_RESERVE_FIRST);
	b->mem.count_slot[FAKE_RESERVE_FIRST / 1024].busy--;
}

/* The bit of a frame that somebody is in, in the window that the search has kept. */
static void search_bit_lost(struct bench *b)
{
	assert_int_equal(mem_use_reverse(&b->mem, MEM_REVERSE_SEARCH), SCRIM_OK);
	assert_false(frames_is_free(&b->mem, mfn(FAKE_RESERVE_FIRST)));
	b->mem.window[FAKE_RESERVE_FIRST / 64] &= ~(1ull << FAKE_RESERVE_FIRST % 64);
}

static void page_absent(struct bench *b)
{
	*entry_of(b, 301) &= ~3ull;
	hardware_entry_of(b, 301)->access = MEM_ACCESS_NONE;
}

static void entry_junk(struct bench *b) { *entry_of(b, AT_HOME) |= 0x800; }
static void hole_displaced(struct bench *b) { point(b, HOLE, FAKE_RESERVE_FIRST + 9); }
static void frame_below_reserve(struct bench *b) { point(b, 600, FAKE_RESERVE_FIRST - 1); }
static void frame_above_reserve(struct bench *b) { point(b, 600, FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES); }
static void frame_off_the_machine(struct bench *b) { point(b, 600, 1ull << 40); }

/* --- not wrong --- */

static void nothing(struct bench *b) { (void)b; }
static void state_remapping(struct bench *b) { b->view.state = SCRIM_REMAPPING; }
static void hole_hidden(struct bench *b) { hardware_entry_of(b, HOLE)->access = MEM_ACCESS_NONE; }
static void hole_read_only(struct bench *b) { hardware_entry_of(b, HOLE)->access = MEM_ACCESS_READ; }

static void all_home(struct bench *b)
{
	struct mem_moved moved = { 0 };

	assert_int_equal(fake_bring_home(&b->mem, SCRIM_BATCH_MAX, &moved), 0);
	b->view = (struct mem_view){ .state = SCRIM_CEASING, .all_cpus_translate = false };
}

/* In NATIVE the back-end may have dropped its tables: it is not asked. */
static void all_home_native(struct bench *b)
{
	static const struct mem_port_ops no_port;

	all_home(b);
	b->view.state = SCRIM_NATIVE;
	b->mem.config.port = &no_port;
}

struct mutation {
	const char *name;
	void (*corrupt)(struct bench *b);
	enum scrim_violation violation;
	uint64_t where; /* page or frame number */
};

#define MUTATION(function, violation, where) #function, function, violation, where

static const struct mutation mutations[] = {
	{ MUTATION(nothing, SCRIM_HOLDS, 0) },
	{ MUTATION(state_remapping, SCRIM_HOLDS, 0) },
	{ MUTATION(begin_batch, SCRIM_HOLDS, 0) },
	{ MUTATION(hole_hidden, SCRIM_HOLDS, 0) },
	{ MUTATION(hole_read_only, SCRIM_HOLDS, 0) },
	{ MUTATION(all_home, SCRIM_HOLDS, 0) },
	{ MUTATION(all_home_native, SCRIM_HOLDS, 0) },

	{ MUTATION(state_commencing, SCRIM_V1_DISPLACED_UNGUARDED, 2200) },
	{ MUTATION(state_ceasing, SCRIM_V1_DISPLACED_UNGUARDED, 2200) },
	{ MUTATION(cpu_untranslated, SCRIM_V1_DISPLACED_UNGUARDED, 2200) },
	{ MUTATION(cpu_untranslated_remapping, SCRIM_V1_DISPLACED_UNGUARDED, 2200) },
	{ MUTATION(device_untranslated, SCRIM_V1_DISPLACED_UNGUARDED, 300) },
	{ MUTATION(device_bypasses, SCRIM_V1_DISPLACED_UNGUARDED, 2200) },
	{ MUTATION(read_only_for_devices, SCRIM_V3_FRAME_STATE, 300) },

	{ MUTATION(state_native, SCRIM_V2_NATIVE_NOT_CLEAN, 2200) },
	{ MUTATION(leaf_left, SCRIM_V2_NATIVE_NOT_CLEAN, 9 * FAKE_CHUNK) },
	{ MUTATION(leaf_left_in_native, SCRIM_V2_NATIVE_NOT_CLEAN, 9 * FAKE_CHUNK) },

	{ MUTATION(frame_shared, SCRIM_V3_FRAME_STATE, 301) },
	{ MUTATION(displaced_count_high, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(displaced_count_low, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(leaf_count_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(free_count_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(free_count_off_at_home, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(reserve_in_ram, SCRIM_V3_FRAME_STATE, 300) },
	{ MUTATION(lent_page_displaced, SCRIM_V3_FRAME_STATE, 300) },
	{ MUTATION(withdrawn_frame_occupied, SCRIM_V3_FRAME_STATE, 300) },
	{ MUTATION(withdrawn_page_at_home, SCRIM_V3_FRAME_STATE, AT_HOME) },
	{ MUTATION(withdrawn_frame_listed_free, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST + 9) },
	{ MUTATION(withdrawn_count_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(retired_count_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(chunk_displaced_off, SCRIM_V3_FRAME_STATE, 512) },
	{ MUTATION(chunk_changed_off, SCRIM_V3_FRAME_STATE, 512) },
	{ MUTATION(read_only_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(in_flight_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(saved_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(free_homes_off, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(hint_at_home, SCRIM_V3_FRAME_STATE, AT_HOME) },
	{ MUTATION(cache_at_home, SCRIM_V3_FRAME_STATE, AT_HOME) },
	{ MUTATION(frame_shared_with_writer, SCRIM_V3_FRAME_STATE, 301) },
	{ MUTATION(reverse_leaf_left, SCRIM_V2_NATIVE_NOT_CLEAN, 0) },
	{ MUTATION(back_home_not_free, SCRIM_V3_FRAME_STATE, 300) },
	{ MUTATION(back_occupied_free, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_free_at_home, SCRIM_V3_FRAME_STATE, AT_HOME) },
	{ MUTATION(back_busy_off, SCRIM_V3_FRAME_STATE, 3 * FAKE_CHUNK) },
	{ MUTATION(back_free_count_off, SCRIM_V3_FRAME_STATE, 3 * FAKE_CHUNK) },
	{ MUTATION(back_other_page, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_page_off_the_machine, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_page_without_leaf, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_ring_ends, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_ring_goes_astray, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_ring_without_beginning, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(back_home_nothing, SCRIM_V3_FRAME_STATE, 300) },
	{ MUTATION(back_spare_nothing, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST + 9) },
	{ MUTATION(back_stranger_lost, SCRIM_V3_FRAME_STATE, 0) },
	{ MUTATION(count_high, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(count_low, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },
	{ MUTATION(count_busy_off, SCRIM_V3_FRAME_STATE, 1024) },
	{ MUTATION(search_bit_lost, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST) },

	{ MUTATION(backend_other_frame, SCRIM_V4_BACKEND_STALE, 600) },
	{ MUTATION(backend_home_page_away, SCRIM_V4_BACKEND_STALE, AT_HOME) },
	{ MUTATION(backend_absent, SCRIM_V4_BACKEND_STALE, AT_HOME) },
	{ MUTATION(backend_read_only, SCRIM_V4_BACKEND_STALE, 301) },
	{ MUTATION(backend_hole_away, SCRIM_V4_BACKEND_STALE, HOLE) },
	{ MUTATION(backend_swapped, SCRIM_V4_BACKEND_STALE, 300) },
	{ MUTATION(backend_identity_chunk_away, SCRIM_V4_BACKEND_STALE, 9 * FAKE_CHUNK) },
	{ MUTATION(page_absent, SCRIM_V4_BACKEND_STALE, 301) },
	{ MUTATION(entry_junk, SCRIM_V4_BACKEND_STALE, AT_HOME) },

	{ MUTATION(hole_displaced, SCRIM_V5_NOT_RAM, HOLE) },
	{ MUTATION(frame_below_reserve, SCRIM_V5_NOT_RAM, 600) },
	{ MUTATION(frame_above_reserve, SCRIM_V3_FRAME_STATE, FAKE_RESERVE_FIRST + 2) },
	{ MUTATION(frame_off_the_machine, SCRIM_V5_NOT_RAM, 600) },
};

static void test_every_mutation(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(mutations); i++) {
		const struct mutation *m = &mutations[i];
		uint64_t where = 1;

		build(&bench);
		m->corrupt(&bench);

		enum scrim_violation found = mem_check(&bench.mem, &bench.view, &where);

		if (found != m->violation || where != m->where * PAGE_SIZE)
			fail_msg("%s: violation %u at page %llu", m->name, found,
				 (unsigned long long)(where >> PAGE_SHIFT));
		tear_down(&bench);
	}
}

/* The scratch bitmap is cleared each time, and nothing else is written. */
static void test_repeatable(void **unused)
{
	(void)unused;
	uint64_t where;

	build(&bench);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mem_check(&bench.mem, &bench.view, &where), SCRIM_HOLDS);
	free_count_off(&bench);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mem_check(&bench.mem, &bench.view, &where), SCRIM_V3_FRAME_STATE);
	tear_down(&bench);
}

/* Pages that wait for one another and no free frame to begin with: valid, but for what is to be kept back. */
static void test_no_frame_kept(void **unused)
{
	static const uint32_t swapped[] = { 1, 0, 3, 2 };
	static const struct mem_view view = { .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	static struct small_world world;
	uint64_t where;

	(void)unused;
	for (uint32_t spare = 0; spare < 2; spare++)
		for (uint32_t reverse = 0; reverse < MEM_REVERSE_COUNT; reverse++) {
			small_start(&world, &bench.mem, swapped, 4, spare);
			assert_int_equal(mem_use_reverse(&bench.mem, (enum mem_reverse)reverse), SCRIM_OK);
			assert_int_equal(mem_check(&bench.mem, &view, &where), spare ? SCRIM_HOLDS : SCRIM_V6_RESERVE);
			assert_int_equal(mem_remap_start(&bench.mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)),
					 spare ? SCRIM_OK : SCRIM_ENOFRAME);
			bench.mem.hint[bench.mem.hint_count++] = gfn(2); /* its home is not free */
			assert_int_equal(mem_check(&bench.mem, &view, &where), SCRIM_V3_FRAME_STATE);
			assert_int_equal(where, 2 * PAGE_SIZE);
		}
}

/* A chunk without a leaf is looked at by its first whole page of RAM, or not at all. */
static void test_ragged_ram(void **unused)
{
	(void)unused;
	struct range_list *ram = &bench.other_ranges;
	uint64_t where;

	fake_machine_start(&bench.machine, 7);
	*ram = (struct range_list){ .count = 3 };
	ram->entry[0] = (struct range){ 0, 2 * PAGE_SIZE, RANGE_RESERVED };
	ram->entry[1] = (struct range){ 512 * PAGE_SIZE - 100, 512 * PAGE_SIZE + 100, RANGE_RAM };
	ram->entry[2] = (struct range){ 1024 * PAGE_SIZE - 100, 1025 * PAGE_SIZE + 100, RANGE_RAM };

	struct mem_config config = fake_machine_config(&bench.machine);

	config.ram = ram;
	mem_init(&bench.mem, &config);
	bench.view = (struct mem_view){ .state = SCRIM_VIRTUALIZED, .all_cpus_translate = true };
	assert_int_equal(bench.mem.chunk_count, 3);
	assert_int_equal(mem_check(&bench.mem, &bench.view, &where), SCRIM_HOLDS);
	for (uint64_t page = 0; page < FAKE_PAGES; page += 511) {
		assert_true(fake_machine_ops.map_prepare(&bench.machine, gfn(page)));
		for (uint64_t i = 0; i < FAKE_CHUNK; i++)
			bench.machine.table[page / FAKE_CHUNK][i].frame = 5;
	}
	assert_int_equal(mem_check(&bench.mem, &bench.view, &where), SCRIM_V4_BACKEND_STALE);
	assert_int_equal(where, 1024 * PAGE_SIZE);
	tear_down(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_mutation),
		cmocka_unit_test(test_repeatable),
		cmocka_unit_test(test_no_frame_kept),
		cmocka_unit_test(test_ragged_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
