/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the reference counts: how many strangers are in each frame, 4 bytes a frame in sparse leaves of 4 MiB; a held
 * frame counts one more. Free is what is spare or vacated and counts 0. Who the strangers are takes a sweep, made only
 * where the count says that the answer matters.
 */
#include "mem/reverse.h"

#define COUNT_SHIFT  10u
#define COUNT_FRAMES (1u << COUNT_SHIFT)

struct count_leaf {
	uint32_t count[COUNT_FRAMES];
};

_Static_assert(sizeof(struct count_leaf) == PAGE_SIZE, "a leaf is one page of table_alloc");

static struct frame_slot *slot_of(const struct mem *mem, mfn_t frame) { return &mem->count_slot[frame.n >> COUNT_SHIFT]; }

static uint32_t *count_of(const struct mem *mem, mfn_t frame)
{
	struct count_leaf *leaf = slot_of(mem, frame)->leaf;

	return leaf ? &leaf->count[frame.n & (COUNT_FRAMES - 1)] : NULL;
}

static bool add_leaf(struct mem *mem, mfn_t frame)
{
	struct frame_slot *slot = slot_of(mem, frame);

	if (slot->leaf)
		return true;
	slot->leaf = mem->config.port->table_alloc(mem->config.port_context);
	mem->reverse_leaf_count += slot->leaf != NULL;
	return slot->leaf != NULL;
}

static void drop_leaf(struct mem *mem, struct frame_slot *slot)
{
	mem->config.port->table_free(mem->config.port_context, slot->leaf);
	mem->reverse_leaf_count--;
	*slot = (struct frame_slot){ 0 };
}

static void tidy(struct mem *mem, uint64_t chunk)
{
	struct frame_slot *slot = slot_of(mem, mfn(chunk << P2M_CHUNK_SHIFT));

	if (slot->leaf && slot->busy == 0)
		drop_leaf(mem, slot);
}

static void drop(struct mem *mem)
{
	for (uint64_t first = 0; first < mem->frame_chunk_count << P2M_CHUNK_SHIFT; first += COUNT_FRAMES)
		if (slot_of(mem, mfn(first))->leaf)
			drop_leaf(mem, slot_of(mem, mfn(first)));
}

static bool prepare(struct mem *mem, gfn_t page, mfn_t to)
{
	return mfn_is_home(page, to) || add_leaf(mem, to);
}

static void hold(struct mem *mem, mfn_t to)
{
	if ((*count_of(mem, to))++ == 0)
		slot_of(mem, to)->busy++;
}

/* Of a frame that is counted, whose slot this is. */
static inline void count_down(struct mem *mem, struct frame_slot *slot, mfn_t frame)
{
	struct count_leaf *leaf = slot->leaf;

	if (--leaf->count[frame.n & (COUNT_FRAMES - 1)] == 0)
		reverse_release(mem, slot);
}

static void unhold(struct mem *mem, mfn_t to) { count_down(mem, slot_of(mem, to), to); }

static void enter(struct mem *mem, gfn_t page, mfn_t frame)
{
	if (!mfn_is_home(page, frame))
		hold(mem, frame);
}

static void leave(struct mem *mem, gfn_t page, mfn_t frame)
{
	if (!mfn_is_home(page, frame))
		unhold(mem, frame);
}

static void come_home(struct mem *mem, const struct mem_batch *batch)
{
	const struct mem_move *move = batch->move, *end = move + batch->count;
	struct frame_slot *slots = mem->count_slot;
	struct p2m_slot *root = mem->root;

	for (; move < end; move++) {
		count_down(mem, &slots[move->from.n >> COUNT_SHIFT], move->from);
		p2m_bring_home(mem, &root[p2m_chunk(move->page)], move->page);
	}
	mem->displaced -= batch->count;
	mem->in_flight -= batch->count;
}

static bool is_free(struct mem *mem, mfn_t frame)
{
	const uint32_t *count = count_of(mem, frame);

	return !count || *count == 0;
}

static uint32_t crowd(const struct mem *mem, mfn_t frame, uint32_t limit)
{
	const uint32_t *count = count_of(mem, frame);

	if (!count)
		return 0;
	return *count < limit ? *count : limit;
}

