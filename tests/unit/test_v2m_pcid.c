/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * V2M tables of an OS that uses PCIDs. The OS changes its tables, loads CR3 with and without a flush, and flushes by INVLPG and each type of INVPCID at random; its pages
 * move. Beside it is kept what a TLB may have of each PCID (SDM vol. 3, 4.10.4.1): what the tables have said while that PCID was current and that nothing had to make a TLB
 * forget since. Where an access ends has to be among that, by P2M as it is now. And a load that flushes nothing, of a PCID that nobody has flushed, inspects nothing.
 *
 * SEED=n in the environment: other ones, from n on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "xlat/v2m_pages.h"

#define ROOTS 3u
#define PCIDS 4u
#define TARGETS 24u       /* pages of P that the OS maps */
#define FRAMES 64u        /* where they may lie, each from FIRST_TARGET on */
#define LOWER 12u         /* places of each root's own: in two lowest tables */
#define PLACES (LOWER + 3u) /* few that all share: so they change often */
#define FIRST_TARGET 100u
#define TABLES 40u
#define NO_FLUSH (1ull << 63)
#define V2M_MACHINE 0x80000000ull
#define SEEDS 24u
#define STEPS 6000u
#define UPPER 0xffff800000000000ull

static _Alignas(4096) uint64_t memory[TABLES][512];
static _Alignas(4096) uint8_t v2m_memory[MIB(2)];

static struct {
	struct v2m *v2m;
	struct guest_paging paging;
	struct v2m_links links;
	uint32_t root, pcid;                 /* that are current */
	uint32_t may[PCIDS][PLACES];         /* targets that a TLB may have, a bit each */
	uint32_t may_global[PLACES];
	uint64_t frame[TARGETS];
	bool frame_used[FRAMES];
	uint32_t last_root[PCIDS];
	bool due[PCIDS];                     /* flushed since it was current, or never loaded */
	bool has_lower_globals, has_upper_locals;
	uint64_t accesses, faults, stale, kept;
} sim;

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33) % below;
}

/* --- the world --- */

static mfn_t frame_of(void *context, gfn_t page, enum mem_access *access)
{
	(void)context;
	*access = MEM_ACCESS_ALL;
	return page.n >= FIRST_TARGET && page.n < FIRST_TARGET + TARGETS ? mfn(FIRST_TARGET + sim.frame[page.n - FIRST_TARGET]) : mfn(page.n);
}

static uint8_t *page_of(void *context, gfn_t page, enum mem_access *access)
{
	(void)context;
	*access = MEM_ACCESS_ALL;
	return page.n < TABLES ? (uint8_t *)memory[page.n] : NULL;
}

static bool never(void *context, gfn_t page)
{
	(void)context;
	(void)page;
	return false;
}

static const struct v2m_port port = { .guest = { .page = page_of }, .frame = frame_of, .is_whole = never, .is_locked = never, .is_ram = never,
				      .links = &sim.links };

/* --- the OS's tables: of each root 3 below it and 2 lowest ones; 3 that all share --- */

static uint64_t root_of(uint32_t root) { return 1 + root * 6; }

static uint64_t linear_of(uint32_t place)
{
	if (place >= LOWER)
		return UPPER | (uint64_t)(place - LOWER) << 12;
	return (uint64_t)(place / 6) << 21 | (uint64_t)(place % 6) << 12;
}

static uint64_t *slot_of(uint32_t root, uint32_t place)
{
	uint64_t pd = root_of(root) + 2;

	return place >= LOWER ? &memory[34][place - LOWER] : &memory[(memory[pd][place / 6] & PTE_ADDRESS) >> PAGE_SHIFT][place % 6];
}

static void make_tables(void)
{
	const uint64_t all = PTE_P | PTE_W | PTE_U | PTE_A;

	for (uint32_t i = 0; i < ROOTS; i++) {
		uint64_t at = root_of(i);
		memory[at][0] = (at + 1) << PAGE_SHIFT | all;
		memory[at][256] = 32ull << PAGE_SHIFT | all;
		memory[at + 1][0] = (at + 2) << PAGE_SHIFT | all;
		memory[at + 2][0] = (at + 3) << PAGE_SHIFT | all;
		memory[at + 2][1] = (at + 4) << PAGE_SHIFT | all;
	}
	memory[32][0] = 33ull << PAGE_SHIFT | all;
	memory[33][0] = 34ull << PAGE_SHIFT | all;
}

/* What the tables say now is what a TLB may load for the PCID that is current. */
static void note_all(void)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		uint64_t entry = *slot_of(sim.root, i);
		if (!(entry & PTE_P))
			continue;
		uint32_t bit = 1u << ((entry >> PAGE_SHIFT) - FIRST_TARGET);
		*(entry & PTE_G ? &sim.may_global[i] : &sim.may[sim.pcid][i]) |= bit;
	}
}

static void map(uint32_t root, uint32_t place)
{
	uint64_t entry = (FIRST_TARGET + draw(TARGETS)) << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	bool global = place < LOWER ? sim.has_lower_globals && draw(8) == 0 : !sim.has_upper_locals || draw(2);

	*slot_of(root, place) = draw(5) ? entry | (global ? PTE_G : 0) : 0;
	note_all();
}

