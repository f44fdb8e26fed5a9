/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the tables that IOMMUs walk, in the formats of VT-d and AMD-Vi, under a unit that walks at any moment and past the caches: it sees only
 * what has been handed to the port's wrote(). A device never meets an absent entry, and finds each page where it is, or was a moment ago.
 */
#include "boot_bytes.h"
#include "iommu/amdvi_format.h"
#include "iommu/vtd_format.h"

#define TABLES 768u
#define HOT 48u
#define LINE 64u
#define HOLE_START 0xfee00000ull
#define HOLE_END 0xfef00000ull
#define OWN_START (GIB(2) - MIB(4)) /* Scrim's own block, in two GiB */
#define OWN_END (GIB(2) + MIB(6))
#define NEAR_CHUNKS 4096u /* of 2 MiB, from 0 */

static struct random chance;
static struct xlat xlat;

static struct {
	_Alignas(4096) uint8_t page[TABLES][PAGE_SIZE];
	uint8_t memory[TABLES][PAGE_SIZE]; /* what has left the caches */
	bool used[TABLES];
	uint32_t out, next;
	uint32_t fail_at; /* this table_alloc fails, once: 1 = the next; 0 = none */
	bool running;
	uint64_t walks;
} unit;

static uint64_t near[NEAR_CHUNKS];
static uint64_t hot[HOT], frame[HOT], old_frame[HOT];
static bool writable[HOT];

/* --- the unit --- */

static uint64_t machine_of(void *context, const void *page)
{
	(void)context;
	return GIB(1) + (uint64_t)((const uint8_t *)page - unit.page[0]);
}

static void *page_of(void *context, uint64_t machine)
{
	(void)context;
	assert_true(machine >= GIB(1) && machine < GIB(1) + sizeof(unit.page) && !(machine & PAGE_MASK));
	assert_true(unit.used[(machine - GIB(1)) / PAGE_SIZE]);
	return unit.page[(machine - GIB(1)) / PAGE_SIZE];
}

struct found {
	bool present, writable;
	uint64_t address, bytes;
};

/* What an entry says, whose size is 1 << shift. */
struct step {
	bool present, read, write, maps;
	uint64_t address;
};

/* VT-d specification, 9.8. */
static struct step read_vtd(uint64_t entry, uint32_t shift)
{
	if (entry & 3)
		assert_int_equal(entry & ~0x000ffffffffff083ull, 0); /* reserved, or of no meaning to the unit */
	return (struct step){ entry & 3, entry & 1, entry & 2, shift == 12 || entry & 0x80, entry & 0x000ffffffffff000ull };
}

/* AMD I/O Virtualization Technology Specification, 2.2.3. */
static struct step read_amdvi(uint64_t entry, uint32_t shift)
{
	uint64_t next_level = entry >> 9 & 7;

	if (entry & 1) {
		assert_int_equal(entry & ~0x700ffffffffffe01ull, 0);
		assert_int_equal(entry >> 60 & 1, next_level == 0); /* FC: of a leaf, and of every one */
		assert_true(next_level == 0 || next_level == (shift - 12) / 9);
	}
	return (struct step){ entry & 1, entry >> 61 & 1, entry >> 62 & 1, next_level == 0, entry & 0x000ffffffffff000ull };
}

static const struct {
	const struct xlat_format *format;
	struct step (*read)(uint64_t entry, uint32_t shift);
} formats[] = { { &vtd_format, read_vtd }, { &amdvi_format, read_amdvi } }, *of;

static struct found walk(uint64_t address)
{
	struct step step = { .address = xlat.root };
	bool rights = true;

	unit.walks++;
	for (uint32_t shift = 39;; shift -= 9) {
		uint64_t slot = (step.address - GIB(1)) / PAGE_SIZE, bytes = 1ull << shift;
		assert_true(step.address >= GIB(1) && slot < TABLES && unit.used[slot]);
		step = of->read(get_u64(unit.memory[slot], (uint32_t)(address >> shift & 511) * 8), shift);
		if (!step.present)
			return (struct found){ .bytes = bytes };
		assert_true(step.read);
		rights &= step.write;
		if (step.maps) {
			assert_int_equal(step.address & (bytes - 1), 0);
			assert_true(bytes <= (xlat.has_1g ? GIB(1) : MIB(2)));
			return (struct found){ true, rights, step.address | (address & (bytes - 1)), bytes };
		}
	}
}

