/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the search for equal pages. A digest only makes candidates; what decides is a comparison while nobody can write:
 *
 *   both absent, flush        nobody reads or writes either from here on
 *   compare
 *   equal                     both present, read-only, in the partner's frame; the other frame is free
 *   not equal                 both as they were
 *
 * Most pages differ from all others in a sample of a few words, and of those that do not, most are equal: so a page is not read further before it
 * is compared for good. A page that turns out to differ from the one with its sample is looked for once more, by a hash of all that it holds.
 *
 * Slots, a hash table of pages that others may come to share with; what does not find room among its neighbours takes another's place:
 *
 *   bits 0-29    page + 1; 0: empty
 *   bits 30-37   pages that its frame has gathered beside it; FULL: no more
 *   bits 38-63   the digest's highest bits
 *
 * A frame that many share is left alone: who leaves it, or asks who is there, has to pass them all. The next page with the same contents takes the
 * slot, and gathers others.
 *
 * Absent rather than read-only: one flush does for the comparison and for the frame that becomes free, and a back-end
 * may split a large entry between absent and present, as for any move.
 */
#include "mem/share.h"

#include "mem/batch.h"
#include "mem/reverse.h"

#define PROBES      8u
#define NUMBER_BITS 30u
#define NUMBER_MASK ((1ull << NUMBER_BITS) - 1)
#define ONE_MORE    (1ull << NUMBER_BITS)
#define FULL        (SHARE_CROWD - 1)
#define TAG_SHIFT   38u

_Static_assert(MEM_PAGES_MAX <= NUMBER_MASK, "page + 1 of a page that may be displaced");
_Static_assert(FULL <= (1u << (TAG_SHIFT - NUMBER_BITS)) - 1, "what a frame has gathered");

/* What pages are looked for by. */
enum digest { DIGEST_SAMPLE, DIGEST_WHOLE };

void mem_share_start(struct mem_share *share, gfn_t first, gfn_t last, uint64_t *slots, uint64_t slot_count)
{
	share->next = first;
	share->last = last;
	share->slot = slots;
	share->slot_mask = slot_count - 1;
	share->shared = 0;
	share->short_of_tables = false;
	share->tried = share->count = share->hashed = 0;
}

/* --- who may share --- */

static bool may_share(const struct mem *mem, const struct mem_share *share, gfn_t page)
{
	if (page.n >= share->run.first.n && page.n < share->run.end.n)
		return share->run.may_share;
	return mem_may_share(mem, page);
}

/* Without a leaf there would have to be new tables. */
static bool has_tables(const struct mem *mem, const struct mem_share *share, gfn_t page)
{
	return !share->short_of_tables || mem->root[p2m_chunk(page)].leaf;
}

/* The first pair of this step with this partner, which is absent by it and waits for others to share its frame. The latest are the likeliest. */
static bool find_first(const struct mem_share *share, gfn_t partner, uint32_t *first)
{
	for (uint32_t i = share->count; i-- > 0;)
		if (share->pair[i].partner.n == partner.n) {
			*first = share->pair[i].first;
			return true;
		}
	return false;
}

/* --- the slots --- */

static gfn_t slot_page(uint64_t slot) { return gfn((slot & NUMBER_MASK) - 1); }
static uint32_t slot_gathered(uint64_t slot) { return (uint32_t)(slot >> NUMBER_BITS) & FULL; }

static void take_slot(const struct mem *mem, uint64_t *slot, uint64_t digest, gfn_t page, uint64_t entry)
{
	uint64_t gathered = 0;

	if (p2m_entry_access(entry) == MEM_ACCESS_READ) /* by an earlier search */
		gathered = mem->reverse->crowd(mem, p2m_entry_frame(entry), FULL);
	*slot = digest >> TAG_SHIFT << TAG_SHIFT | gathered << NUMBER_BITS | (page.n + 1);
}

struct found {
	uint64_t *slot;
	gfn_t partner;
	uint64_t entry;  /* the partner's */
	bool is_pending; /* it is the partner of a pair of this step already: */
	uint32_t first;  /* that one */
};

