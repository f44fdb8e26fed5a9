/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk of the OS's tables against a second one (fake_mmu.h): random tables in every mode, every kind of access. Result, error code, address, and
 * each accessed and dirty bit in memory have to agree. Then what the model does not know: tables that are absent or shared in the map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_mmu.h"

#define PAGES 16u /* all the memory; tables point at random pages of it, and each other */
#define BITS 40u
#define WALKS 200000u

static _Alignas(4096) uint8_t memory[PAGES][PAGE_SIZE], twin[PAGES][PAGE_SIZE];
static enum mem_access access_of[PAGES];
static uint64_t state;

static uint64_t draw(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return state >> 20;
}

static uint8_t *page(void *context, gfn_t gfn, enum mem_access *access)
{
	(void)context;
	*access = gfn.n < PAGES ? access_of[gfn.n] : MEM_ACCESS_ALL;
	return gfn.n < PAGES ? memory[gfn.n] : NULL;
}

static const struct guest_port port = { .page = page };
static struct guest_cpu cpu = { .address_bits = BITS };

static uint64_t read_twin(uint64_t physical, uint32_t bytes)
{
	uint64_t value = 0;

	if (physical >> PAGE_SHIFT < PAGES)
		memcpy(&value, twin[physical >> PAGE_SHIFT] + (physical & PAGE_MASK), bytes);
	return value;
}

static void write_twin(uint64_t physical, uint64_t value, uint32_t bytes)
{
	memcpy(twin[physical >> PAGE_SHIFT] + (physical & PAGE_MASK), &value, bytes);
}

static uint64_t random_entry(bool wide)
{
	uint64_t entry = draw() % PAGES << PAGE_SHIFT | (draw() & 0xfff) | 7;

	if (draw() % 4)
		entry &= ~(1ull << 7);
	if (draw() % 3 == 0)
		entry &= ~(draw() & 7);
	if (draw() % 8 == 0) /* a good large page: nothing between */
		entry = (entry & 0xfff) | 1ull << 7;
	if (!wide)
		return draw() % 16 ? entry : (entry ^ 1ull << (12 + draw() % 20)) & 0xffffffff;
	if (draw() % 6 == 0)
		entry |= 1ull << 63;
	if (draw() % 3 == 0) /* a key */
		entry |= (draw() & 15) << 59;
	return draw() % 24 ? entry : entry ^ 1ull << (12 + draw() % 51);
}

static void fill(bool wide)
{
	for (uint32_t i = 0; i < PAGES; i++)
		for (uint32_t at = 0; at < PAGE_SIZE; at += wide ? 8 : 4) {
			uint64_t entry = random_entry(wide);
			memcpy(memory[i] + at, &entry, wide ? 8 : 4);
		}
	memcpy(twin, memory, sizeof(memory));
	for (uint32_t i = 0; i < PAGES; i++)
		access_of[i] = MEM_ACCESS_ALL;
}

enum mode { TWO_LEVEL, TWO_LEVEL_PSE, PAE, FOUR_LEVEL, FIVE_LEVEL, MODES };

static struct guest_paging random_paging(enum mode mode)
{
	struct guest_paging p = { .cr0 = MMU_CR0_PG | MMU_CR0_WP | 1, .cr3 = draw() % PAGES << PAGE_SHIFT | (draw() & 0xff8) };

	p.cr4 = (mode == TWO_LEVEL_PSE || draw() & 1 ? MMU_CR4_PSE : 0) | (draw() & 1 ? MMU_CR4_SMEP : 0) |
		(draw() & 1 ? MMU_CR4_SMAP : 0) | (draw() & 1 ? 1u << 7 : 0) | (draw() & 1 && mode >= FOUR_LEVEL ? MMU_CR4_PKE : 0);
	if (mode == TWO_LEVEL)
		p.cr4 &= ~MMU_CR4_PSE;
	p.cr4 |= mode >= PAE ? MMU_CR4_PAE : 0;
	p.cr4 |= mode == FIVE_LEVEL ? MMU_CR4_LA57 : 0;
	p.efer = (draw() & 1 ? MMU_EFER_NXE : 0) | (mode >= FOUR_LEVEL ? MMU_EFER_LMA : 0);
	return p;
}