static void look(uint32_t i)
{
	struct found found = walk(hot[i]);

	assert_true(found.present);
	assert_true(found.address == frame[i] || found.address == old_frame[i]);
}

static void run(void)
{
	for (uint32_t i = 0; unit.running && i < 4; i++)
		look((uint32_t)random_below(&chance, HOT));
}

/* --- the port --- */

static void *table_alloc(void *context)
{
	(void)context;
	run();
	if (unit.fail_at && --unit.fail_at == 0)
		return NULL;
	assert_true(unit.out < TABLES);
	uint32_t slot = unit.next;
	while (unit.used[slot])
		slot = (slot + 1) % TABLES;
	unit.next = (slot + 1) % TABLES;
	unit.used[slot] = true;
	unit.out++;
	memset(unit.page[slot], 0, PAGE_SIZE);
	memset(unit.memory[slot], 0x5a, PAGE_SIZE);
	return unit.page[slot];
}

static void table_free(void *context, void *page)
{
	uint64_t slot = (uint64_t)((uint8_t *)page - unit.page[0]) / PAGE_SIZE;

	(void)context;
	assert_true(slot < TABLES && unit.used[slot]);
	unit.used[slot] = false;
	unit.out--;
}

/* A line leaves the cache as a whole. */
static void wrote(void *context, const void *at, uint64_t bytes)
{
	uint64_t start = align_down((uint64_t)((const uint8_t *)at - unit.page[0]), LINE);
	uint64_t end = align_up((uint64_t)((const uint8_t *)at - unit.page[0]) + bytes, LINE);

	(void)context;
	run();
	memcpy(unit.memory[0] + start, unit.page[0] + start, end - start);
	run();
}

/* --- the start and the end --- */

static void prepare_machine(uint32_t bits, bool has_1g)
{
	memset(unit.used, 0, sizeof(unit.used));
	memset(near, 0, sizeof(near));
	unit.out = unit.next = unit.fail_at = 0;
	unit.running = false;
	xlat = (struct xlat){ .ops = &xlat_nested, .format = of->format, .near = near, .near_count = NEAR_CHUNKS,
			      .port = { table_alloc, table_free, machine_of, page_of, wrote, NULL, NULL, NULL },
			      .address_bits = bits, .has_1g = has_1g, .hole_start = OWN_START, .hole_end = OWN_END };
}

static void build(uint32_t bits, bool has_1g)
{
	prepare_machine(bits, has_1g);
	assert_true(xlat.ops->build(&xlat));
	assert_int_equal(unit.out, xlat.built_count);
}

static void add_hot(uint32_t i, uint64_t address)
{
	hot[i] = frame[i] = old_frame[i] = address & ~PAGE_MASK;
	writable[i] = true;
}

/* Both sides of the holes, the ends, neighbours, one beyond the short way. */
static void choose_hot(void)
{
	const uint64_t fixed[] = { 0, PAGE_SIZE, MIB(2), HOLE_START - PAGE_SIZE, HOLE_END, GIB(1), OWN_START - PAGE_SIZE, OWN_END, GIB(20) + MIB(6) };

	for (uint32_t i = 0; i < HOT; i++)
		add_hot(i, i < ARRAY_SIZE(fixed) ? fixed[i] : GIB(5) + i % 4 * MIB(2) + i * PAGE_SIZE);
	unit.running = true;
}

static void assert_identity(uint64_t end)
{
	for (uint64_t address = 0; address < end;) {
		struct found found = walk(address);
		bool hole = address >= HOLE_START && address < HOLE_END, own = address >= OWN_START && address < OWN_END;
		assert_int_equal(found.present, !hole && !own);
		assert_true(!found.present || (found.address == address && found.writable));
		assert_int_equal(found.present ? 0 : found.bytes, hole ? PAGE_SIZE : own ? MIB(2) : 0);
		address += found.bytes;
	}
}

/* --- tests --- */

