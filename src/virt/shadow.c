/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the notes of pages that become absent. The engine makes pages absent under the machine lock and flushes before it lets the lock
 * go; each CPU, when it serves that flush, forgets in its own V2M what was noted (its tables are its own: nobody else could). A CPU
 * loads an entry by what the map says while it has not served the flush yet, so it either sees the page absent or forgets it then.
 *
 * Owns the book of links (xlat/v2m_links.h). There are links only while every CPU in the OS translates by V2M tables, which is what guards the linked
 * tables: a CPU that is about to leave them has all links taken away first (shadow_step_aside(), shadow_unlink_all()).
 */
#include "virt/shadow.h"

#include "mem/p2m.h"
#include "virt/guest_memory.h"
#include "virt/kick.h"
#include "virt/moving.h"
#include "virt/vendor.h"

#define NOTES_MAX (2u * SCRIM_BATCH_MAX) /* a batch, each move with a rider */

static struct {
	bool active, overflow;
	uint32_t count;
	struct v2m_gone *note; /* NOTES_MAX */
	struct v2m_links *links;
} shadow;

_Static_assert(NOTES_MAX >= V2M_LINKS, "all links may be taken away at once");

static bool is_whole(void *context, gfn_t page)
{
	uint64_t chunk = p2m_chunk(page);

	(void)context;
	if (watch_is_on(&machine.watch) && !watch_is_chunk_open(&machine.watch, chunk))
		return false;
	return chunk >= machine.mem.chunk_count || !__atomic_load_n(&machine.mem.root[chunk].leaf, __ATOMIC_ACQUIRE);
}

static bool is_locked(void *context, gfn_t page)
{
	const struct range *range = ranges_find(&machine.mem.managed, page.n << PAGE_SHIFT);

	(void)context;
	/* A watch is over all RAM: nobody may come by the map then. */
	return (!range || range->type != RANGE_RAM) && !watch_is_on(&machine.watch);
}

static bool is_ram(void *context, gfn_t page)
{
	(void)context;
	return mem_is_ram(&machine.mem, page);
}

static struct v2m_port port;

uint64_t shadow_cpu_bytes(uint64_t option_bytes)
{
	return v2m_tables(option_bytes) < SHADOW_TABLES_MIN ? 0 : option_bytes;
}

uint64_t shadow_shared_bytes(void)
{
	return align_up(NOTES_MAX * sizeof(struct v2m_gone) + sizeof(struct v2m_links), PAGE_SIZE);
}

void shadow_init(void *shared)
{
	shadow.note = shared;
	shadow.links = (struct v2m_links *)(void *)(shadow.note + NOTES_MAX);
	port = (struct v2m_port){ .guest = { .page = guest_memory_page }, .frame = guest_memory_frame, .is_whole = is_whole, .is_locked = is_locked,
				  .is_ram = is_ram, .links = shadow.links };
}

void shadow_give_memory(struct cpu *cpu, void *memory, uint64_t bytes)
{
	const struct guest_cpu as = { .address_bits = machine.xlat.address_bits, .is_tcg = machine.is_tcg };

	cpu->v2m = v2m_make(memory, bytes, (uint64_t)(uintptr_t)memory, &port, &as);
	cpu->v2m->number = cpu->index;
}

bool shadow_is_possible(void)
{
	return machine.cpu[0].v2m;
}

void shadow_begin(void)
{
	shadow.active = true;
}

void shadow_end(void)
{
	shadow.active = false;
}

void shadow_note(gfn_t page, mfn_t frame)
{
	if (!shadow.active)
		return;
	if (shadow.count == NOTES_MAX)
		shadow.overflow = true;
	else
		shadow.note[shadow.count++] = (struct v2m_gone){ page, frame };
}

void shadow_note_all(void)
{
	shadow.overflow = shadow.active;
}

void shadow_note_moves(const struct mem_move *move, uint32_t count)
{
	struct v2m_gone *note = shadow.note + shadow.count;

	if (!shadow.active)
		return;
	if (count > NOTES_MAX - shadow.count) {
		shadow.overflow = true;
		return;
	}
	for (const struct mem_move *end = move + count; move < end; move++)
		*note++ = (struct v2m_gone){ move->page, move->from };
	shadow.count += count;
}

void shadow_notes_done(void)
{
	shadow.count = 0;
	shadow.overflow = false;
}