static struct guest_access random_access(enum mode mode)
{
	struct guest_access a = { .linear = draw() << 32 ^ draw(), .write = draw() & 1, .user = draw() & 1,
				  .pkru = (uint32_t)(draw() & draw()) };

	if (mode < FOUR_LEVEL)
		a.linear = (uint32_t)a.linear;
	a.fetch = !a.write && draw() & 1;
	a.smap = !a.user && draw() & 1;
	return a;
}

static void compare(const struct guest_paging *paging, const struct guest_access *access)
{
	const struct fake_mmu model = { *paging, cpu, read_twin, write_twin };
	struct guest_mapping mapping;
	struct fake_translation expected = fake_mmu_walk(&model, access);
	enum guest_result result = guest_mmu_walk(paging, &cpu, access, &port, &mapping);

	assert_int_equal(result, expected.ok ? GUEST_MAPPED : GUEST_FAULT);
	if (expected.ok) {
		assert_int_equal(1ull << mapping.shift, expected.size);
		assert_int_equal(mapping.physical | (access->linear & (expected.size - 1)), expected.physical);
	} else {
		assert_int_equal(mapping.error, expected.error);
	}
	assert_memory_equal(memory, twin, sizeof(memory));
}

static void run_mode(enum mode mode)
{
	uint32_t mapped = 0;

	state = 1 + mode;
	for (uint32_t i = 0; i < WALKS / MODES; i++) {
		if (i % 256 == 0)
			fill(mode >= PAE);
		cpu.is_tcg = draw() & 1;
		struct guest_paging paging = random_paging(mode);
		struct guest_access access = random_access(mode);
		compare(&paging, &access);
		const struct fake_mmu model = { paging, cpu, read_twin, NULL };
		mapped += fake_mmu_walk(&model, &access).ok;
	}
	/* It was not faults alone. */
	assert_true(mapped > WALKS / MODES / 100);
}

static void test_two_level(void **s) { (void)s; run_mode(TWO_LEVEL); }
static void test_two_level_pse(void **s) { (void)s; run_mode(TWO_LEVEL_PSE); }
static void test_pae(void **s) { (void)s; run_mode(PAE); }
static void test_four_level(void **s) { (void)s; run_mode(FOUR_LEVEL); }
static void test_five_level(void **s) { (void)s; run_mode(FIVE_LEVEL); }

/* A table of four levels, pages 0 to 3, that maps page 9 at 0. */
static void make_way(uint64_t flags)
{
	memset(memory, 0, sizeof(memory));
	for (uint64_t level = 0; level < 4; level++) {
		uint64_t entry = (level == 3 ? 9 : level + 1) << PAGE_SHIFT | flags;
		memcpy(memory[level], &entry, 8);
	}
	for (uint32_t i = 0; i < PAGES; i++)
		access_of[i] = MEM_ACCESS_ALL;
}

static const struct guest_paging long_mode = { MMU_CR0_PG | MMU_CR0_WP, 0, MMU_CR4_PAE, MMU_EFER_LMA };

/* A table on its way elsewhere is waited for; nothing is set in what lies before it but as the CPU would have. */
static void test_absent_table(void **s)
{
	const struct guest_access read = { .linear = 0x123 };
	struct guest_mapping mapping;

	(void)s;
	cpu.is_tcg = false;
	for (uint64_t absent = 0; absent < 4; absent++) {
		make_way(7);
		access_of[absent] = MEM_ACCESS_NONE;
		assert_int_equal(guest_mmu_walk(&long_mode, &cpu, &read, &port, &mapping), GUEST_WAIT);
		assert_int_equal(mapping.wait.n, absent);
		assert_false(mapping.wait_write);
		for (uint64_t level = 0; level < 4; level++)
			assert_int_equal(memory[level][0] >> 5 & 1, level < absent);
		access_of[absent] = MEM_ACCESS_ALL;
		assert_int_equal(guest_mmu_walk(&long_mode, &cpu, &read, &port, &mapping), GUEST_MAPPED);
		assert_int_equal(mapping.physical, 9 << PAGE_SHIFT);
	}
}