/* The page in the slot is still one to share with. */
static bool is_partner(const struct mem *mem, const struct mem_share *share, struct found *found)
{
	found->partner = slot_page(*found->slot);
	if (!may_share(mem, share, found->partner) || !has_tables(mem, share, found->partner))
		return false;
	found->entry = p2m_entry(mem, found->partner);
	found->is_pending = p2m_entry_access(found->entry) == MEM_ACCESS_NONE;
	return !found->is_pending || find_first(share, found->partner, &found->first);
}

/*
 * A page with the same digest and another frame. Else the page takes a slot itself, unless its frame has one. That the partner has been written
 * since is seen by its sample; looked for as a whole, by the comparison: that is rare.
 */
static bool find_partner(struct mem *mem, struct mem_share *share, gfn_t page, uint64_t entry, enum digest by, struct found *found)
{
	const struct mem_port_ops *port = mem->config.port;
	void *context = mem->config.port_context;
	mfn_t frame = p2m_entry_frame(entry);
	uint64_t digest = by == DIGEST_WHOLE ? port->hash(context, frame) : port->sample(context, frame);
	uint64_t *place = &share->slot[digest & share->slot_mask];

	for (uint32_t i = 0; i < PROBES; i++) {
		found->slot = &share->slot[(digest + i) & share->slot_mask];
		if (*found->slot == 0) {
			place = found->slot;
			break;
		}
		if ((*found->slot ^ digest) >> TAG_SHIFT || !is_partner(mem, share, found))
			continue;
		if (p2m_entry_frame(found->entry).n == frame.n)
			return false;
		if (slot_gathered(*found->slot) < FULL &&
		    (by == DIGEST_WHOLE || port->sample(context, p2m_entry_frame(found->entry)) == digest))
			return true;
		place = found->slot; /* full, or written since; others gather around this page from now on */
		break;
	}
	take_slot(mem, place, digest, page, entry);
	return false;
}

/* --- pairs --- */

/* Tables for both, before anything changes. A partner that is pending has them. */
static bool prepare_pair(struct mem *mem, gfn_t page, const struct found *found, mfn_t to)
{
	return (found->is_pending || batch_prepare(mem, found->partner, to)) && batch_prepare(mem, page, to);
}

static void add_pair(struct mem *mem, struct mem_share *share, gfn_t page, uint64_t entry, const struct found *found)
{
	struct share_pair *pair = &share->pair[share->count];
	mfn_t to = p2m_entry_frame(found->entry);

	*pair = (struct share_pair){ .page = page, .partner = found->partner, .from = p2m_entry_frame(entry), .to = to,
				     .access = p2m_entry_access(found->entry),
				     .first = found->is_pending ? found->first : share->count };
	if (!prepare_pair(mem, page, found, to)) {
		share->short_of_tables = true;
		if (!found->is_pending && batch_tidy(mem, found->partner))
			batch_flush(mem);
		return;
	}
	if (!mfn_is_home(page, to))
		mem->reverse->hold(mem, to);
	batch_set(mem, page, pair->from, MEM_ACCESS_NONE);
	if (!found->is_pending)
		batch_set(mem, found->partner, to, MEM_ACCESS_NONE);
	*found->slot += ONE_MORE;
	share->count++;
}

static void join(struct mem *mem, struct mem_share *share, const struct share_pair *pair)
{
	mem->reverse->leave(mem, pair->page, pair->from);
	mem->reverse->enter(mem, pair->page, pair->to);
	batch_set(mem, pair->page, pair->to, MEM_ACCESS_READ);
	mem->saved++;
	frames_free(mem, pair->from);
	share->pair[pair->first].joined = true;
	share->shared++;
}

/* Nobody can reach either frame. */
static void settle_pair(struct mem *mem, struct mem_share *share, struct share_pair *pair)
{
	if (!mfn_is_home(pair->page, pair->to))
		mem->reverse->unhold(mem, pair->to);
	pair->equal = mem->config.port->equal(mem->config.port_context, pair->from, pair->to);
	if (pair->equal)
		join(mem, share, pair);
	else
		batch_set(mem, pair->page, pair->from, MEM_ACCESS_ALL);
}

/* The partner as it was, or read-only where somebody has come to share with it. */
static void settle_partner(struct mem *mem, const struct share_pair *pair)
{
	batch_set(mem, pair->partner, pair->to, pair->joined ? MEM_ACCESS_READ : pair->access);
}

