/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the random permutation; stores none of it. A keyed bijection gives a random order of the pages. Cut before each
 * place that holds less than all before it, a random order is the cycles of a random permutation, and every permutation
 * comes from one order (Foata's correspondence). So the cursor needs the least value, and where the cycle began:
 *
 *     order 5 2 7 3 0 4    cycles (5) (2 7 3) (0 4)
 *
 * The first page of a cycle goes to a free frame, each other to the frame that the one before has left, and at the end
 * the first to the frame that the last has left. The hole is nobody's between batches: taken by others, another is found.
 */
#include "mem/scatter.h"

#include "mem/batch.h"

#define ROUNDS    4u
#define LOOKS_MAX 4096u /* places of the order that one begin looks at */

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ value >> 27) * 0x94d049bb133111ebull;
	return value ^ value >> 31;
}

void mem_scatter_start(struct mem_scatter *scatter, uint64_t seed, gfn_t first, gfn_t last, uint32_t fraction)
{
	*scatter = (struct mem_scatter){
		.seed = mix(seed + 1), .first = first, .pages = last.n > first.n ? last.n - first.n : 0,
		.fraction = fraction, .bits = 1, .least = UINT64_MAX,
	};
	while (scatter->bits < 26 && 1ull << 2 * scatter->bits < scatter->pages)
		scatter->bits++;
}

/* A Feistel network over 2 * bits bits, walked until it falls into the range. */
static uint64_t place_of(const struct mem_scatter *scatter, uint64_t index)
{
	uint64_t mask = (1ull << scatter->bits) - 1;

	do {
		uint64_t left = index >> scatter->bits, right = index & mask;

		for (uint32_t round = 0; round < ROUNDS; round++) {
			uint64_t next = left ^ (mix(right + scatter->seed + ((uint64_t)round << 56)) & mask);

			left = right;
			right = next;
		}
		index = left << scatter->bits | right;
	} while (index >= scatter->pages);
	return index;
}

static bool is_chosen(const struct mem *mem, const struct mem_scatter *scatter, gfn_t page)
{
	if ((mix(page.n ^ ~scatter->seed) & (SCATTER_ALL - 1)) >= scatter->fraction)
		return false;
	return mem_may_displace(mem, page) && p2m_entry_access(p2m_entry(mem, page)) != MEM_ACCESS_NONE;
}

static bool is_in_batch(const struct mem *mem, gfn_t page)
{
	return p2m_entry_access(p2m_entry(mem, page)) == MEM_ACCESS_NONE;
}

/* The hole is there still: what the last move leaves, or free. */
static bool hole_is_there(struct mem *mem, const struct mem_batch *batch, mfn_t hole, bool *chained)
{
	const struct mem_move *last = batch->count > 0 ? &batch->move[batch->count - 1] : NULL;
	gfn_t page = gfn(hole.n);

	*chained = last && last->from.n == hole.n && last->access == MEM_ACCESS_ALL;
	if (*chained)
		return true;
	if (!frames_is_spare(mem, hole) && !p2m_is_at_rest(p2m_entry(mem, page), page))
		return false;
	return frames_is_free(mem, hole);
}

/* Moves `page` to the hole, or to any free frame; the hole is then what it leaves. */
static enum mem_step move(struct mem *mem, struct mem_scatter *scatter, struct mem_batch *batch, gfn_t page)
{
	const struct frame_want any = { 0 };
	mfn_t to = scatter->hole, from = p2m_entry_frame(p2m_entry(mem, page));
	bool chained = false;
	err_t err = SCRIM_OK;

	if (scatter->length < 2 || !hole_is_there(mem, batch, to, &chained))
		err = frames_find(mem, &any, &to);
	if (err == SCRIM_OK && !batch_prepare(mem, page, to))
		err = SCRIM_ENOTABLE;
	if (err != SCRIM_OK)
		return err == SCRIM_ENOFRAME ? MEM_STEP_NO_FRAME : MEM_STEP_NO_TABLE;
	batch_add(mem, batch, page, to, chained);
	scatter->hole = from;
	return MEM_STEP_MOVES;
}

/* The cycle's first page closes it. It is moved once a batch at most, so it may have to wait for the next. */
static enum mem_step close_cycle(struct mem *mem, struct mem_scatter *scatter, struct mem_batch *batch)
{
	enum mem_step step = MEM_STEP_MOVES;

	if (scatter->length == 2) {
		if (is_in_batch(mem, scatter->start))
			return MEM_STEP_WAIT;
		if (mem_may_displace(mem, scatter->start))
			step = move(mem, scatter, batch, scatter->start);
	}
	if (step == MEM_STEP_MOVES)
		scatter->length = 0;
	return step;
}

/* The page at this place of the order: begins a cycle, or goes on with it. */
static enum mem_step take_place(struct mem *mem, struct mem_scatter *scatter, struct mem_batch *batch, uint64_t place)
{
	gfn_t page = gfn(scatter->first.n + place);
	enum mem_step step = MEM_STEP_MOVES;

	if (!is_chosen(mem, scatter, page))
		return MEM_STEP_MOVES;
	if (place < scatter->least) {
		step = close_cycle(mem, scatter, batch);
		if (step != MEM_STEP_MOVES)
			return step;
		scatter->least = place;
		scatter->start = page;
		scatter->length = 1;
		return MEM_STEP_MOVES;
	}
	if (scatter->length == 1) {
		if (!is_chosen(mem, scatter, scatter->start))
			return MEM_STEP_MOVES;
		step = move(mem, scatter, batch, scatter->start);
		if (step != MEM_STEP_MOVES)
			return step;
		scatter->length = 2;
	}
	return move(mem, scatter, batch, page);
}

enum mem_step mem_scatter_begin(struct mem *mem, struct mem_scatter *scatter, struct mem_batch *batch, uint32_t limit)
{
	enum mem_step step = MEM_STEP_MOVES;
	uint32_t looks = 0;

	if (mem->remap.active)
		return MEM_STEP_WAIT;
	if (limit > SCRIM_BATCH_MAX)
		limit = SCRIM_BATCH_MAX;
	batch_open(mem, batch);
	/* A place may need two moves. */
	while (step == MEM_STEP_MOVES && batch->count + 2 <= limit && scatter->at < scatter->pages && looks++ < LOOKS_MAX) {
		step = take_place(mem, scatter, batch, place_of(scatter, scatter->at));
		if (step == MEM_STEP_MOVES)
			scatter->at++;
	}
	if (step == MEM_STEP_MOVES && scatter->at == scatter->pages && batch->count < limit)
		step = close_cycle(mem, scatter, batch);
	if (step == MEM_STEP_MOVES)
		step = scatter->at == scatter->pages ? MEM_STEP_DONE : MEM_STEP_AGAIN;
	return batch_seal(mem, batch, step);
}
