/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the search for equal pages. A hash only makes candidates; what decides is a comparison while nobody can write:
 *
 *   both absent, flush        nobody reads or writes either from here on
 *   compare
 *   equal                     both present, read-only, in the partner's frame; the other frame is free
 *   not equal                 both as they were
 *
 * A frame that many share is left alone after some hundred: who leaves it, or asks who is there, has to pass them all. Another frame
 * with the same contents gathers the next.
 *
 * Absent rather than read-only: one flush does for the comparison and for the frame that becomes free, and a back-end
 * may split a large entry between absent and present, as for any move.
 */
#include "mem/share.h"

#include "mem/batch.h"
#include "mem/reverse.h"

#define PROBES 8u

void mem_share_start(struct mem_share *share, gfn_t first, gfn_t last, uint64_t *slots, uint64_t slot_count)
{
	share->next = first;
	share->last = last;
	share->slot = slots;
	share->slot_mask = slot_count - 1;
	share->shared = 0;
	share->count = 0;
}

static bool is_candidate(const struct mem *mem, gfn_t page)
{
	return mem_may_share(mem, page) && p2m_entry_access(p2m_entry(mem, page)) != MEM_ACCESS_NONE;
}

/* Absent by this very step, waiting for others to share its frame. */
static bool is_partner(const struct mem_share *share, gfn_t page)
{
	for (uint32_t i = 0; i < share->count; i++)
		if (share->pair[i].partner.n == page.n)
			return true;
	return false;
}

/* A page that seems to have the same contents and another frame. Else the page takes a slot itself. */
static bool find_partner(struct mem *mem, struct mem_share *share, gfn_t page, gfn_t *partner)
{
	mfn_t frame = p2m_entry_frame(p2m_entry(mem, page));
	uint64_t hash = mem->config.port->hash(mem->config.port_context, frame);
	uint64_t *empty = &share->slot[hash & share->slot_mask];

	for (uint32_t i = 0; i < PROBES; i++) {
		uint64_t *slot = &share->slot[(hash + i) & share->slot_mask];

		*partner = gfn((*slot & UINT32_MAX) - 1);
		if (*slot == 0) {
			empty = slot;
			break;
		}
		if (*slot >> 32 != hash >> 32)
			continue;
		if (!is_candidate(mem, *partner) && !is_partner(share, *partner))
			continue;

		mfn_t other = p2m_entry_frame(p2m_entry(mem, *partner));

		if (other.n == frame.n)
			return false;
		if (mem->reverse->is_crowded(mem, other)) {
			empty = slot; /* others gather around this page from now on */
			break;
		}
		if (mem->config.port->equal(mem->config.port_context, frame, other))
			return true;
	}
	*empty = (hash >> 32) << 32 | (page.n + 1);
	return false;
}

/* Tables for both, before anything changes. */
static bool prepare_pair(struct mem *mem, gfn_t page, gfn_t partner, mfn_t to)
{
	return batch_prepare(mem, partner, to) && batch_prepare(mem, page, to);
}

static void add_pair(struct mem *mem, struct mem_share *share, gfn_t page, gfn_t partner)
{
	uint64_t entry = p2m_entry(mem, partner);
	struct share_pair *pair = &share->pair[share->count];
	bool first = !is_partner(share, partner);

	pair->page = page;
	pair->partner = partner;
	pair->from = p2m_entry_frame(p2m_entry(mem, page));
	pair->to = p2m_entry_frame(entry);
	pair->access = first ? p2m_entry_access(entry) : MEM_ACCESS_NONE;
	pair->equal = false;
	if (!prepare_pair(mem, page, partner, pair->to)) {
		if (first && batch_tidy(mem, partner))
			batch_flush(mem);
		return;
	}
	if (!mfn_is_home(page, pair->to))
		mem->reverse->hold(mem, pair->to);
	batch_set(mem, page, pair->from, MEM_ACCESS_NONE);
	if (first)
		batch_set(mem, partner, pair->to, MEM_ACCESS_NONE);
	share->count++;
}

static void look_at(struct mem *mem, struct mem_share *share, gfn_t page)
{
	gfn_t partner;

	/* A page that shares already is found by others, and moves no more. */
	if (!is_candidate(mem, page))
		return;
	if (find_partner(mem, share, page, &partner) && p2m_entry_access(p2m_entry(mem, page)) == MEM_ACCESS_ALL)
		add_pair(mem, share, page, partner);
}

static void join(struct mem *mem, const struct share_pair *pair)
{
	mem->reverse->leave(mem, pair->page, pair->from);
	mem->reverse->enter(mem, pair->page, pair->to);
	batch_set(mem, pair->page, pair->to, MEM_ACCESS_READ);
	mem->saved++;
	frames_free(mem, pair->from);
}

/* Nobody can reach either frame. */
static void settle_pair(struct mem *mem, struct mem_share *share, struct share_pair *pair)
{
	if (!mfn_is_home(pair->page, pair->to))
		mem->reverse->unhold(mem, pair->to);
	pair->equal = mem->config.port->equal(mem->config.port_context, pair->from, pair->to);
	share->shared += pair->equal;
	if (pair->equal)
		join(mem, pair);
	else
		batch_set(mem, pair->page, pair->from, MEM_ACCESS_ALL);
}

/* The partner as it was, or read-only where somebody has come to share with it. */
static void settle_partner(struct mem *mem, const struct mem_share *share, const struct share_pair *pair)
{
	enum mem_access access = pair->access;

	if (access == MEM_ACCESS_NONE)
		return; /* another pair's to settle */
	for (uint32_t i = 0; i < share->count; i++)
		if (share->pair[i].equal && share->pair[i].partner.n == pair->partner.n)
			access = MEM_ACCESS_READ;
	batch_set(mem, pair->partner, pair->to, access);
}

static void apply(struct mem *mem, struct mem_share *share)
{
	bool released = false;

	batch_flush(mem);
	for (uint32_t i = 0; i < share->count; i++)
		settle_pair(mem, share, &share->pair[i]);
	for (uint32_t i = 0; i < share->count; i++)
		settle_partner(mem, share, &share->pair[i]);
	for (uint32_t i = 0; i < share->count; i++) {
		released |= batch_tidy(mem, share->pair[i].partner);
		released |= batch_tidy(mem, share->pair[i].page);
		mem->reverse->tidy(mem, share->pair[i].from.n >> P2M_CHUNK_SHIFT);
		mem->reverse->tidy(mem, share->pair[i].to.n >> P2M_CHUNK_SHIFT);
	}
	if (released)
		batch_flush(mem);
}

enum mem_step mem_share_step(struct mem *mem, struct mem_share *share, uint32_t limit)
{
	if (mem->remap.active)
		return MEM_STEP_WAIT;
	if (mem->free_frames <= mem->saved) /* invariant 6 */
		return MEM_STEP_NO_FRAME;
	share->count = 0;
	for (; limit > 0 && share->next.n < share->last.n && share->count < SHARE_PAIRS; limit--) {
		look_at(mem, share, share->next);
		share->next.n++;
	}
	if (share->count > 0)
		apply(mem, share);
	return share->next.n < share->last.n ? MEM_STEP_AGAIN : MEM_STEP_DONE;
}