static void test_identity(void)
{
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++)
		for (uint32_t bits = 36; bits <= 39; bits += 3) {
			build(bits, has_1g);
			assert_identity(1ull << (has_1g ? bits : 34));
			assert_false(xlat.ops->prepare(&xlat, gfn_of_address(HOLE_START)));
			assert_false(xlat.ops->prepare(&xlat, gfn_of_address(HOLE_END - PAGE_SIZE)));
			assert_false(xlat.ops->prepare(&xlat, gfn_of_address(OWN_START)));
			assert_false(xlat.ops->prepare(&xlat, gfn_of_address(OWN_END - PAGE_SIZE)));
			xlat.ops->drop(&xlat);
			assert_int_equal(unit.out, 0);
		}
}

/* To another frame in one store, without the right to write, and back: never absent. */
static void move_one(uint32_t i)
{
	uint32_t out;

	assert_true(xlat.ops->prepare(&xlat, gfn_of_address(hot[i])));
	assert_int_equal(walk(hot[i]).bytes, PAGE_SIZE);
	assert_true(walk(hot[i]).address == frame[i] && walk(hot[i]).writable == writable[i]);
	out = unit.out;
	old_frame[i] = frame[i];
	frame[i] = random_below(&chance, 3) ? random_below(&chance, GIB(30)) & ~PAGE_MASK : hot[i];
	writable[i] = random_below(&chance, 8);
	xlat.ops->set(&xlat, gfn_of_address(hot[i]), mfn_of_address(frame[i]), writable[i] ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
	assert_int_equal(unit.out, out);
	old_frame[i] = frame[i];
	assert_true(walk(hot[i]).writable == writable[i]);
	look(i);
}

static void assert_get(uint32_t i)
{
	enum mem_access access;
	mfn_t where;

	assert_true(xlat.ops->get(&xlat, gfn_of_address(hot[i]), &where, &access));
	assert_int_equal(mfn_address(where), frame[i]);
	assert_int_equal(access, writable[i] ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
}

static void test_moves(void)
{
	chance = random_start("moves");
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		build(36, has_1g);
		choose_hot();
		for (uint32_t round = 0; round < 3; round++) {
			for (uint32_t n = 0; n < 2000; n++) {
				move_one((uint32_t)random_below(&chance, HOT));
				assert_get((uint32_t)random_below(&chance, HOT));
			}
			assert_true(unit.out > xlat.built_count);
			for (uint32_t i = 0; i < HOT; i++) {
				frame[i] = hot[i];
				xlat.ops->set(&xlat, gfn_of_address(hot[i]), mfn_of_address(hot[i]), MEM_ACCESS_ALL);
			}
			unit.running = false; /* NATIVE */
			xlat.ops->tidy(&xlat);
			assert_int_equal(unit.out, xlat.built_count);
			assert_identity(GIB(16));
			choose_hot();
		}
		assert_true(unit.walks > 100000);
		unit.running = false;
		xlat.ops->drop(&xlat);
		assert_int_equal(unit.out, 0);
	}
}

/* What a lack of memory leaves means the same as before. */
static void test_without_memory(void)
{
	chance = random_start("without memory");
	build(36, true);
	choose_hot();
	for (uint32_t fail_at = 1; fail_at <= 2; fail_at++) {
		unit.fail_at = fail_at;
		assert_false(xlat.ops->prepare(&xlat, gfn_of_address(GIB(9))));
		assert_int_equal(walk(GIB(9)).address, GIB(9));
		assert_int_equal(unit.out, xlat.built_count);
	}
	unit.fail_at = 3;
	assert_true(xlat.ops->prepare(&xlat, gfn_of_address(GIB(9))));
	assert_int_equal(unit.out, xlat.built_count + 2);
	unit.running = false;
	xlat.ops->drop(&xlat);
}

static void for_each_format(void (*test)(void))
{
	for (uint32_t i = 0; i < ARRAY_SIZE(formats); i++) {
		of = &formats[i];
		test();
	}
}

static void test_all_identity(void **unused)
{
	(void)unused;
	for_each_format(test_identity);
}

static void test_all_moves(void **unused)
{
	(void)unused;
	for_each_format(test_moves);
}

static void test_all_without_memory(void **unused)
{
	(void)unused;
	for_each_format(test_without_memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_identity),
		cmocka_unit_test(test_all_moves),
		cmocka_unit_test(test_all_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