/* To set a bit in a table that shares its frame is a write to it; to read it is none. */
static void test_shared_table(void **s)
{
	const struct guest_access write = { .linear = 0, .write = true };
	struct guest_mapping mapping;

	(void)s;
	for (uint64_t shared = 0; shared < 4; shared++) {
		make_way(7);
		access_of[shared] = MEM_ACCESS_READ;
		assert_int_equal(guest_mmu_walk(&long_mode, &cpu, &write, &port, &mapping), GUEST_WAIT);
		assert_int_equal(mapping.wait.n, shared);
		assert_true(mapping.wait_write);
		assert_int_equal(memory[shared][0], 7);
		make_way(0x67); /* all set already */
		access_of[shared] = MEM_ACCESS_READ;
		assert_int_equal(guest_mmu_walk(&long_mode, &cpu, &write, &port, &mapping), GUEST_MAPPED);
	}
}

/* Where there is no memory an entry reads as not present. */
static void test_no_memory(void **s)
{
	const struct guest_access read = { .linear = 0 };
	struct guest_mapping mapping;
	struct guest_paging paging = long_mode;

	(void)s;
	paging.cr3 = PAGES << PAGE_SHIFT;
	assert_int_equal(guest_mmu_walk(&paging, &cpu, &read, &port, &mapping), GUEST_FAULT);
	assert_int_equal(mapping.error, 0);
}

/* Is each what the walk would come to, without a bit to set? Returns how many there are. */
static uint32_t follow(const struct guest_paging *paging, const struct guest_access *write, const struct guest_mapping *mapping)
{
	uint64_t physical[PAGES];
	struct guest_access next = *write;
	uint32_t count = guest_mmu_follow(&cpu, &port, mapping, write->linear, PAGES, physical);

	assert_true(count <= PAGES);
	memcpy(twin, memory, sizeof(memory));
	for (uint32_t i = 0; i < count; i++) {
		struct guest_mapping own;
		next.linear += PAGE_SIZE;
		assert_int_equal(guest_mmu_walk(paging, &cpu, &next, &port, &own), GUEST_MAPPED);
		assert_int_equal(own.shift, PAGE_SHIFT);
		assert_int_equal(own.physical, physical[i]);
	}
	assert_memory_equal(memory, twin, sizeof(memory));
	return count;
}

/* Tables whose entries often equal their neighbours but for the address. */
static void test_follow(void **s)
{
	uint32_t followed = 0, granted = 0;

	(void)s;
	state = 77;
	for (uint32_t i = 0; i < WALKS; i++) {
		enum mode mode = (enum mode)(i % MODES);
		if (i % 256 == 0) {
			fill(true);
			for (uint32_t at = 0; at < sizeof(memory) - 8; at += 8)
				if (draw() % 4)
					memcpy(&memory[0][0] + at + 8, &memory[0][0] + at, 8);
		}
		struct guest_paging paging = random_paging(mode);
		struct guest_access write = random_access(mode);
		struct guest_mapping mapping;
		write.write = true;
		write.fetch = false;
		if (guest_mmu_walk(&paging, &cpu, &write, &port, &mapping) != GUEST_MAPPED)
			continue;
		granted++;
		followed += follow(&paging, &write, &mapping);
	}
	assert_true(granted > 1000 && followed > 1000);
}

/* The last entry of a table has none behind it, and an absent table none at all. */
static void test_follow_to_the_end(void **s)
{
	struct guest_access write = { .linear = 510ull << PAGE_SHIFT, .write = true };
	uint64_t entry = 9 << PAGE_SHIFT | 0x67, physical[PAGES];
	struct guest_mapping mapping;

	(void)s;
	make_way(0x67);
	for (uint32_t i = 0; i < 512; i++)
		memcpy(memory[3] + i * 8, &entry, 8);
	assert_int_equal(guest_mmu_walk(&long_mode, &cpu, &write, &port, &mapping), GUEST_MAPPED);
	assert_int_equal(guest_mmu_follow(&cpu, &port, &mapping, write.linear, PAGES, physical), 1);
	assert_int_equal(physical[0], 9 << PAGE_SHIFT);
	access_of[3] = MEM_ACCESS_NONE;
	assert_int_equal(guest_mmu_follow(&cpu, &port, &mapping, write.linear, PAGES, physical), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_level),   cmocka_unit_test(test_two_level_pse), cmocka_unit_test(test_pae),
		cmocka_unit_test(test_four_level),  cmocka_unit_test(test_five_level),    cmocka_unit_test(test_absent_table),
		cmocka_unit_test(test_shared_table), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_follow),	    cmocka_unit_test(test_follow_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
