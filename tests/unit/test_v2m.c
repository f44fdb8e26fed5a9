/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * V2M tables on a simulated CPU: it walks them as the hardware does and has a TLB of its own, which forgets only what it is told to. An OS
 * beside it maps, unmaps, protects, reuses tables, switches address spaces and flushes at random; P2M moves pages, tables among them, by way of
 * absence and a flush, and shares some. Every access has to end as one that a TLB could have made: by a translation that the OS's tables have
 * said since it last flushed the address, composed with P2M as it is now. A fault of the OS's, and each accessed and dirty bit, has
 * to be what a second walk (fake_mmu.h) says.
 *
 * In half of the runs part of P is outside of the portion. Tables that lead there alone may become links: the CPU walks them itself, sets their
 * accessed and dirty bits, and nobody may write them as long as it could.
 *
 * SEED=n in the environment: ten other ones, from n on; STEPS=n makes each longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_mmu.h"
#include "xlat/v2m_pages.h"

#define HOMES 4096u  /* pages of P: eight chunks of 2 MiB */
#define SPARES 256u  /* frames that are nobody's home */
#define FRAMES (HOMES + SPARES)
#define FEW 48u      /* pages behind those for tables that are mapped, and moved into each other's homes, often */
#define TABLES 96u   /* pages of P from 1 on that the OS uses for tables */
#define ROOTS 3u
#define PLACES 40u   /* virtual addresses that are looked at */
#define HISTORY 64u
#define BITS 46u
#define V2M_MACHINE 0x80000000ull
#define MOVES 16u
#define V2M_TABLES_MAX 160u
#define LOCKED_FROM 2048u /* pages of P from here on, and those for tables, are outside of the portion where there is one */
#define IN_USE 3u    /* places that are used in a spell */
#define SPELL 40u    /* loads of CR3 in which the OS leaves its tables alone */
#define SEEDS 10u    /* of each mode: small and large tables, with a portion and without */
#define STEPS 3000u  /* of each seed */

enum mode { TWO_LEVEL, PAE, FOUR_LEVEL, FIVE_LEVEL, MODES };

struct held {
	struct fake_translation what;
	uint64_t linked; /* P of the OS's entry that the CPU has found by a link; else 0 */
};

static _Alignas(4096) uint8_t memory[FRAMES][PAGE_SIZE];
static _Alignas(4096) uint8_t v2m_memory[MIB(1)];
static uint8_t twin[TABLES + 1][PAGE_SIZE]; /* of the tables, with the bits that the model sets */

static struct {
	enum mode mode;
	struct guest_paging paging;
	struct v2m *v2m;
	uint64_t root[ROOTS];
	uint32_t table_users[TABLES + 1]; /* of what level's making; 0: free */
	uint64_t place[PLACES];
	struct held history[PLACES][HISTORY];
	uint32_t history_count[PLACES];
	struct held tlb[PLACES];
	bool tlb_valid[PLACES];
	struct {
		uint32_t level;
		uint64_t guest;
	} walked[V2M_TABLES_MAX];
	mfn_t frame[HOMES];
	enum mem_access access[HOMES];
	bool leaf[HOMES / 512]; /* the chunk has one, perhaps saying nothing */
	bool frame_used[FRAMES];
	gfn_t moving[MOVES];
	mfn_t from[MOVES], to[MOVES];
	uint32_t moving_count;
	bool flushed;
	bool may_have_portion, has_portion;
	struct v2m_links links;
	bool walked_link[TABLES + 1];
	gfn_t pending[V2M_OFFERS]; /* guarded, and not everybody has forgotten them yet */
	uint32_t pending_count;
	uint64_t accesses, faults, moves, waits, linked_accesses, broken;
} sim;

static bool with_pcids; /* in long mode; test_v2m_pcid.c is about them */
static uint64_t state;

static uint64_t draw(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return state >> 24;
}

static bool one_in(uint32_t n) { return draw() % n == 0; }

static bool is_long(void) { return sim.mode >= FOUR_LEVEL; }
static uint32_t entry_bytes(void) { return sim.mode == TWO_LEVEL ? 4 : 8; }

static const struct guest_cpu cpu = { .address_bits = BITS };

/* --- the port --- */

static mfn_t frame_of(void *context, gfn_t page, enum mem_access *access)
{
	(void)context;
	*access = page.n < HOMES ? sim.access[page.n] : MEM_ACCESS_ALL;
	return page.n < HOMES ? sim.frame[page.n] : mfn(page.n);
}

static uint8_t *page_of(void *context, gfn_t page, enum mem_access *access)
{
	mfn_t frame = frame_of(context, page, access);

	return frame.n < FRAMES ? memory[frame.n] : NULL;
}

static bool is_whole(void *context, gfn_t page)
{
	(void)context;
	return page.n >= HOMES || !sim.leaf[page.n / 512];
}

static bool is_locked(void *context, gfn_t page)
{
	(void)context;
	return sim.has_portion && (page.n <= TABLES || page.n >= LOCKED_FROM);
}

static bool is_ram(void *context, gfn_t page)
{
	(void)context;
	return page.n < HOMES;
}

static const struct v2m_port port = { .guest = { .page = page_of }, .frame = frame_of, .is_whole = is_whole, .is_locked = is_locked,
				      .is_ram = is_ram, .links = &sim.links };

/* --- the model's view of the OS's tables --- */

static uint64_t read_twin(uint64_t physical, uint32_t bytes)
{
	uint64_t value = 0, page = physical >> PAGE_SHIFT;

	if (page <= TABLES)
		memcpy(&value, twin[page] + (physical & PAGE_MASK), bytes);
	else if (page < HOMES)
		memcpy(&value, memory[sim.frame[page].n] + (physical & PAGE_MASK), bytes);
	return value;
}

static void write_twin(uint64_t physical, uint64_t value, uint32_t bytes)
{
	assert_true(physical >> PAGE_SHIFT <= TABLES);
	memcpy(twin[physical >> PAGE_SHIFT] + (physical & PAGE_MASK), &value, bytes);
}

static void check_tables(void)
{
	for (uint32_t i = 1; i <= TABLES; i++)
		if (sim.access[i] != MEM_ACCESS_NONE || !sim.flushed)
			assert_memory_equal(memory[sim.frame[i].n], twin[i], PAGE_SIZE);
}

static struct fake_translation walk_now(uint64_t linear)
{
	const struct fake_mmu model = { sim.paging, cpu, read_twin, NULL };
	const struct guest_access look = { .linear = linear, .user = false };
	struct guest_paging lenient = sim.paging;
	struct fake_mmu open = model;

	/* Rights do not matter here: what is there is asked. */
	lenient.cr4 &= ~(MMU_CR4_SMAP | MMU_CR4_SMEP);
	open.paging = lenient;
	return fake_mmu_walk(&open, &look);
}

static bool same(const struct fake_translation *a, const struct fake_translation *b)
{
	return a->ok == b->ok && (!a->ok || (a->physical == b->physical && a->size == b->size && a->may_write == b->may_write &&
					    a->may_user == b->may_user && a->may_fetch == b->may_fetch && a->global == b->global &&
					    a->dirty == b->dirty && a->accessed == b->accessed && a->leaf == b->leaf &&
					    a->accessed_above == b->accessed_above));
}

/* What the tables say now is what a TLB may load now. */
static void note_all(void)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		struct fake_translation now = walk_now(sim.place[i]);
		bool known = !now.ok;
		for (uint32_t j = 0; j < sim.history_count[i] && !known; j++)
			known = same(&sim.history[i][j].what, &now);
		if (known)
			continue;
		assert_true(sim.history_count[i] < HISTORY);
		sim.history[i][sim.history_count[i]++].what = now;
	}
}

/* Keeps of a place's history what `stays` says. */
static void prune(uint32_t place, bool (*stays)(uint32_t place, const struct fake_translation *held))
{
	uint32_t kept = 0;

	for (uint32_t j = 0; j < sim.history_count[place]; j++)
		if (stays(place, &sim.history[place][j].what))
			sim.history[place][kept++] = sim.history[place][j];
	sim.history_count[place] = kept;
}

