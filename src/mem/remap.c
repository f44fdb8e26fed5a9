/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the plan of the homecoming; decides, never moves. Frame m is the home of page m, so P2M itself says who can follow:
 *
 *      p ---> f(p) is the home of page f(p) ---> f(f(p)) ...
 *
 * A page whose home is free goes there; the frame that it leaves is the home of the next, and so the chain is followed
 * with no reverse lookup at all. A sweep over the displaced pages finds where chains begin; across batches the hints go
 * on where a batch ended. One copy a page.
 *
 * After a sweep that finds none (and no hint, and nothing in flight) only cycles are left: every home is occupied by one
 * that waits for another. Each is opened by one page that goes to a free frame: one copy more a cycle. A cycle with a
 * frame that a page outside of it shares does not get so far: that page came home, and its rider (batch.c) opened it.
 * While batches are in flight a page may seem to be on a cycle that is open already. So a cycle is opened beside them
 * only when it has been walked round.
 *
 * Indirect: occupants of homes that are not free go to spare frames first, as many as there are, then the sweep. A round
 * of that comes before cycles are opened, and another one not until a batch has ended: so that each gets to its end, however
 * many begins it takes.
 *
 * A page whose home is withdrawn begins no chain and ends none: where it is in the home of another it is moved out of the way, as
 * one page of a cycle is, and for all RAM that is to a spare frame, since no home is free by then that is not on its way.
 *
 * No sweep is made where no home is free at all: the count says so. Quiet: chunks swept since a free home may have been
 * overlooked. The sweep may stand in the middle of a chunk when it starts anew, so one chunk more than there are is a whole
 * round.
 */
#include "mem/batch.h"
#include "mem/reverse.h"

/*
 * What one begin may spend on looking, all its sweeps and walks together; a chunk without displaced pages costs 1. Where it
 * ends, the next begin goes on.
 */
#define SWEEP_WORK  8192u
#define CHUNK_WORK  2048u /* a chunk with displaced pages */
#define FOLLOW_WORK 4u    /* a page of a cycle that is walked round */
#define OPEN_WORK   1024u /* a cycle that is opened */
#define WALK_MAX    1024u /* no longer cycle is walked round */

err_t mem_remap_start(struct mem *mem, enum mem_remap_mode mode, gfn_t first, gfn_t last)
{
	if (mem->remap.active)
		return SCRIM_ESTATE;
	if (mem->displaced > 0 && mem->free_frames == 0 && mem->in_flight == 0)
		return SCRIM_ENOFRAME;
	mem->remap = (struct mem_remap){
		.active = true,
		.clearing = mode == MEM_REMAP_INDIRECT,
		.mode = mode,
		.first = first,
		.last = last,
		.whole = first.n == 0 && last.n >= mem->frame_chunk_count << P2M_CHUNK_SHIFT,
	};
	return SCRIM_OK;
}

void mem_remap_stop(struct mem *mem) { mem->remap.active = false; }

static bool in_range(const struct mem *mem, uint64_t number)
{
	return number >= mem->remap.first.n && number < mem->remap.last.n;
}

/* Its home is withdrawn: it stays away, and gets out of the homes of others. */
static bool has_no_home(const struct mem *mem, gfn_t page)
{
	return frames_is_withdrawn(mem, gfn_home(page));
}

/* This displaced page, or the frame where it is, belongs to the range. */
static bool is_of_range(const struct mem *mem, gfn_t page, uint64_t entry)
{
	return mem->remap.whole || in_range(mem, page.n) || in_range(mem, p2m_entry_frame(entry).n);
}

/* The homecoming is about this displaced page. */
static bool concerns(const struct mem *mem, gfn_t page, uint64_t entry)
{
	if (!has_no_home(mem, page))
		return is_of_range(mem, page, entry);
	return mem->remap.whole ? !frames_is_spare(mem, p2m_entry_frame(entry)) : in_range(mem, p2m_entry_frame(entry).n);
}