/* Both lowest tables of a root change places: entries above the lowest. */
static void swap_tables(uint32_t root)
{
	uint64_t *pd = memory[root_of(root) + 2], first = pd[0];

	pd[0] = pd[1];
	pd[1] = first;
	note_all();
}

/* --- what it says to the TLB --- */

static void forget_pcid(uint32_t pcid)
{
	memset(sim.may[pcid], 0, sizeof(sim.may[pcid]));
	sim.due[pcid] = pcid != sim.pcid;
}

static void load_cr3(uint32_t root, uint32_t pcid, bool flushes)
{
	uint64_t synced = sim.v2m->count.synced, returns = sim.v2m->count.returns, flush_count = sim.v2m->count.flushes;
	bool is_return = !flushes && !sim.due[pcid] && sim.last_root[pcid] == root;

	sim.root = root;
	sim.pcid = pcid;
	sim.paging.cr3 = root_of(root) << PAGE_SHIFT | (pcid + 1);
	v2m_load_cr3(sim.v2m, sim.paging.cr3 | (flushes ? 0 : NO_FLUSH));
	assert_true(sim.v2m->flush);
	assert_int_equal(sim.v2m->paging.cr3, sim.paging.cr3);
	if (flushes)
		forget_pcid(pcid);
	sim.due[pcid] = false;
	sim.last_root[pcid] = root;
	note_all();
	assert_int_equal(sim.v2m->count.flushes - flush_count, flushes);
	if (sim.has_lower_globals || sim.v2m->count.evictions)
		return; /* then it need not hold */
	assert_int_equal(sim.v2m->count.returns - returns, is_return);
	if (is_return && !sim.has_upper_locals)
		assert_int_equal(sim.v2m->count.synced, synced);
	sim.kept += is_return;
}

static void invlpg(uint32_t place)
{
	v2m_invalidate(sim.v2m, linear_of(place));
	sim.may[sim.pcid][place] = sim.may_global[place] = 0;
	note_all();
}

static void invpcid(enum v2m_invpcid type, uint32_t pcid, uint32_t place)
{
	v2m_invpcid(sim.v2m, type, pcid + 1, linear_of(place));
	if (type == V2M_INVPCID_ADDRESS)
		sim.may[pcid][place] = 0;
	else if (type == V2M_INVPCID_PCID)
		forget_pcid(pcid);
	else
		for (uint32_t i = 0; i < PCIDS; i++)
			forget_pcid(i);
	if (type == V2M_INVPCID_ALL_GLOBAL)
		memset(sim.may_global, 0, sizeof(sim.may_global));
	note_all();
}

/* --- what a CPU meets --- */

static void make_access(uint32_t place)
{
	const struct guest_access access = { .linear = linear_of(place), .user = true, .write = draw(2) };
	struct v2m_answer answer;
	uint64_t machine, now = *slot_of(sim.root, place);
	uint32_t may = sim.may[sim.pcid][place] | sim.may_global[place];

	sim.accesses++;
	if (!v2m_find(sim.v2m, access.linear, &machine)) {
		enum v2m_outcome outcome = v2m_miss(sim.v2m, &access, &answer);
		assert_int_equal(outcome, now & PTE_P ? V2M_AGAIN : V2M_FAULT);
		sim.faults += outcome == V2M_FAULT;
		if (outcome == V2M_FAULT)
			return;
		assert_true(v2m_find(sim.v2m, access.linear, &machine));
	}
	for (uint32_t i = 0; i < TARGETS; i++)
		if (may >> i & 1 && FIRST_TARGET + sim.frame[i] == machine >> PAGE_SHIFT) {
			sim.stale += !(now & PTE_P) || (now >> PAGE_SHIFT & 0xffff) != FIRST_TARGET + i;
			return;
		}
	fail_msg("PCID %u, root %u, %lx leads to frame %lu, which a TLB has forgotten", sim.pcid + 1, sim.root, access.linear, machine >> PAGE_SHIFT);
}

static void move_page(void)
{
	uint32_t page = draw(TARGETS), to = draw(FRAMES);

	if (sim.frame_used[to])
		return;
	v2m_forget(sim.v2m, &(struct v2m_gone){ gfn(FIRST_TARGET + page), mfn(FIRST_TARGET + sim.frame[page]) }, 1);
	sim.frame_used[sim.frame[page]] = false;
	sim.frame[page] = to;
	sim.frame_used[to] = true;
}

/* --- the run --- */