static bool is_global(uint32_t place, const struct fake_translation *held)
{
	(void)place;
	return held->global;
}

static uint64_t invalidated;

/* INVLPG takes a large page away as a whole, wherever in it the address is. */
static bool is_elsewhere(uint32_t place, const struct fake_translation *held)
{
	return (sim.place[place] & ~(held->size - 1)) != (invalidated & ~(held->size - 1));
}

/* --- the CPU --- */

static void flush_tlb(void)
{
	memset(sim.tlb_valid, 0, sizeof(sim.tlb_valid));
	memset(sim.walked, 0, sizeof(sim.walked));
	memset(sim.walked_link, 0, sizeof(sim.walked_link));
}

static void flush_if_due(void)
{
	if (sim.v2m->flush)
		flush_tlb();
	sim.v2m->flush = false;
	/* Paging-structure caches: a table that was walked since is the table that it was. */
	for (uint32_t i = 0; i < V2M_TABLES_MAX; i++)
		assert_true(!sim.walked[i].level || (sim.walked[i].level == sim.v2m->page[i].level &&
						     sim.walked[i].guest == sim.v2m->page[i].guest));
}

static bool is_pending(gfn_t table)
{
	bool found = false;

	for (uint32_t i = 0; i < sim.pending_count; i++)
		found |= sim.pending[i].n == table.n;
	return found;
}

static uint64_t *v2m_table(uint64_t machine)
{
	uint64_t at = machine - V2M_MACHINE;

	if (machine < V2M_MACHINE) { /* a link: at home, and guarded */
		uint64_t page = machine >> PAGE_SHIFT;
		assert_true(page <= TABLES && sim.frame[page].n == page && is_locked(NULL, gfn(page)));
		assert_true(v2m_links_is_guarded(&sim.links, gfn(page)) && !is_pending(gfn(page)));
		sim.walked_link[page] = true;
		return (uint64_t *)(void *)memory[page];
	}
	assert_true(machine >= V2M_MACHINE && at < sizeof(v2m_memory) && !(at & PAGE_MASK));
	const struct v2m_page *page = &sim.v2m->page[at >> PAGE_SHIFT];
	assert_true(page->level > 0);
	sim.walked[at >> PAGE_SHIFT].level = page->level;
	sim.walked[at >> PAGE_SHIFT].guest = page->guest;
	return (uint64_t *)(void *)(v2m_memory + at);
}

/* As the hardware would: the format of long mode, or PAE's. */
static bool walk_v2m(uint64_t linear, bool uses, struct held *held)
{
	uint32_t level = is_long() ? (sim.mode == FIVE_LEVEL ? 5 : 4) : 3;
	uint64_t *table = v2m_table(v2m_root(sim.v2m)), link = 0;

	struct fake_translation *found = &held->what;
	*found = (struct fake_translation){ .ok = true, .may_write = true, .may_user = true, .may_fetch = true };
	for (;; level--) {
		uint64_t *place = &table[linear >> (12 + 9 * (level - 1)) & (level == 3 && !is_long() ? 3 : 511)];
		uint64_t entry = *place;
		if (!(entry & PTE_P))
			return false;
		if (uses && !link && (is_long() || level < 3))
			*place |= PTE_A;
		assert_false(entry & PTE_NX && !(sim.paging.efer & MMU_EFER_NXE));
		if (!is_long() && level == 3) {
			assert_int_equal(entry & (PTE_W | PTE_U | PTE_A | PTE_D | PTE_LARGE | PTE_NX), 0);
		} else {
			found->may_write &= entry >> 1 & 1;
			found->may_user &= entry >> 2 & 1;
			found->may_fetch &= !(entry & PTE_NX);
		}
		found->size = 1ull << (12 + 9 * (level - 1));
		if (level == 1 || (level == 2 && entry & PTE_LARGE)) {
			found->global = entry & PTE_G && sim.paging.cr4 & 1u << 7;
			found->dirty = entry & PTE_D;
			held->linked = link ? link + (linear >> 12 & 511) * 8 : 0;
			found->physical = (entry & PTE_ADDRESS & ~(found->size - 1)) | (linear & (found->size - 1));
			return true;
		}
		assert_false(entry & PTE_LARGE);
		table = v2m_table(entry & PTE_ADDRESS);
		link = (entry & PTE_ADDRESS) < V2M_MACHINE ? entry & PTE_ADDRESS : 0;
	}
}

/*
 * The CPU sets bits in a table of the OS's by itself. The OS may have taken that table out, and not have flushed: then the entries above are
 * as they were, from a paging-structure cache (APM vol. 2, 5.5.1), the lowest one is as it stands in memory, and the tables do not say so now.
 */
static void mark_linked(uint32_t place, uint64_t slot, uint64_t bits)
{
	uint64_t entry = read_twin(slot, 8) | bits;

	write_twin(slot, entry, 8);
	memcpy(memory[slot >> PAGE_SHIFT] + (slot & PAGE_MASK), &entry, sizeof(entry));
	note_all();
	for (uint32_t j = 0; j < sim.history_count[place]; j++) {
		struct fake_translation *held = &sim.history[place][j].what;
		if (held->leaf != slot || held->physical >> PAGE_SHIFT != (entry & PTE_ADDRESS) >> PAGE_SHIFT)
			continue;
		held->accessed = held->accessed_above;
		held->dirty = entry & PTE_D;
	}
}

static uint32_t place_of(uint64_t linear)
{
	for (uint32_t i = 0; i < PLACES; i++)
		if (sim.place[i] >> 12 == linear >> 12)
			return i;
	fail();
	return 0;
}

/* True: the hardware makes the access. */
static bool try_access(const struct guest_access *access, uint64_t *machine)
{
	uint32_t place = place_of(access->linear);
	struct held *held = &sim.tlb[place];

	if (sim.tlb_valid[place] && held->linked && access->write && !held->what.dirty)
		sim.tlb_valid[place] = false; /* it walks again to set that bit */
	if (!sim.tlb_valid[place]) {
		sim.tlb_valid[place] = walk_v2m(access->linear & ~PAGE_MASK, true, held);
		if (!sim.tlb_valid[place])
			return false;
	}
	if (!fake_mmu_allows(&sim.paging, &sim.tlb[place].what, access)) {
		sim.tlb_valid[place] = false; /* a CPU that faults forgets the entry */
		return false;
	}
	if (held->linked) {
		sim.linked_accesses++;
		held->what.dirty |= access->write;
		mark_linked(place, held->linked, PTE_A | (access->write ? PTE_D : 0));
	}
	*machine = sim.tlb[place].what.physical | (access->linear & PAGE_MASK);
	return true;
}

/* The translation was the OS's at some time since the flush, and the page is there. */
static void check_access(const struct guest_access *access, uint64_t machine)
{
	uint32_t place = place_of(access->linear);

	for (uint32_t j = 0; j < sim.history_count[place]; j++) {
		const struct fake_translation *held = &sim.history[place][j].what;
		uint64_t page = held->physical >> PAGE_SHIFT;
		mfn_t frame = page < HOMES ? sim.frame[page] : mfn(page);
		if (frame.n != machine >> PAGE_SHIFT || !fake_mmu_allows(&sim.paging, held, access))
			continue;
		/* It goes by entries that it has seen accessed, and for a write dirty, or has made so. */
		if (!held->accessed || (access->write && !held->dirty))
			continue;
		enum mem_access rights = page < HOMES ? sim.access[page] : MEM_ACCESS_ALL;
		if (rights == MEM_ACCESS_NONE ? !sim.flushed : rights == MEM_ACCESS_ALL || !access->write)
			return;
	}
	fail_msg("%lx leads to %lx, which nothing says", access->linear, machine);
}

static void end_move(void);

/* The model makes the walk that V2M has made for this fault, bits and all. */
static struct fake_translation model_walk(const struct guest_access *access)
{
	const struct fake_mmu model = { sim.paging, cpu, read_twin, write_twin };