static bool tidy_pair(struct mem *mem, const struct share_pair *pair)
{
	bool released = batch_tidy(mem, pair->partner);

	released |= batch_tidy(mem, pair->page);
	mem->reverse->tidy(mem, pair->from.n >> P2M_CHUNK_SHIFT);
	mem->reverse->tidy(mem, pair->to.n >> P2M_CHUNK_SHIFT);
	return released;
}

static void apply(struct mem *mem, struct mem_share *share)
{
	bool released = false, tidy_due = mem->tidy_due;

	if (share->count == 0)
		return;
	mem->tidy_due = false;
	batch_flush(mem);
	for (uint32_t i = 0; i < share->count; i++)
		settle_pair(mem, share, &share->pair[i]);
	for (uint32_t i = 0; i < share->count; i++)
		if (share->pair[i].first == i)
			settle_partner(mem, &share->pair[i]);
	for (uint32_t i = 0; mem->tidy_due && i < share->count; i++)
		released |= tidy_pair(mem, &share->pair[i]);
	if (released)
		batch_flush(mem);
	mem->tidy_due = tidy_due;
	share->tried += share->count;
}

/* --- the search --- */

static void look_at(struct mem *mem, struct mem_share *share, gfn_t page)
{
	const struct mem_port_ops *port = mem->config.port;
	uint64_t entry = p2m_entry(mem, page);
	struct found found;

	if (p2m_entry_access(entry) == MEM_ACCESS_NONE || !has_tables(mem, share, page))
		return;
	if (!find_partner(mem, share, page, entry, DIGEST_SAMPLE, &found))
		return;
	if (p2m_entry_access(entry) == MEM_ACCESS_ALL) {
		add_pair(mem, share, page, entry, &found);
		return;
	}
	/* A page that shares already is found by others, and moves no more. Those that share with it are mostly near it, and should find its slot. */
	take_slot(mem, found.slot, *found.slot, page, entry);
	if (!port->equal(mem->config.port_context, p2m_entry_frame(entry), p2m_entry_frame(found.entry))) {
		(void)find_partner(mem, share, page, entry, DIGEST_WHOLE, &found);
		share->hashed++;
	}
}

/* Pages that differ from the one with their sample. */
static void look_again(struct mem *mem, struct mem_share *share)
{
	uint32_t count = share->count;
	struct found found;

	share->count = 0; /* from here on, pairs behind the one that is read */
	for (uint32_t i = 0; i < count; i++) {
		gfn_t page = share->pair[i].page;
		uint64_t entry = p2m_entry(mem, page);

		if (!share->pair[i].equal && p2m_entry_access(entry) == MEM_ACCESS_ALL && has_tables(mem, share, page) &&
		    find_partner(mem, share, page, entry, DIGEST_WHOLE, &found))
			add_pair(mem, share, page, entry, &found);
	}
	apply(mem, share);
}

/* The end of a run that may not share, or `last`. */
static gfn_t end_of_run(const struct mem_share *share)
{
	return share->run.end.n < share->last.n ? share->run.end : share->last;
}

static void look_at_next(struct mem *mem, struct mem_share *share)
{
	gfn_t page = share->next;

	if (page.n >= share->run.end.n)
		share->run = mem_run_around(mem, page);
	if (!share->run.may_share) {
		share->next = end_of_run(share);
		return;
	}
	look_at(mem, share, page);
	share->next.n++;
}

enum mem_step mem_share_step(struct mem *mem, struct mem_share *share, uint32_t limit)
{
	if (mem->remap.active)
		return MEM_STEP_WAIT;
	if (mem->free_frames <= mem->saved) /* invariant 6 */
		return MEM_STEP_NO_FRAME;
	share->tried = share->count = share->hashed = 0;
	share->run = (struct mem_run){ 0 }; /* what may share is the same for as long as the lock is held */
	for (; limit > 0 && share->next.n < share->last.n && share->count + share->hashed < SHARE_PAIRS; limit--)
		look_at_next(mem, share);
	apply(mem, share);
	look_again(mem, share);
	return share->next.n < share->last.n ? MEM_STEP_AGAIN : MEM_STEP_DONE;
}