void shadow_forget_all(struct cpu *self)
{
	if (self->v2m && self->v2m->running)
		v2m_forget_all(self->v2m);
}

void shadow_forget_noted(struct cpu *self)
{
	if (!self->v2m || !self->v2m->running)
		return;
	if (shadow.overflow)
		v2m_forget_all(self->v2m);
	v2m_forget(self->v2m, shadow.note, shadow.count);
}

/* --- links --- */

/* What is noted those of `who` forget. */
static void tell(struct cpu *self, uint64_t who)
{
	shadow_forget_noted(self);
	machine.vendor->flush(self);
	kick_those(self, KICK_FLUSH, who);
	shadow_notes_done();
}

/* No CPU executes the OS's code but by V2M tables. */
static bool all_heed_links(void)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (machine.cpu[i].started && !__atomic_load_n(&machine.cpu[i].heeds_links, __ATOMIC_SEQ_CST))
			return false;
	return !machine.count.cpus_lost;
}

void shadow_link(struct cpu *self)
{
	gfn_t table[V2M_OFFERS];

	/* It can wait: what is due stays so. */
	if (!v2m_links_are_due(self->v2m) || !machine_try_lock())
		return;
	uint32_t count = v2m_links_guard(self->v2m, table);
	/* Guarded first, then the others looked at: shadow_step_aside() does it the other way about. */
	if (count && all_heed_links()) {
		for (uint32_t i = 0; i < count; i++)
			shadow_note(table[i], gfn_home(table[i]));
		tell(self, KICK_EVERYBODY);
		v2m_links_settle(self->v2m, table, count);
	} else {
		for (uint32_t i = 0; i < count; i++)
			v2m_links_free(shadow.links, table[i]);
	}
	machine_unlock();
}

/* This CPU writes a page that holds a linked table. */
static void unlink(struct cpu *self, gfn_t table)
{
	machine_lock(self);
	if (v2m_links_is_guarded(shadow.links, table)) {
		uint64_t holders = v2m_links_break(shadow.links, table, true);
		shadow_note(table, gfn_home(table));
		tell(self, holders);
		v2m_links_free(shadow.links, table);
	}
	machine_unlock();
}

void shadow_unlink_all(struct cpu *self)
{
	uint64_t holders = 0;
	gfn_t table;

	if (!shadow.links->guarded)
		return;
	for (uint32_t i = 0; i < V2M_LINKS; i++)
		if (v2m_links_at(shadow.links, i, &table)) {
			holders |= v2m_links_break(shadow.links, table, false);
			shadow_note(table, gfn_home(table));
		}
	tell(self, holders);
	for (uint32_t i = 0; i < V2M_LINKS; i++)
		if (v2m_links_at(shadow.links, i, &table))
			v2m_links_free(shadow.links, table);
}

void shadow_step_aside(struct cpu *self)
{
	__atomic_store_n(&self->heeds_links, false, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&shadow.links->guarded, __ATOMIC_SEQ_CST))
		return;
	machine_lock(self);
	shadow_unlink_all(self);
	machine_unlock();
}

/* --- */

enum v2m_outcome shadow_miss(struct cpu *self, const struct guest_access *access, struct v2m_answer *answer)
{
	enum v2m_outcome outcome = v2m_miss(self->v2m, access, answer);

	if (outcome == V2M_WAIT && answer->wait_write && v2m_links_is_guarded(shadow.links, answer->wait))
		unlink(self, answer->wait);
	else if (outcome == V2M_WAIT)
		moving_fault(self, answer->wait, answer->wait_write); /* beyond the map's end: the walk finds it out */
	return outcome;
}

struct shadow_figures shadow_figures(void)
{
	struct shadow_figures sum = { .links = shadow.links->count, .link_entries = shadow.links->entries, .links_broken = shadow.links->broken };

	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		const struct v2m *v2m = machine.cpu[i].v2m;
		if (!v2m)
			continue;
		sum.used += v2m->used;
		sum.bound += v2m->page_count;
		sum.count.loads += v2m->count.loads;
		sum.count.copied += v2m->count.copied;
		sum.count.evictions += v2m->count.evictions;
		sum.count.flushes += v2m->count.flushes;
		sum.count.synced += v2m->count.synced;
		sum.count.links_made += v2m->count.links_made;
		sum.count.links_met += v2m->count.links_met;
		sum.count.returns += v2m->count.returns;
		sum.count.wakes += v2m->count.wakes;
	}
	return sum;
}