	return fake_mmu_walk(&model, access);
}

/* Some CPU is about to write a page that holds a table. */
static void unlink_table(gfn_t table, bool by_write)
{
	uint64_t holders = v2m_links_break(&sim.links, table, by_write);

	assert_true(!sim.walked_link[table.n] || holders & 1ull << sim.v2m->number);
	v2m_forget(sim.v2m, &(struct v2m_gone){ table, gfn_home(table) }, 1);
	flush_tlb();
	sim.v2m->flush = false;
	v2m_links_free(&sim.links, table);
	sim.broken++;
}

static void unlink_all(void)
{
	gfn_t table;

	for (uint32_t i = 0; i < V2M_LINKS; i++)
		if (v2m_links_at(&sim.links, i, &table))
			unlink_table(table, false);
	assert_int_equal(sim.links.count + sim.links.guarded + sim.links.entries + sim.v2m->link_count, 0);
}

static void settle_wait(const struct v2m_answer *answer)
{
	assert_true(answer->wait.n < HOMES);
	sim.waits++;
	if (answer->wait_write && v2m_links_is_guarded(&sim.links, answer->wait)) {
		unlink_table(answer->wait, true);
		return;
	}
	if (sim.access[answer->wait.n] == MEM_ACCESS_NONE) {
		end_move();
		return;
	}
	assert_true(answer->wait_write && sim.access[answer->wait.n] == MEM_ACCESS_READ);
	sim.access[answer->wait.n] = MEM_ACCESS_ALL; /* unshared: the right comes back in place */
}

/* What has been set before the walk had to wait is what the model would have set as far as that. */
static void adopt_bits(void)
{
	for (uint32_t i = 1; i <= TABLES; i++)
		for (uint32_t at = 0; at < PAGE_SIZE; at += entry_bytes()) {
			uint64_t here = 0, there = 0;
			memcpy(&here, memory[sim.frame[i].n] + at, entry_bytes());
			memcpy(&there, twin[i] + at, entry_bytes());
			if ((here ^ there) == PTE_A && here & PTE_A)
				memcpy(twin[i] + at, &here, entry_bytes());
		}
}

static void make_access(const struct guest_access *access)
{
	uint64_t machine;

	sim.accesses++;
	for (uint32_t tries = 0; !try_access(access, &machine); tries++) {
		struct v2m_answer answer = { .replaced = false };
		assert_true(tries < 40);
		enum v2m_outcome outcome = v2m_miss(sim.v2m, access, &answer);
		if (answer.replaced)
			sim.tlb_valid[place_of(access->linear)] = false;
		flush_if_due();
		if (outcome == V2M_WAIT) {
			adopt_bits();
			settle_wait(&answer);
			continue;
		}
		struct fake_translation expected = model_walk(access);
		assert_int_equal(outcome, expected.ok ? V2M_AGAIN : V2M_FAULT);
		if (!expected.ok) {
			assert_int_equal(answer.error, expected.error);
			sim.faults++;
			check_tables();
			return;
		}
		note_all();
		check_tables();
	}
	check_access(access, machine);
}

static void access_place(uint32_t place)
{
	struct guest_access access = { .linear = sim.place[place] | (draw() & PAGE_MASK), .write = draw() & 1, .user = draw() & 1 };

	access.fetch = !access.write && one_in(4);
	access.smap = !access.user && one_in(3);
	make_access(&access);
}

static void random_access(void)
{
	access_place((uint32_t)(draw() % PLACES));
}

/* --- the OS --- */

static void store(uint64_t physical, uint64_t value)
{
	uint64_t page = physical >> PAGE_SHIFT;

	/* The OS writes its tables through some mapping: as any write, it waits where the page may not be written. */
	if (sim.access[page] == MEM_ACCESS_NONE)
		end_move();
	sim.access[page] = MEM_ACCESS_ALL;
	/* Before everybody has forgotten it may still be written. */
	if (!is_pending(gfn(page)) && v2m_links_is_guarded(&sim.links, gfn(page)))
		unlink_table(gfn(page), true);
	assert_false(page <= TABLES && sim.walked_link[page]);
	memcpy(memory[sim.frame[page].n] + (physical & PAGE_MASK), &value, entry_bytes());
	memcpy(twin[page] + (physical & PAGE_MASK), &value, entry_bytes());
}

static uint64_t new_table(uint32_t level)
{
	for (uint32_t tries = 0; tries < 4 * TABLES; tries++) {
		uint64_t page = 1 + draw() % TABLES;
		if (sim.table_users[page])
			continue;
		sim.table_users[page] = level;
		for (uint32_t at = 0; at < PAGE_SIZE; at += entry_bytes())
			store((page << PAGE_SHIFT) + at, 0);
		return page << PAGE_SHIFT;
	}
	return 0;
}

static uint32_t levels(void)
{
	static const uint32_t count[MODES] = { 2, 3, 4, 5 };
	return count[sim.mode];
}

static uint64_t slot_of(uint64_t table, uint64_t linear, uint32_t level)
{
	uint32_t bits = sim.mode == TWO_LEVEL ? 10 : 9;
	uint64_t index = linear >> (12 + bits * (level - 1)) & ((1u << bits) - 1);

	return table + (sim.mode == PAE && level == 3 ? index & 3 : index) * entry_bytes();
}

static uint64_t random_target(uint64_t align_pages)
{
	uint64_t page = TABLES + 1 + draw() % (align_pages == 1 && draw() & 1 ? FEW : HOMES - TABLES - 1);

	if (sim.has_portion && draw() % 8)
		page = LOCKED_FROM + draw() % (HOMES - LOCKED_FROM);
	if (sim.has_portion && align_pages == 1 && one_in(24))
		page = 1 + draw() % TABLES;
	return align_pages == 1 ? page : page / align_pages * align_pages;
}

static uint64_t random_flags(void)
{
	uint64_t flags = PTE_P | (draw() & (PTE_W | PTE_U | PTE_PWT | PTE_PCD | PTE_A | PTE_D));

	if (draw() % 3)
		flags |= PTE_W | PTE_U | PTE_A;
	if (one_in(3))
		flags |= PTE_G;
	if (entry_bytes() == 8 && one_in(12))
		flags |= PTE_NX; /* reserved without NXE: a fault like others */
	return flags;
}

static uint64_t page_entry(uint32_t level)
{
	uint64_t pages = sim.mode == TWO_LEVEL ? (level == 2 ? 1024 : 1) : 1ull << 9 * (level - 1);

	if (level == 1)
		return random_target(1) << PAGE_SHIFT | random_flags();
	if (level == 3) /* 1 GiB: beyond what there is but for its first 16 MiB */
		return PTE_LARGE | random_flags();
	return random_target(pages) << PAGE_SHIFT | PTE_LARGE | random_flags();
}

static bool may_be_large(uint32_t level)
{
	return level == 2 || (level == 3 && is_long());
}

static void begin_anew(void);
static void share_upper_half(void);

/* Maps a place somewhere else, with the tables that it takes, or a large page on the way. */
static void map(uint64_t linear)
{
	uint64_t table = sim.paging.cr3 & ~PAGE_MASK;

	for (uint32_t level = levels(); level > 1; level--) {
		uint64_t slot = slot_of(table, linear, level), entry = read_twin(slot, entry_bytes());
		if (may_be_large(level) && one_in(level == 2 ? 8 : 24)) {
			store(slot, page_entry(level));
			return;
		}
		if (!(entry & PTE_P) || (may_be_large(level) && entry & PTE_LARGE)) {
			uint64_t next = new_table(level - 1);
			if (!next) {
				begin_anew();
				return;
			}
			uint64_t flags = PTE_P | PTE_W | PTE_U | (draw() & PTE_A);
			if (one_in(24))
				flags = PTE_P | (draw() & (PTE_W | PTE_U | PTE_A));
			entry = next | (sim.mode == PAE && level == 3 ? PTE_P : flags);
			store(slot, entry);
		}
		table = entry & (entry_bytes() == 4 ? 0xfffff000 : PTE_ADDRESS);
	}
	store(slot_of(table, linear, 1), page_entry(1));
}