/* --- chains --- */

/* Of a page whose home is free, or left by the move before: so it has one. */
static bool can_go_home(const struct mem *mem, gfn_t page, uint64_t entry)
{
	return p2m_is_at_rest(entry, page) && is_of_range(mem, page, entry);
}

/*
 * From a page whose home is free, along the frames that become free. This loop is the path of every page: where one has its
 * frame to itself it does what batch_add() does, in fewer steps. A shared frame may not become free: the end tells.
 */
static void follow(struct mem *mem, struct mem_batch *batch, uint32_t limit, gfn_t page)
{
	struct mem_move *const begin = batch->move + batch->count, *const end = batch->move + limit, *move = begin;
	bool chained = move > batch->move && move[-1].from.n == page.n;
	const struct p2m_slot *const root = mem->root;
	const uint64_t chunk_count = mem->chunk_count;
	uint64_t entry = p2m_entry(mem, page);

	if (move >= end || !can_go_home(mem, page, entry))
		return;
	if (!chained && p2m_entry_access(entry) == MEM_ACCESS_ALL)
		frames_take(mem, gfn_home(page));
	for (; move < end && p2m_chunk(page) < chunk_count; move++) {
		struct p2m_leaf *leaf = root[p2m_chunk(page)].leaf;

		if (!leaf)
			break;

		uint64_t *place = &leaf->entry[p2m_index(page)];
		mfn_t frame;

		entry = *place;
		frame = p2m_entry_frame(entry);
		if (p2m_entry_access(entry) != MEM_ACCESS_ALL || mfn_is_home(page, frame) || !is_of_range(mem, page, entry))
			break;
		*move = (struct mem_move){ .page = page, .from = frame, .to = gfn_home(page), .access = MEM_ACCESS_ALL,
					   .chained = chained };
		p2m_hide(place, entry);
		page = gfn(frame.n);
		chained = true;
	}
	batch->count += (uint32_t)(move - begin);
	mem->in_flight += (uint64_t)(move - begin);
	/* What ended the chain before its time may be a page that shares its frame. */
	if (move < end && can_go_home(mem, page, p2m_entry(mem, page)))
		batch_add(mem, batch, page, gfn_home(page), chained);
}

static void follow_hints(struct mem *mem, struct mem_batch *batch, uint32_t limit)
{
	while (batch->count < limit && mem->hint_count > 0) {
		gfn_t page = mem->hint[--mem->hint_count];

		/* In flight, but not to its home, which stays free: for the sweep to find. */
		if (p2m_entry_access(p2m_entry(mem, page)) == MEM_ACCESS_NONE)
			mem->remap.quiet = 0;
		follow(mem, batch, limit, page);
	}
}

/* --- sweeps --- */

static void spend(uint32_t *work, uint32_t cost) { *work = *work > cost ? *work - cost : 0; }

/* A chunk has been left behind. */
static void pass_chunk(struct mem *mem, const struct p2m_slot *slot, uint32_t *work, uint64_t *passed)
{
	spend(work, slot->displaced > 0 ? CHUNK_WORK : 1);
	++*passed;
	mem->remap.idle++;
}

/*
 * The next displaced page from *cursor on, round the map, as far as *work goes. *passed counts the chunks left behind.
 */
static bool next_displaced(struct mem *mem, gfn_t *cursor, uint32_t *work, uint64_t *passed, gfn_t *page)
{
	while (*work > 0) {
		uint64_t chunk = p2m_chunk(*cursor) < mem->chunk_count ? p2m_chunk(*cursor) : 0;
		const struct p2m_slot *slot = &mem->root[chunk];
		uint32_t i = chunk == p2m_chunk(*cursor) ? p2m_index(*cursor) : 0;

		for (; slot->displaced > 0 && i < P2M_CHUNK_PAGES; i++) {
			*page = p2m_page(chunk, i);
			if (!p2m_is_displaced(slot->leaf->entry[i], *page))
				continue;
			*cursor = gfn(page->n + 1);
			if (i + 1 == P2M_CHUNK_PAGES)
				pass_chunk(mem, slot, work, passed);
			return true;
		}
		*cursor = p2m_page(chunk + 1, 0);
		pass_chunk(mem, slot, work, passed);
	}
	return false;
}