static void start(uint32_t kept, uint64_t v2m_bytes)
{
	const struct guest_cpu cpu = { .address_bits = 46 };

	memset(&sim, 0, sizeof(sim));
	memset(memory, 0, sizeof(memory));
	memset(v2m_memory, 0, sizeof(v2m_memory));
	make_tables();
	for (uint32_t i = 0; i < TARGETS; i++) {
		sim.frame[i] = i;
		sim.frame_used[i] = true;
	}
	memset(sim.due, true, sizeof(sim.due));
	sim.due[0] = false;
	sim.paging = (struct guest_paging){ .cr0 = MMU_CR0_PG | MMU_CR0_WP | 1, .cr3 = root_of(0) << PAGE_SHIFT | 1,
					    .cr4 = MMU_CR4_PAE | MMU_CR4_PCIDE | 1u << 7, .efer = MMU_EFER_LMA | MMU_EFER_NXE };
	sim.v2m = v2m_make(v2m_memory, v2m_bytes, V2M_MACHINE, &port, &cpu);
	sim.v2m->wake = 4; /* these tables have few entries */
	v2m_start(sim.v2m, &sim.paging, kept);
}

/* As an OS mostly does: back to what was current before. */
static void switch_space(void)
{
	uint32_t pcid = draw(PCIDS), root = draw(6) ? sim.last_root[pcid] : draw(ROOTS);

	load_cr3(root, pcid, draw(4) == 0);
}

static void act(void)
{
	uint32_t place = draw(PLACES), pcid = draw(PCIDS);

	switch (draw(16)) {
	case 0: case 1:
		map(draw(ROOTS), place);
		break;
	case 2: case 3: case 4:
		switch_space();
		break;
	case 5:
		invlpg(place);
		break;
	case 6:
		if (draw(2))
			invpcid((enum v2m_invpcid)draw(V2M_INVPCID_TYPES), pcid, place);
		else
			invpcid(V2M_INVPCID_ADDRESS, pcid, place);
		break;
	case 7:
		if (draw(4) == 0)
			swap_tables(draw(ROOTS));
		else
			move_page();
		break;
	default:
		make_access(place);
	}
}

static void run(uint32_t kept, uint64_t v2m_bytes)
{
	const char *text = getenv("SEED");
	uint64_t first = text ? strtoull(text, NULL, 0) : 1, kept_all = 0, wakes = 0, stale = 0, accesses = 0, faults = 0, evictions = 0;

	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		state = seed;
		start(kept, v2m_bytes);
		sim.has_lower_globals = seed % 4 == 0;
		sim.has_upper_locals = seed % 3 == 0;
		for (uint32_t i = 0; i < STEPS; i++)
			act();
		kept_all += sim.kept;
		stale += sim.stale;
		accesses += sim.accesses;
		faults += sim.faults;
		evictions += sim.v2m->count.evictions;
		wakes += sim.v2m->count.wakes;
		v2m_stop(sim.v2m);
		assert_int_equal(sim.v2m->used, 0);
	}
	printf("%lu accesses, %lu faults, %lu by what only a TLB still says; %lu loads of CR3 that inspect nothing; %lu evictions, %lu wakes\n", accesses, faults, stale, kept_all, evictions, wakes);
	assert_true(wakes > 0);
	assert_true(accesses > 3 * faults && stale > accesses / 100);
	assert_true(evictions > 0 ? v2m_bytes < KIB(512) : kept_all > SEEDS * 100);
}

static void test_shadow(void **s) { (void)s; run(V2M_KEPT_SHADOW, MIB(2)); }
static void test_vtlb(void **s) { (void)s; run(V2M_KEPT_VTLB, MIB(2)); }
static void test_small_vtlb(void **s) { (void)s; run(7, MIB(2)); }
static void test_few_tables(void **s) { (void)s; run(V2M_KEPT_SHADOW, KIB(8) + 14 * 8900ull); }

/* The bound of vtlb holds where nothing is inspected. */
static void test_bound_without_inspection(void **s)
{
	(void)s;
	start(7, MIB(2));
	for (uint32_t i = 0; i < LOWER; i++)
		*slot_of(0, i) = (FIRST_TARGET + i) << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	note_all();
	for (uint32_t i = 0; i < LOWER; i++)
		make_access(i);
	uint64_t synced = sim.v2m->count.synced, machine;
	load_cr3(1, 1, false);
	load_cr3(0, 0, false);
	uint32_t found = 0;
	for (uint32_t i = 0; i < LOWER; i++)
		found += v2m_find(sim.v2m, linear_of(i), &machine);
	assert_int_equal(sim.v2m->count.synced, synced);
	assert_true(found <= 7);
	v2m_stop(sim.v2m);
}

/* A root comes back under another PCID: what there was of it serves on, inspected. */
static void test_root_under_another_pcid(void **s)
{
	const uint64_t entry = FIRST_TARGET << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	uint64_t machine;

	(void)s;
	start(V2M_KEPT_SHADOW, MIB(2));
	*slot_of(0, 0) = *slot_of(0, 1) = entry;
	note_all();
	make_access(0);
	make_access(1);
	load_cr3(1, 0, true);
	*slot_of(0, 1) = 0;
	load_cr3(0, 2, true);
	assert_int_equal(sim.v2m->context_count, 2);
	assert_true(v2m_find(sim.v2m, linear_of(0), &machine));
	assert_false(v2m_find(sim.v2m, linear_of(1), &machine));
	v2m_stop(sim.v2m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_without_inspection), cmocka_unit_test(test_root_under_another_pcid), cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_vtlb), cmocka_unit_test(test_small_vtlb), cmocka_unit_test(test_few_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