/* The way to a place as far as there are tables: slots, from the root on. */
static uint32_t way(uint64_t linear, uint64_t slot[5], uint64_t entry[5])
{
	uint64_t table = sim.paging.cr3 & ~PAGE_MASK;
	uint32_t count = 0;

	for (uint32_t level = levels(); level; level--) {
		slot[count] = slot_of(table, linear, level);
		entry[count] = read_twin(slot[count], entry_bytes());
		count++;
		if (!(entry[count - 1] & PTE_P) || level == 1 || (may_be_large(level) && entry[count - 1] & PTE_LARGE))
			break;
		table = entry[count - 1] & (entry_bytes() == 4 ? 0xfffff000 : PTE_ADDRESS);
	}
	return count;
}

/* The page whose home is where the page of `entry` lies: V2M has an entry for the one that looks like the OS's for the other. */
static uint64_t entry_for_home(uint64_t entry)
{
	uint64_t page = (entry & PTE_ADDRESS) >> PAGE_SHIFT, frame = page < HOMES ? sim.frame[page].n : page;

	return frame > TABLES && frame < HOMES ? (entry & ~PTE_ADDRESS) | frame << PAGE_SHIFT : page_entry(1);
}

static void change_leaf(uint64_t linear)
{
	uint64_t slot[5], entry[5];
	uint32_t last = way(linear, slot, entry) - 1, level = levels() - last;

	if (!(entry[last] & PTE_P))
		return;
	if (sim.mode == PAE && level == 3)
		return;
	switch (draw() % 5) {
	case 0:
		store(slot[last], 0);
		break;
	case 1:
		store(slot[last], entry[last] ^ (draw() & (PTE_W | PTE_U | PTE_A | PTE_D)));
		break;
	case 2:
		store(slot[last], entry[last] & ~(PTE_A | PTE_D));
		break;
	case 3:
		store(slot[last], level == 1 ? entry_for_home(entry[last]) : entry[last]);
		break;
	default:
		store(slot[last], level == 1 ? page_entry(1) : entry[last] & ~PTE_W);
	}
}

/* As virt/shadow.c does it. The OS goes on meanwhile on other CPUs. */
static void link_tables(void)
{
	uint32_t count = v2m_links_guard(sim.v2m, sim.pending);

	sim.pending_count = count;
	if (sim.may_have_portion && one_in(4))
		change_leaf(sim.place[draw() % PLACES]);
	for (uint32_t i = 0; i < count; i++)
		v2m_forget(sim.v2m, &(struct v2m_gone){ sim.pending[i], gfn_home(sim.pending[i]) }, 1);
	flush_tlb();
	sim.v2m->flush = false;
	sim.pending_count = 0;
	v2m_links_settle(sim.v2m, sim.pending, count);
	note_all();
}

static void load_cr3(uint64_t cr3)
{
	sim.paging.cr3 = cr3;
	v2m_load_cr3(sim.v2m, cr3);
	flush_if_due();
	for (uint32_t i = 0; i < PLACES; i++)
		prune(i, is_global);
	note_all();
	if (v2m_links_are_due(sim.v2m))
		link_tables();
}

/* So long that what is loaded, and used all the while, may be linked. */
static void leave_tables_alone(void)
{
	uint64_t other = sim.root[draw() % ROOTS], now = sim.paging.cr3;
	uint32_t place = (uint32_t)(draw() % PLACES);

	for (uint32_t i = 0; i < SPELL; i++) {
		load_cr3(other);
		load_cr3(now);
		for (uint32_t j = 0; j < IN_USE && i % 2; j++)
			access_place((place + j) % PLACES);
	}
	for (uint32_t i = 0; i < SPELL / 2; i++) {
		random_access();
		if (one_in(16))
			load_cr3(one_in(2) ? other : now);
	}
}

/*
 * INVLPG takes away all that is kept of entries above the lowest, wherever they lead (APM vol. 2, 3.1.7, EFER.TCE clear; SDM vol. 3, 4.10.4.1):
 * what a TLB has loaded by a table that is not on the way now stays, but nobody walks that table any more.
 */
static void forget_stale_ways(void)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		struct fake_translation now = walk_now(sim.place[i]);
		for (uint32_t j = 0; j < sim.history_count[i]; j++) {
			struct fake_translation *held = &sim.history[i][j].what;
			if (!now.ok || held->leaf != now.leaf || held->accessed_above != now.accessed_above || held->may_write != now.may_write ||
			    held->may_user != now.may_user || held->may_fetch != now.may_fetch)
				held->leaf = 0;
		}
	}
}

static void invalidate(uint64_t linear)
{
	if (v2m_invalidate(sim.v2m, linear))
		sim.tlb_valid[place_of(linear)] = false;
	flush_if_due();
	invalidated = linear;
	for (uint32_t i = 0; i < PLACES; i++)
		prune(i, is_elsewhere);
	forget_stale_ways();
	note_all();
}

/* A lowest table is out, or has other rights, and this is not flushed; perhaps something else is. Then it is back. */
static void take_out_for_a_while(uint64_t linear)
{
	uint64_t slot[5], entry[5];
	uint32_t above = levels() - 2;

	if (way(linear, slot, entry) != levels())
		return;
	store(slot[above], one_in(2) ? 0 : entry[above] & ~(draw() & (PTE_W | PTE_U | PTE_A)));
	note_all();
	if (one_in(2))
		invalidate(sim.place[draw() % PLACES]);
	for (uint32_t i = 0; i < PLACES; i++)
		if (sim.place[i] >> 21 == linear >> 21)
			access_place(i);
	store(slot[above], entry[above]);
	note_all();
}

/* A table is unlinked, all that it could have mapped is flushed (by a load of CR3, and INVLPG for what is global), and it is free. */
static void free_table(uint64_t linear)
{
	uint64_t slot[5], entry[5];
	uint32_t count = way(linear, slot, entry);

	if (count < 2)
		return;
	uint32_t which = (uint32_t)(draw() % (count - 1)), level = levels() - which;
	uint64_t table = entry[which] & (entry_bytes() == 4 ? 0xfffff000 : PTE_ADDRESS);
	if (is_long() && which == 0 && linear >> 63)
		return; /* other roots share it */
	store(slot[which], 0);
	for (uint32_t i = 0; i < PLACES; i++)
		invalidate(sim.place[i]);
	load_cr3(sim.paging.cr3);
	/* What hung below it leaks: one level is enough. */
	if (level == 2)
		sim.table_users[table >> PAGE_SHIFT] = 0;
	note_all();
}

/* Every table but the roots is free again. */
static void begin_anew(void)
{
	memset(sim.table_users, 0, sizeof(sim.table_users));
	for (uint32_t i = 0; i < ROOTS; i++) {
		sim.table_users[sim.root[i] >> PAGE_SHIFT] = levels();
		for (uint32_t at = 0; at < PAGE_SIZE; at += entry_bytes())
			store(sim.root[i] + at, 0);
	}
	share_upper_half();
	for (uint32_t i = 0; i < PLACES; i++)
		invalidate(sim.place[i]);
	load_cr3(sim.root[0]);
}

/* --- P2M --- */

static mfn_t free_frame(void)
{
	for (uint32_t tries = 0; tries < FEW; tries++) {
		uint64_t n = TABLES + 1 + draw() % FEW;
		if (!sim.frame_used[n])
			return mfn(n);
	}
	for (;;) {
		uint64_t n = draw() % FRAMES;
		if (!sim.frame_used[n])
			return mfn(n);
	}
}

/* Everything that V2M says is of a page that is present. */
static void check_none_absent(void)
{
	struct held found;

	for (uint32_t i = 0; i < PLACES; i++) {
		if (!walk_v2m(sim.place[i], false, &found))
			continue;
		for (uint32_t j = 0; j < sim.moving_count; j++)
			assert_true(found.what.physical >> PAGE_SHIFT != sim.from[j].n);
	}
}