static bool is_round(const struct mem *mem, uint64_t passed) { return passed > mem->chunk_count; }

/* There is a free home, and not all pages have been looked at for it. */
static bool may_find_home(const struct mem *mem) { return mem->free_homes > 0 && !is_round(mem, mem->remap.quiet); }

/* frames_is_free() in fewer steps: a sweep asks it of every displaced page. */
static inline bool is_home_free(struct mem *mem, gfn_t page)
{
	return mem->reverse->is_free(mem, gfn_home(page)) && !frames_is_withdrawn(mem, gfn_home(page));
}

/* Not more than once round in one begin: what is in flight now is so until its end. */
static void sweep_homes(struct mem *mem, struct mem_batch *batch, uint32_t limit, uint32_t *work)
{
	uint64_t begin = mem->remap.idle;
	gfn_t page;

	while (batch->count < limit && may_find_home(mem) && !is_round(mem, mem->remap.idle - begin) &&
	       next_displaced(mem, &mem->remap.cursor, work, &mem->remap.quiet, &page)) {
		uint64_t entry = p2m_entry(mem, page);

		if (p2m_entry_access(entry) == MEM_ACCESS_NONE)
			mem->remap.quiet = 0; /* wherever it goes, its home may be free */
		else if (is_of_range(mem, page, entry) && is_home_free(mem, page))
			follow(mem, batch, limit, page);
	}
}

/* Somebody waits for the frame where this page is, or it must not be there at all. */
static bool is_in_the_way(const struct mem *mem, gfn_t page, uint64_t entry)
{
	gfn_t waiting = gfn(p2m_entry_frame(entry).n);

	if (!p2m_is_at_rest(entry, page))
		return false;
	if (!mem->remap.whole)
		return in_range(mem, waiting.n);
	return p2m_is_displaced(p2m_entry(mem, waiting), waiting) || (has_no_home(mem, page) && concerns(mem, page, entry));
}

/* Round by f, back to the page, and nobody on the way is in flight or waits for a page that is. */
static bool is_closed_cycle(const struct mem *mem, gfn_t page, uint32_t *work)
{
	gfn_t at = page;

	for (uint32_t i = 0; i < WALK_MAX; i++) {
		uint64_t entry = p2m_entry(mem, at);

		spend(work, FOLLOW_WORK);
		if (!p2m_is_at_rest(entry, at))
			return false;
		at = gfn(p2m_entry_frame(entry).n);
		if (at.n == page.n)
			return true;
	}
	return false;
}

/* Moves one page out of the way. MEM_STEP_MOVES, or why not. */
static enum mem_step move_away(struct mem *mem, struct mem_batch *batch, gfn_t page, bool spare_only)
{
	struct frame_want want = { .spare_only = spare_only };
	mfn_t to;

	if (!mem->remap.whole) {
		want.avoid_first = mem->remap.first.n;
		want.avoid_last = mem->remap.last.n;
	}

	err_t err = frames_find(mem, &want, &to);

	if (err == SCRIM_OK && !batch_prepare(mem, page, to))
		err = SCRIM_ENOTABLE;
	if (err != SCRIM_OK)
		return err == SCRIM_ENOFRAME ? MEM_STEP_NO_FRAME : MEM_STEP_NO_TABLE;
	batch_add(mem, batch, page, to, false);
	return MEM_STEP_MOVES;
}