static bool build_page(struct mem *mem, gfn_t page, uint64_t entry)
{
	if (!prepare(mem, page, p2m_entry_frame(entry)))
		return false;
	hold(mem, p2m_entry_frame(entry));
	return true;
}

static bool build(struct mem *mem) { return reverse_each_displaced(mem, build_page); }

static bool find_stranger(struct mem *mem, mfn_t frame, gfn_t *page)
{
	return !is_free(mem, frame) && reverse_sweep_for(mem, frame, page);
}

/*
 * Counts alone answer how many, with pages in flight counted, and who only where nobody is. More pages than can be in flight are
 * "2 or more" for certain. Else a sweep, for all at once.
 */
static void answer(struct mem *mem)
{
	struct mem_question *question = &mem->question;
	bool sweep = false;

	for (uint32_t i = 0; i < question->count; i++) {
		const uint32_t *count = count_of(mem, question->frame[i]);
		uint64_t strangers = count ? *count : 0;

		if (strangers > 1 && (question->absent_too || strangers > mem->in_flight + 1))
			question->strangers[i] = 2;
		else if (question->absent_too && !question->names_one)
			question->strangers[i] = (uint8_t)strangers;
		else
			sweep |= strangers > 0;
	}
	if (sweep)
		reverse_sweep(mem);
}

/*
 * --- the check: every page takes one away, nothing may be left; then all is put back. That an occupied frame has a
 * count, which is not 0, was seen before: it was not free. ---
 */

static bool subtract(struct mem *mem, gfn_t page, uint64_t entry)
{
	(void)page;
	--*count_of(mem, p2m_entry_frame(entry));
	return true;
}

static bool put_back(struct mem *mem, gfn_t page, uint64_t entry)
{
	(void)page;
	++*count_of(mem, p2m_entry_frame(entry));
	return true;
}

static bool any_left(const struct mem *mem, uint64_t *where)
{
	uint64_t end = mem->frame_chunk_count << P2M_CHUNK_SHIFT;

	for (uint64_t frame = 0; frame < end; frame++) {
		const uint32_t *count = count_of(mem, mfn(frame));

		if (!count) {
			frame |= COUNT_FRAMES - 1;
			continue;
		}
		*where = frame << PAGE_SHIFT;
		if (*count != 0)
			return true;
	}
	return false;
}

static bool is_busy_right(const struct mem *mem, uint64_t first, uint64_t *where)
{
	const struct frame_slot *slot = slot_of(mem, mfn(first));
	uint32_t busy = 0;

	for (uint32_t i = 0; slot->leaf && i < COUNT_FRAMES; i++)
		busy += *count_of(mem, mfn(first + i)) != 0;
	*where = first << PAGE_SHIFT;
	return busy == slot->busy;
}

static enum scrim_violation check(struct mem *mem, uint64_t *where)
{
	bool wrong;

	for (uint64_t first = 0; first < mem->frame_chunk_count << P2M_CHUNK_SHIFT; first += COUNT_FRAMES)
		if (!is_busy_right(mem, first, where))
			return SCRIM_V3_FRAME_STATE;
	if (mem->in_flight > 0)
		return SCRIM_HOLDS; /* held frames count more than P2M says */
	(void)reverse_each_displaced(mem, subtract);
	wrong = any_left(mem, where);
	(void)reverse_each_displaced(mem, put_back);
	return wrong ? SCRIM_V3_FRAME_STATE : SCRIM_HOLDS;
}

const struct reverse_ops reverse_refcount = {
	.name = "refcount",
	.id = MEM_REVERSE_REFCOUNT,
	.build = build,
	.drop = drop,
	.prepare = prepare,
	.hold = hold,
	.unhold = unhold,
	.enter = enter,
	.leave = leave,
	.come_home = come_home,
	.freed = frames_cache,
	.taken = frames_uncache,
	.withdrawn = frames_uncache,
	.is_free = is_free,
	.crowd = crowd,
	.find_free = frames_scan,
	.find_stranger = find_stranger,
	.answer = answer,
	.tidy = tidy,
	.check = check,
};