/* Nobody could write a table that is linked. */
static void check_guarded(void)
{
	struct held found;

	for (uint32_t i = 0; i < PLACES; i++)
		if (walk_v2m(sim.place[i], false, &found) && found.what.may_write)
			assert_false(v2m_links_is_guarded(&sim.links, gfn(found.what.physical >> PAGE_SHIFT)));
}

static void begin_move(void)
{
	if (sim.moving_count)
		return;
	for (uint32_t i = 0; i < 1 + draw() % MOVES; i++) {
		gfn_t page = gfn(one_in(3) ? 1 + draw() % TABLES : one_in(2) ? TABLES + 1 + draw() % FEW : 1 + draw() % (HOMES - 1));
		if (sim.access[page.n] == MEM_ACCESS_NONE || is_locked(NULL, page))
			continue;
		uint32_t at = sim.moving_count++;
		sim.moving[at] = page;
		sim.from[at] = sim.frame[page.n];
		sim.to[at] = one_in(3) && !sim.frame_used[page.n] ? mfn(page.n) : free_frame();
		sim.frame_used[sim.to[at].n] = true;
		sim.leaf[page.n / 512] = true;
		sim.access[page.n] = MEM_ACCESS_NONE;
	}
	sim.flushed = false;
}

static void flush_move(void)
{
	if (!sim.moving_count || sim.flushed)
		return;
	for (uint32_t i = 0; i < sim.moving_count; i++)
		v2m_forget(sim.v2m, &(struct v2m_gone){ sim.moving[i], sim.from[i] }, 1);
	flush_tlb();
	sim.v2m->flush = false;
	sim.flushed = true;
	check_none_absent();
}

static void tidy_chunks(void)
{
	for (uint32_t chunk = 0; chunk < HOMES / 512; chunk++) {
		bool identity = true;
		for (uint32_t i = chunk * 512; i < (chunk + 1) * 512; i++)
			identity &= sim.frame[i].n == i && sim.access[i] == MEM_ACCESS_ALL;
		if (identity)
			sim.leaf[chunk] = false;
	}
}

static void end_move(void)
{
	flush_move();
	for (uint32_t i = 0; i < sim.moving_count; i++) {
		memcpy(memory[sim.to[i].n], memory[sim.from[i].n], PAGE_SIZE);
		memset(memory[sim.from[i].n], 0xdd, PAGE_SIZE);
		sim.frame[sim.moving[i].n] = sim.to[i];
		sim.access[sim.moving[i].n] = one_in(6) ? MEM_ACCESS_READ : MEM_ACCESS_ALL;
		sim.frame_used[sim.from[i].n] = false;
		sim.moves++;
	}
	sim.moving_count = 0;
	sim.flushed = false;
	tidy_chunks();
}

static void bring_home(void)
{
	for (uint32_t i = 0; i < HOMES; i++) {
		if (sim.frame[i].n == i && sim.access[i] == MEM_ACCESS_ALL)
			continue;
		v2m_forget(sim.v2m, &(struct v2m_gone){ gfn(i), sim.frame[i] }, 1);
		if (sim.frame[i].n != i && sim.frame_used[i])
			continue;
		if (sim.frame[i].n != i) {
			memcpy(memory[i], memory[sim.frame[i].n], PAGE_SIZE);
			sim.frame_used[sim.frame[i].n] = false;
			sim.frame_used[i] = true;
			sim.frame[i] = mfn(i);
		}
		sim.access[i] = MEM_ACCESS_ALL;
	}
	flush_tlb();
	sim.v2m->flush = false;
	tidy_chunks();
}

/* --- the run --- */

/* Places close together, far apart, and in both halves. */
static void choose_places(void)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		uint64_t linear = (draw() % 3) << 30 | (draw() % 2) << 22 | (draw() % 2) << 21 | (draw() % 6) << 12;
		if (is_long() && one_in(3))
			linear |= 0xffff800000000000;
		if (sim.mode == FIVE_LEVEL && linear >> 63)
			linear |= 0xff00000000000000;
		sim.place[i] = linear;
		for (uint32_t j = 0; j < i; j++)
			if (sim.place[j] == linear)
				i--, j = PLACES;
	}
}

/* Roots share their upper halves, as OSes do: one table for each slot, made once. */
static void share_upper_half(void)
{
	if (!is_long())
		return;
	for (uint32_t slot = 256; slot < 512; slot += 255) {
		uint64_t next = new_table(levels() - 1);
		for (uint32_t i = 0; i < ROOTS; i++)
			store(sim.root[i] + slot * 8ull, next | PTE_P | PTE_W | PTE_U | PTE_A);
	}
}

static void make_roots(void)
{
	for (uint32_t i = 0; i < ROOTS; i++)
		sim.root[i] = new_table(levels());
	share_upper_half();
}

static void start(enum mode mode, uint32_t kept, uint64_t v2m_bytes)
{
	memset(&sim, 0, sizeof(sim));
	memset(v2m_memory, 0, sizeof(v2m_memory));
	memset(memory, 0, sizeof(memory));
	memset(twin, 0, sizeof(twin));
	sim.mode = mode;
	for (uint32_t i = 0; i < HOMES; i++) {
		sim.frame[i] = mfn(i);
		sim.access[i] = MEM_ACCESS_ALL;
		sim.frame_used[i] = true;
	}
	sim.paging = (struct guest_paging){ .cr0 = MMU_CR0_PG | MMU_CR0_WP | 1 };
	sim.paging.cr4 = MMU_CR4_PSE | (draw() & 1 ? MMU_CR4_SMEP : 0) | (draw() & 1 ? MMU_CR4_SMAP : 0) |
			 (draw() & 3 ? 1u << 7 : 0) | (mode >= PAE ? MMU_CR4_PAE : 0) | (mode == FIVE_LEVEL ? MMU_CR4_LA57 : 0);
	if (with_pcids)
		sim.paging.cr4 |= MMU_CR4_PCIDE;
	sim.paging.efer = (draw() & 7 ? MMU_EFER_NXE : 0) | (is_long() ? MMU_EFER_LMA : 0);
	choose_places();
	make_roots();
	sim.paging.cr3 = sim.root[0];
	sim.v2m = v2m_make(v2m_memory, v2m_bytes, V2M_MACHINE, &port, &cpu);
	sim.v2m->wake = 1 + (uint32_t)(draw() % (one_in(2) ? 8 : 64)); /* these tables have few entries */
	v2m_start(sim.v2m, &sim.paging, kept);
	flush_if_due();
	note_all();
}

/* The portion comes to be all, or ends before LOCKED_FROM again. */
static void change_portion(void)
{
	unlink_all();
	sim.has_portion = !sim.has_portion;
	if (!sim.has_portion)
		return;
	end_move();
	bring_home();
	bool is_identity = true;
	for (uint32_t i = 0; i < HOMES; i++)
		is_identity &= !is_locked(NULL, gfn(i)) || (sim.frame[i].n == i && sim.access[i] == MEM_ACCESS_ALL);
	sim.has_portion = is_identity;
}

static void act(void)
{
	uint64_t linear = sim.place[draw() % PLACES];

	if (sim.may_have_portion && one_in(30)) {
		leave_tables_alone();
		for (uint32_t i = 0; i < PLACES; i++)
			if (one_in(8))
				take_out_for_a_while(sim.place[i]);
	}
	if (sim.may_have_portion && one_in(300))
		change_portion();
	switch (draw() % 16) {
	case 0: case 1: case 10:
		map(linear);
		note_all();
		break;
	case 2:
		change_leaf(linear);
		note_all();
		break;
	case 3:
		load_cr3(one_in(3) ? sim.root[draw() % ROOTS] : sim.paging.cr3);
		break;
	case 4:
		invalidate(linear);
		break;
	case 5:
		begin_move();
		break;
	case 6:
		flush_move();
		break;
	case 7:
		end_move();
		break;
	case 8:
		if (one_in(4))
			free_table(linear);
		break;
	case 9:
		if (one_in(60) && !sim.moving_count)
			bring_home();
		break;
	default:
		random_access();
	}
	for (uint32_t i = 0; i < PLACES; i++)
		if (sim.history_count[i] > HISTORY / 2)
			invalidate(sim.place[i]);
	assert_true(sim.v2m->used <= sim.v2m->page_count);
	check_guarded();
}