/* Indirect: occupants of homes go to spare frames, one round, or as far as there are such frames. */
static void clear_homes(struct mem *mem, struct mem_batch *batch, uint32_t limit, uint32_t *work)
{
	gfn_t page;

	while (batch->count < limit && !is_round(mem, mem->remap.cleared) &&
	       next_displaced(mem, &mem->remap.open_cursor, work, &mem->remap.cleared, &page)) {
		uint64_t entry = p2m_entry(mem, page);

		if (!is_in_the_way(mem, page, entry) || frames_is_free(mem, gfn_home(page)))
			continue;
		if (move_away(mem, batch, page, true) != MEM_STEP_MOVES)
			mem->remap.cleared = mem->chunk_count + 1;
	}
	mem->remap.clearing = !is_round(mem, mem->remap.cleared);
}

/*
 * Only cycles are left, or what has to leave the range: moves pages out of the way and follows the chains that begin
 * there. The first is moved in any case when nothing is in flight.
 */
static enum mem_step open_cycles(struct mem *mem, struct mem_batch *batch, uint32_t limit, uint32_t *work)
{
	enum mem_step step = MEM_STEP_AGAIN;
	uint64_t begin = mem->remap.idle;
	gfn_t page;

	while (batch->count < limit && !is_round(mem, mem->remap.open_quiet) && !is_round(mem, mem->remap.idle - begin) &&
	       next_displaced(mem, &mem->remap.open_cursor, work, &mem->remap.open_quiet, &page)) {
		uint64_t entry = p2m_entry(mem, page);

		if (!concerns(mem, page, entry))
			continue;
		mem->remap.open_quiet = 0;
		if (!is_in_the_way(mem, page, entry))
			continue;
		if (mem->remap.whole && mem->in_flight > 0 && !is_closed_cycle(mem, page, work))
			continue;
		step = move_away(mem, batch, page, mem->remap.whole && has_no_home(mem, page));
		if (step != MEM_STEP_MOVES)
			return step;
		if (p2m_entry_access(entry) == MEM_ACCESS_ALL)
			follow(mem, batch, limit, gfn(p2m_entry_frame(entry).n));
		spend(work, OPEN_WORK);
	}
	if (step == MEM_STEP_AGAIN && mem->in_flight == 0 && is_round(mem, mem->remap.open_quiet))
		return MEM_STEP_DONE;
	return step;
}

/* No chain begins anywhere that was looked at. */
static enum mem_step plan_stuck(struct mem *mem, struct mem_batch *batch, uint32_t limit, uint32_t *work)
{
	enum mem_step step = MEM_STEP_AGAIN;

	if (mem->displaced == 0)
		return mem->in_flight > 0 ? MEM_STEP_WAIT : MEM_STEP_DONE;
	if (!may_find_home(mem)) {
		if (mem->remap.mode == MEM_REMAP_INDIRECT)
			clear_homes(mem, batch, limit, work);
		if (batch->count == 0 && !mem->remap.clearing)
			step = open_cycles(mem, batch, limit, work);
	}
	/* With others in flight the next frame may be theirs to free. */
	if (batch->count == 0 && mem->in_flight > 0 && (step != MEM_STEP_AGAIN || mem->remap.idle > mem->chunk_count + 1))
		return MEM_STEP_WAIT;
	return step;
}

enum mem_step mem_remap_begin(struct mem *mem, struct mem_batch *batch, uint32_t limit)
{
	enum mem_step step = MEM_STEP_MOVES;
	uint32_t work = SWEEP_WORK;

	if (!mem->remap.active)
		return MEM_STEP_DONE;
	if (limit > SCRIM_BATCH_MAX)
		limit = SCRIM_BATCH_MAX;
	batch_open(mem, batch);
	if (mem->remap.clearing)
		clear_homes(mem, batch, limit, &work);
	if (batch->count == 0) {
		follow_hints(mem, batch, limit);
		sweep_homes(mem, batch, limit, &work);
	}
	if (batch->count == 0)
		step = plan_stuck(mem, batch, limit, &work);
	if (batch->count > 0)
		mem->remap.idle = 0;
	return batch_seal(mem, batch, step);
}
