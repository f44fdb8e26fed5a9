/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the window: what one sweep over P2M has found out about SEARCH_FRAMES frames that follow one another, a bit each:
 * set where a stranger is or a batch goes to. Kept exact while it stands, so that a sweep serves all questions about
 * these frames until one outside of them is asked. Nothing else is stored.
 */
#include "base/str.h"
#include "mem/reverse.h"
#include "mem/search_window.h"

static uint64_t *word_of(uint64_t *bits, uint64_t bit) { return &bits[bit / 64]; }

static bool in_window(const struct mem *mem, mfn_t frame)
{
	return mem->window_valid && frame.n - mem->window_first < SEARCH_FRAMES;
}

static void set_bit(struct mem *mem, mfn_t frame)
{
	uint64_t bit = frame.n - mem->window_first;

	if (in_window(mem, frame))
		*word_of(mem->window, bit) |= 1ull << bit % 64;
}

static void clear_bit(struct mem *mem, mfn_t frame)
{
	uint64_t bit = frame.n - mem->window_first;

	if (in_window(mem, frame))
		*word_of(mem->window, bit) &= ~(1ull << bit % 64);
}

static bool mark_page(struct mem *mem, gfn_t page, uint64_t entry)
{
	(void)page;
	set_bit(mem, p2m_entry_frame(entry));
	return true;
}

static void open_window(struct mem *mem, mfn_t frame)
{
	mem->window_first = align_down(frame.n, SEARCH_FRAMES);
	mem->window_valid = true;
	memset(mem->window, 0, SEARCH_FRAMES / 8);
	(void)reverse_each_displaced(mem, mark_page);
	for (const struct mem_batch *batch = mem->batches; batch; batch = batch->next)
		for (uint32_t i = 0; i < batch->count; i++)
			set_bit(mem, batch->move[i].to);
}

static bool build(struct mem *mem)
{
	mem->window_valid = false;
	return true;
}

static void drop(struct mem *mem) { mem->window_valid = false; }

static bool prepare(struct mem *mem, gfn_t page, mfn_t to)
{
	(void)mem, (void)page, (void)to;
	return true;
}

static void ignore(struct mem *mem, mfn_t to) { (void)mem, (void)to; }

static void enter(struct mem *mem, gfn_t page, mfn_t frame)
{
	if (!mfn_is_home(page, frame))
		set_bit(mem, frame);
}

/* The bit stays until the frame is free, or home of its page again and alone: sharers may be left. */
static void leave(struct mem *mem, gfn_t page, mfn_t frame) { (void)mem, (void)page, (void)frame; }

static void come_home(struct mem *mem, const struct mem_batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		p2m_bring_home(mem, &mem->root[p2m_chunk(batch->move[i].page)], batch->move[i].page);
	mem->displaced -= batch->count;
	mem->in_flight -= batch->count;
}

static void freed(struct mem *mem, mfn_t frame)
{
	clear_bit(mem, frame);
	frames_cache(mem, frame);
}

static void taken(struct mem *mem, mfn_t frame)
{
	set_bit(mem, frame);
	frames_uncache(mem, frame);
}

static bool is_free(struct mem *mem, mfn_t frame)
{
	uint64_t bit;

	if (!in_window(mem, frame))
		open_window(mem, frame);
	bit = frame.n - mem->window_first;
	return !(*word_of(mem->window, bit) >> bit % 64 & 1);
}

/* It would take a sweep. */
static uint32_t crowd(const struct mem *mem, mfn_t frame, uint32_t limit)
{
	(void)mem, (void)frame, (void)limit;
	return 0;
}

static void tidy(struct mem *mem, uint64_t chunk) { (void)mem, (void)chunk; }

static enum scrim_violation check(struct mem *mem, uint64_t *where)
{
	(void)mem, (void)where;
	return SCRIM_HOLDS;
}

const struct reverse_ops reverse_search = {
	.name = "search",
	.id = MEM_REVERSE_SEARCH,
	.build = build,
	.drop = drop,
	.prepare = prepare,
	.hold = ignore,
	.unhold = ignore,
	.enter = enter,
	.leave = leave,
	.come_home = come_home,
	.freed = freed,
	.taken = taken,
	.withdrawn = frames_uncache,
	.is_free = is_free,
	.crowd = crowd,
	.find_free = frames_scan,
	.find_stranger = reverse_sweep_for,
	.answer = reverse_sweep,
	.tidy = tidy,
	.check = check,
};