/* All given back: nothing is left but zeroes. */
static void stop(void)
{
	v2m_stop(sim.v2m);
	assert_int_equal(sim.v2m->used + sim.v2m->link_count, 0);
	for (uint64_t i = 0; i < (uint64_t)sim.v2m->page_count * PAGE_SIZE; i++)
		assert_int_equal(v2m_memory[i], 0);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void run(enum mode mode, bool keeps)
{
	uint64_t first = from_environment("SEED", 1), steps = from_environment("STEPS", STEPS);
	uint64_t loads = 0, evictions = 0, accesses = 0, faults = 0, moves = 0, linked = 0, made = 0, broken = 0, wakes = 0;

	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		state = seed * 1000 + mode * 10 + keeps;
		/* Few tables, so that they are given up all the time; and enough. */
		start(mode, keeps ? V2M_KEPT_SHADOW : seed % 4 < 2 ? 24 : V2M_KEPT_VTLB, seed % 2 ? KIB(8) + (keeps ? 20u : 9u) * 8800ull : KIB(768));
		sim.may_have_portion = sim.has_portion = seed % 3 == 0;
		for (uint64_t i = 0; i < steps; i++)
			act();
		end_move();
		loads += sim.v2m->count.loads + sim.v2m->count.copied;
		linked += sim.linked_accesses;
		made += sim.v2m->count.links_made;
		wakes += sim.v2m->count.wakes;
		broken += sim.broken;
		evictions += sim.v2m->count.evictions;
		accesses += sim.accesses;
		faults += sim.faults;
		moves += sim.moves;
		stop();
	}
	printf("mode %u, %s: %lu accesses, %lu faults, %lu moves; %lu loads, %lu evictions, %lu wakes; %lu links, %lu accesses by them, %lu broken\n", mode,
	       keeps ? "shadow" : "vtlb", accesses, faults, moves, loads, evictions, wakes, made, linked, broken);
	assert_true(wakes > 0);
	assert_int_equal(made > 0 && linked > 0 && broken > 0, keeps && mode != TWO_LEVEL);
	assert_true(loads > accesses / 4 && evictions > 0 && accesses > faults + faults / 4 && moves > accesses / 20);
}

static void move_page(uint64_t page, uint64_t to)
{
	sim.moving_count = 1;
	sim.moving[0] = gfn(page);
	sim.from[0] = sim.frame[page];
	sim.to[0] = mfn(to);
	sim.frame_used[to] = sim.leaf[page / 512] = true;
	sim.access[page] = MEM_ACCESS_NONE;
	end_move();
	sim.access[page] = MEM_ACCESS_ALL;
}

/* Tables down to the lowest for user page 5, with all rights. `slot` is where its entry stands. */
static void start_with_way(enum mode mode, uint64_t linear, uint64_t slot[5])
{
	uint64_t entry[5];

	start(mode, V2M_KEPT_SHADOW, KIB(768));
	sim.place[0] = linear;
	do
		map(linear);
	while (way(linear, slot, entry) != levels());
	for (uint32_t i = sim.mode == PAE ? 1 : 0; i + 1 < levels(); i++)
		store(slot[i], entry[i] | PTE_W | PTE_U);
}

/* Away and back: what is kept has been inspected. */
static void come_back(void)
{
	load_cr3(sim.root[1]);
	load_cr3(sim.root[0]);
}

/*
 * One page lies in the home of another. The OS unmaps it and maps the other in its place: its entry now reads as V2M's did all the time, and
 * means another frame.
 */
static void test_home_of_another(void **unused)
{
	const uint64_t page = TABLES + 6, other = TABLES + 5, flags = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	const struct guest_access access = { .linear = 0x5000, .user = true };

	(void)unused;
	for (enum mode mode = TWO_LEVEL; mode < MODES; mode++) {
		uint64_t slot[5];
		start_with_way(mode, access.linear, slot);
		uint32_t last = levels() - 1;
		move_page(other, HOMES);
		move_page(page, other);
		store(slot[last], page << PAGE_SHIFT | flags);
		load_cr3(sim.paging.cr3);
		make_access(&access);
		store(slot[last], other << PAGE_SHIFT | flags);
		come_back();
		make_access(&access);
		assert_int_equal(sim.tlb[place_of(access.linear)].what.physical >> PAGE_SHIFT, HOMES);
		stop();
	}
}

/* The same with a page so high (16 TiB) that its number has more than 32 bits. */
static void test_home_below_16_tib(void **unused)
{
	const uint64_t page = TABLES + 6, flags = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	const struct guest_access access = { .linear = 0x5000, .user = true };

	(void)unused;
	for (enum mode mode = PAE; mode < MODES; mode++) {
		uint64_t slot[5];
		start_with_way(mode, access.linear, slot);
		uint32_t last = levels() - 1;
		move_page(page, HOMES);
		store(slot[last], 1ull << 44 | page << PAGE_SHIFT | flags);
		load_cr3(sim.paging.cr3);
		make_access(&access);
		store(slot[last], page << PAGE_SHIFT | flags);
		come_back();
		make_access(&access);
		assert_int_equal(sim.tlb[place_of(access.linear)].what.physical >> PAGE_SHIFT, HOMES);
		stop();
	}
}

/* Loaded along with a neighbour, and not used. The OS takes back its accessed bit: after the flush an access sets it again. */
static void test_accessed_of_a_neighbour(void **unused)
{
	const struct guest_access access = { .linear = 0x5000, .user = true }, neighbour = { .linear = 0x6000, .user = true };
	const uint64_t page = TABLES + 6, flags = PTE_P | PTE_W | PTE_U | PTE_D;

	(void)unused;
	for (enum mode mode = TWO_LEVEL; mode < MODES; mode++) {
		uint64_t slot[5];
		start_with_way(mode, access.linear, slot);
		sim.place[1] = neighbour.linear;
		uint64_t here = slot[levels() - 1], there = here + entry_bytes();
		store(here, page << PAGE_SHIFT | flags | PTE_A);
		store(there, (page + 1) << PAGE_SHIFT | flags | PTE_A);
		load_cr3(sim.paging.cr3);
		make_access(&access);
		store(there, (page + 1) << PAGE_SHIFT | flags);
		come_back();
		make_access(&neighbour);
		assert_true(read_twin(there, entry_bytes()) & PTE_A);
		stop();
	}
}

/*
 * What the CPU does not use is not inspected, and not seen by it; when it misses there, it finds what the OS's tables and the map say by then, and
 * nothing of what has been forgotten meanwhile.
 */
static void test_asleep(void **unused)
{
	const struct guest_access access = { .linear = 0x5000, .user = true }, neighbour = { .linear = 0x6000, .user = true };
	const uint64_t page = TABLES + 6, flags = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D, found[] = { page + 2, FRAMES - 1, page + 1 };
	uint64_t machine;

	(void)unused;
	for (uint32_t i = 0; i < 3u * MODES; i++) {
		uint64_t slot[5];
		start_with_way((enum mode)(i % MODES), access.linear, slot);
		sim.v2m->wake = 4;
		sim.place[1] = neighbour.linear;
		uint64_t here = slot[levels() - 1], there = here + entry_bytes();
		store(here, page << PAGE_SHIFT | flags);
		store(there, (page + 1) << PAGE_SHIFT | flags);
		load_cr3(sim.paging.cr3);
		make_access(&access);
		make_access(&neighbour);
		assert_true(v2m_find(sim.v2m, access.linear, &machine));
		uint64_t synced = sim.v2m->count.synced;
		for (uint32_t j = 0; j < 4; j++)
			load_cr3(sim.paging.cr3);
		assert_int_equal(sim.v2m->count.synced - synced, 4); /* two: after they were used, and once in vain */
		assert_false(v2m_find(sim.v2m, access.linear, &machine));

		if (i / MODES == 0) {
			store(there, (page + 2) << PAGE_SHIFT | flags);
			load_cr3(sim.paging.cr3);
		} else if (i / MODES == 1) {
			move_page(page + 1, FRAMES - 1);
		} else {
			invalidate(neighbour.linear);
		}
		make_access(&access);
		assert_int_equal(sim.v2m->count.wakes, 1);
		assert_true(v2m_find(sim.v2m, neighbour.linear, &machine));
		assert_int_equal(machine >> PAGE_SHIFT, found[i / MODES]);
		make_access(&neighbour);
		assert_int_equal(sim.faults, 0);
		stop();
	}
}

/* Outside long mode bits 52-62 are reserved in PAE's entries; they are not part of V2M's, whatever they say. */
static void test_reserved_above(void **unused)
{
	const struct guest_access access = { .linear = 0x5000, .user = true };
	const uint64_t entry = (TABLES + 6ull) << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;

	(void)unused;
	for (enum mode mode = PAE; mode < MODES; mode++)
		for (uint32_t bit = 52; bit < 63; bit++) {
			uint64_t slot[5];
			start_with_way(mode, access.linear, slot);
			store(slot[levels() - 1], entry);
			load_cr3(sim.paging.cr3);
			make_access(&access);
			store(slot[levels() - 1], entry | 1ull << bit);
			come_back();
			make_access(&access);
			assert_int_equal(sim.faults, mode == PAE);
			stop();
		}
}

/* --- links, one thing at a time --- */

#define ALL_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define FIRST 0x5000ull
#define CLEAN 0x6000ull /* in the same table, not used yet */
#define SECOND ((1ull << 30) + 0x5000)

/* The OS maps `linear` in an entry of `level`; tables that are missing are made. Returns the address of that entry. */
static uint64_t map_to(uint64_t linear, uint32_t level, uint64_t page)
{
	uint64_t table = sim.paging.cr3 & PTE_ADDRESS;

	for (uint32_t at = levels(); at > level; at--) {
		uint64_t slot = slot_of(table, linear, at), entry = read_twin(slot, 8);
		if (!(entry & PTE_P)) {
			entry = new_table(at - 1) | (sim.mode == PAE && at == 3 ? PTE_P : PTE_P | PTE_W | PTE_U | PTE_A);
			store(slot, entry);
		}
		table = entry & PTE_ADDRESS;
	}
	store(slot_of(table, linear, level), page << PAGE_SHIFT | ALL_RIGHTS | (level == 2 ? PTE_LARGE : 0));
	note_all();
	return slot_of(table, linear, level);
}

static void use(uint64_t linear, bool write)
{
	const struct guest_access access = { .linear = linear, .user = true, .write = write };

	make_access(&access);
	check_guarded();
}

static void come_back_often(void)
{
	for (uint32_t i = 0; i < 3 * SPELL; i++) {
		load_cr3(sim.paging.cr3);
		use(FIRST, false);
	}
}

static bool is_linked(gfn_t table)
{
	uint64_t machine;

	for (uint32_t i = 0; i < V2M_LINKS; i++)
		if (sim.links.link[i].word == (table.n << PAGE_SHIFT | V2M_LINK_GUARDED | V2M_LINK_LINKABLE))
			return sim.v2m->link_count > 0 && v2m_find(sim.v2m, FIRST, &machine);
	return false;
}

/* FIRST and CLEAN lead to locked pages by a table that is linked when this returns. */
static gfn_t start_linked(enum mode mode)
{
	start(mode, V2M_KEPT_SHADOW, KIB(768));
	sim.has_portion = true;
	sim.place[0] = FIRST;
	sim.place[1] = SECOND;
	sim.place[2] = CLEAN;
	gfn_t table = gfn_of_address(map_to(FIRST, 1, LOCKED_FROM));
	store(slot_of(table.n << PAGE_SHIFT, CLEAN, 1), (LOCKED_FROM + 2) << PAGE_SHIFT | (ALL_RIGHTS & ~(PTE_A | PTE_D)));
	use(FIRST, false);
	come_back_often();
	assert_true(is_linked(table));
	use(FIRST, true);
	assert_true(sim.linked_accesses > 0);
	return table;
}

static const enum mode linking[] = { PAE, FOUR_LEVEL, FIVE_LEVEL };

/*
 * Two pages of one table, outside of the portion, the second used at every `distance`th load of CR3 only, and, where `is_clean`, never written. Returns how many entries inspection has found changed;
 * the table has to be linked in time.
 */
static uint64_t use_seldom(uint32_t distance, bool is_clean)
{
	const uint64_t far = FIRST + (32ull << PAGE_SHIFT); /* no neighbour that is loaded along */
	bool linked = false;

	start(FOUR_LEVEL, V2M_KEPT_SHADOW, KIB(768));
	sim.v2m->wake = 8;
	sim.has_portion = true;
	sim.place[0] = FIRST;
	sim.place[1] = far;
	gfn_t table = gfn_of_address(map_to(FIRST, 1, LOCKED_FROM));
	store(map_to(far, 1, LOCKED_FROM + 2), (LOCKED_FROM + 2) << PAGE_SHIFT | (ALL_RIGHTS & ~(is_clean ? PTE_D : 0)));
	note_all();
	for (uint32_t i = 0; i < 10 * SPELL && !linked; i++) {
		load_cr3(sim.paging.cr3);
		use(FIRST, false);
		if (i % distance == 0)
			use(far, false);
		linked = is_linked(table);
	}
	assert_true(linked);
	uint64_t changes = sim.v2m->changes;
	unlink_all();
	stop();
	return changes;
}

/* That the CPU does not use an entry is no change of the OS's: a table comes to be linked all the same. */
static void test_seldom_used(void **unused)
{
	(void)unused;
	for (uint32_t distance = 1; distance <= 20; distance++)
		assert_int_equal(use_seldom(distance, distance % 2), 0);
}

/* In the upper half, and not global: what was loaded along with a neighbour and never used is inspected once. */
static void test_upper_neighbours(void **unused)
{
	const uint64_t upper = 0xffff800000004000ull;

	(void)unused;
	start(FOUR_LEVEL, V2M_KEPT_SHADOW, KIB(768));
	sim.place[0] = upper;
	uint64_t slot = map_to(upper, 1, TABLES + 10);
	for (uint32_t i = 0; i < 12; i++)
		store(slot + i * 8ull, (TABLES + 10ull + i) << PAGE_SHIFT | ALL_RIGHTS);
	note_all();
	use(upper, true);
	for (uint32_t i = 0; i < SPELL; i++) {
		uint64_t synced = sim.v2m->count.synced;
		load_cr3(sim.paging.cr3);
		assert_int_equal(sim.v2m->count.synced - synced, 1);
		use(upper, true);
	}
	stop();
}

/* The page that holds a linked table is mapped, by itself or as part of a large page: nobody can write it before the link is gone. */
static void test_link_is_guarded(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 6; i++) {
		gfn_t table = start_linked(linking[i / 2]);
		uint32_t level = 1 + i % 2;
		sim.place[1] = level == 1 ? SECOND : (1ull << 30) + (table.n << PAGE_SHIFT);
		map_to(sim.place[1], level, level == 1 ? table.n : 0);
		use(sim.place[1], false);
		assert_true(is_linked(table));
		use(sim.place[1], true);
		assert_false(v2m_links_is_guarded(&sim.links, table));
		use(FIRST, true);
		stop();
	}
}

/* The same mapping was there, and used, before the table became guarded: it may be written no more. */
static void test_guard_takes_rights(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t level = 1 + i % 2;
		start(linking[i / 2], V2M_KEPT_SHADOW, KIB(768));
		sim.has_portion = true;
		sim.place[0] = FIRST;
		gfn_t table = gfn_of_address(map_to(FIRST, 1, LOCKED_FROM));
		sim.place[1] = level == 1 ? SECOND : (1ull << 30) + (table.n << PAGE_SHIFT);
		map_to(sim.place[1], level, level == 1 ? table.n : 0);
		/* A neighbour in the portion: the table with that mapping is none to be linked. */
		sim.place[2] = SECOND + 0x1000;
		if (level == 1)
			map_to(sim.place[2], 1, TABLES + 1);
		use(FIRST, false);
		use(sim.place[1], true);
		come_back_often();
		check_guarded();
		assert_true(is_linked(table));
		use(sim.place[1], true);
		assert_false(v2m_links_is_guarded(&sim.links, table));
		stop();
	}
}

/* A large entry is of a chunk that is all at home: it goes with the first page that leaves. */
static void test_large_goes(void **unused)
{
	const uint64_t large = 1ull << 30, first = 3 * 512, pages = 4;
	uint64_t machine;

	(void)unused;
	for (uint32_t i = 0; i < 6; i++) {
		start(linking[i / 2], i % 2 ? V2M_KEPT_SHADOW : V2M_KEPT_VTLB, KIB(768));
		for (uint64_t page = 0; page < pages; page++)
			sim.place[page] = large + (page << PAGE_SHIFT);
		map_to(large, 2, first);
		use(large, true);
		assert_true(v2m_find(sim.v2m, large + (511ull << PAGE_SHIFT), &machine));
		for (uint64_t page = pages; page-- > 0;) {
			move_page(first + page, HOMES + page);
			assert_false(v2m_find(sim.v2m, sim.place[page], &machine));
			for (uint64_t other = 0; other < pages; other++) {
				use(sim.place[other], true);
				assert_int_equal(sim.tlb[other].what.physical >> PAGE_SHIFT, other < page ? first + other : HOMES + other);
			}
		}
		stop();
	}
}

/* A linked table that leads to another one, with all rights: that one is not linked any more. */
static void test_linked_leads_to_table(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 3; i++) {
		start(linking[i], V2M_KEPT_SHADOW, KIB(768));
		sim.has_portion = true;
		sim.place[0] = FIRST;
		sim.place[1] = SECOND;
		gfn_t other = gfn_of_address(map_to(SECOND, 1, LOCKED_FROM));
		gfn_t table = gfn_of_address(map_to(FIRST, 1, other.n));
		use(FIRST, true);
		come_back_often();
		assert_true(is_linked(table));
		use(SECOND, true);
		come_back_often();
		assert_true(is_linked(table) && !v2m_links_is_guarded(&sim.links, other));
		use(SECOND, true);
		use(FIRST, true);
		stop();
	}
}

/* The OS leads elsewhere, or takes the accessed bit of the entry above, and loads CR3. Then it frees the table and uses it for another. */
static void test_link_is_left(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 6; i++) {
		gfn_t table = start_linked(linking[i / 2]);
		uint64_t slot[5], entry[5], machine;
		uint32_t above = way(FIRST, slot, entry) - 2;
		if (i % 2) {
			store(slot[above], entry[above] & ~PTE_A);
		} else {
			store(slot[above], 0);
			map_to(FIRST, 1, LOCKED_FROM + 1);
		}
		load_cr3(sim.paging.cr3);
		assert_true(!v2m_find(sim.v2m, FIRST, &machine));
		use(FIRST, true);
		store(table.n << PAGE_SHIFT, 0);
		assert_false(v2m_links_is_guarded(&sim.links, table));
		use(FIRST, true);
		stop();
	}
}

/*
 * The OS has taken the table out, and not flushed: the CPU may walk it, and sets bits in it. After INVLPG, of whatever address, nobody does:
 * the OS may have the table for free by then.
 */
static void test_link_is_stale(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 6; i++) {
		gfn_t table = start_linked(linking[i / 2]);
		uint64_t slot[5], entry[5], clean = slot_of(table.n << PAGE_SHIFT, CLEAN, 1);
		bool flushes = i % 2;
		store(slot[way(FIRST, slot, entry) - 2], 0);
		note_all();
		if (flushes)
			invalidate(SECOND);
		use(CLEAN, true);
		assert_int_equal(sim.faults, flushes);
		assert_int_equal(read_twin(clean, 8) & (PTE_A | PTE_D), flushes ? 0 : PTE_A | PTE_D);
		assert_true(v2m_links_is_guarded(&sim.links, table));
		stop();
	}
}

/*
 * The same under a PCID that is not current, by each type of INVPCID and by none: the OS comes back to it by a load of CR3 that flushes nothing.
 */
static void test_link_of_another_pcid(void **unused)
{
	(void)unused;
	with_pcids = true;
	for (uint32_t type = 0; type <= V2M_INVPCID_TYPES; type++) {
		gfn_t table = start_linked(FOUR_LEVEL);
		uint64_t slot[5], entry[5], clean = slot_of(table.n << PAGE_SHIFT, CLEAN, 1);
		bool flushes = type < V2M_INVPCID_TYPES;
		uint32_t above = way(FIRST, slot, entry) - 2;
		v2m_load_cr3(sim.v2m, sim.root[1] | 1);
		store(slot[above], 0);
		if (flushes)
			v2m_invpcid(sim.v2m, (enum v2m_invpcid)type, 0, FIRST);
		v2m_load_cr3(sim.v2m, sim.root[0] | 1ull << 63);
		flush_if_due();
		use(CLEAN, true);
		assert_int_equal(sim.faults, flushes);
		assert_int_equal(read_twin(clean, 8) & (PTE_A | PTE_D), flushes ? 0 : PTE_A | PTE_D);
		assert_true(v2m_links_is_guarded(&sim.links, table));
		stop();
	}
	with_pcids = false;
}

/* The portion grows. */
static void test_portion_grows(void **unused)
{
	(void)unused;
	gfn_t table = start_linked(FOUR_LEVEL);
	unlink_all();
	sim.has_portion = false;
	move_page(LOCKED_FROM, HOMES);
	use(FIRST, true);
	assert_int_equal(sim.tlb[0].what.physical >> PAGE_SHIFT, HOMES);
	come_back_often();
	assert_false(v2m_links_is_guarded(&sim.links, table));
	stop();
}

static void test_shadow_two_level(void **s) { (void)s; run(TWO_LEVEL, true); }
static void test_shadow_pae(void **s) { (void)s; run(PAE, true); }
static void test_shadow_four_level(void **s) { (void)s; run(FOUR_LEVEL, true); }
static void test_shadow_five_level(void **s) { (void)s; run(FIVE_LEVEL, true); }
static void test_vtlb_two_level(void **s) { (void)s; run(TWO_LEVEL, false); }
static void test_vtlb_pae(void **s) { (void)s; run(PAE, false); }
static void test_vtlb_four_level(void **s) { (void)s; run(FOUR_LEVEL, false); }
static void test_vtlb_five_level(void **s) { (void)s; run(FIVE_LEVEL, false); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_home_of_another), cmocka_unit_test(test_home_below_16_tib),
		cmocka_unit_test(test_accessed_of_a_neighbour), cmocka_unit_test(test_asleep), cmocka_unit_test(test_seldom_used), cmocka_unit_test(test_upper_neighbours), cmocka_unit_test(test_reserved_above),
		cmocka_unit_test(test_large_goes), cmocka_unit_test(test_link_is_guarded), cmocka_unit_test(test_guard_takes_rights),
		cmocka_unit_test(test_linked_leads_to_table), cmocka_unit_test(test_link_is_left), cmocka_unit_test(test_link_is_stale), cmocka_unit_test(test_link_of_another_pcid),
		cmocka_unit_test(test_portion_grows),
		cmocka_unit_test(test_shadow_two_level), cmocka_unit_test(test_shadow_pae),
		cmocka_unit_test(test_shadow_four_level), cmocka_unit_test(test_shadow_five_level),
		cmocka_unit_test(test_vtlb_two_level), cmocka_unit_test(test_vtlb_pae), cmocka_unit_test(test_vtlb_four_level),
		cmocka_unit_test(test_vtlb_five_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
