/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the back map: for each frame the list of strangers in it, and a list of the free frames. Sparse: a leaf per 2 MiB,
 * 8 bytes a frame, where something is displaced or a spare frame taken.
 *
 *   entry n, bits 0-31: the page after page n in the list of the frame where page n is, + 1: a ring. 0: in no list
 *            bits 32-63: frame n: 0              nothing: its page is at home, alone; or it is withdrawn
 *                                 FREE | ...     free; neighbours in the list of the chunk's free frames
 *                                 LIMBO          taken, or left, and nobody in it yet
 *                                 page + 1       the last stranger; the next in the ring is the first that came
 *
 *   Who came first mostly leaves first, in the order of pages: found at once. Else the ring is gone round, which share.c keeps
 *   below SHARE_CROWD pages.
 *
 *   back_slot: chunks whose leaf has free frames are listed too, so a free frame is found in one step.
 *
 * A chunk without a leaf is all nothing, and its spare frames (withdrawn ones are none) are all free. Pages have 30 bits: MEM_PAGES_MAX. Frames
 * are told by their place, and may be any.
 */
#include "mem/reverse.h"

#define FREE  0x80000000u
#define LIMBO 0x40000000u
#define NEIGHBOUR_BITS 10u
#define NEIGHBOUR_MASK ((1u << NEIGHBOUR_BITS) - 1)

struct back_entry {
	uint32_t next;
	uint32_t frame;
};

struct back_leaf {
	struct back_entry entry[P2M_CHUNK_PAGES];
};

_Static_assert(sizeof(struct back_leaf) == PAGE_SIZE, "a leaf is one page of table_alloc");
_Static_assert(MEM_PAGES_MAX <= LIMBO - 1, "page + 1 stands below the two flags");

static struct frame_slot *slot_of(const struct mem *mem, uint64_t number)
{
	return &mem->back_slot[number >> P2M_CHUNK_SHIFT];
}

static uint32_t index_of(uint64_t number) { return (uint32_t)(number & (P2M_CHUNK_PAGES - 1)); }

static struct back_entry *entry_of(const struct mem *mem, uint64_t number)
{
	struct back_leaf *leaf = slot_of(mem, number)->leaf;

	return &leaf->entry[index_of(number)];
}

/* --- free frames: of a chunk, and chunks that have any --- */

static void list_chunk(struct mem *mem, uint64_t chunk)
{
	struct frame_slot *slot = &mem->back_slot[chunk];

	slot->previous = 0;
	slot->next = (uint32_t)mem->first_free_chunk;
	if (slot->next)
		mem->back_slot[slot->next - 1].previous = (uint32_t)chunk + 1;
	mem->first_free_chunk = chunk + 1;
}

static void unlist_chunk(struct mem *mem, uint64_t chunk)
{
	struct frame_slot *slot = &mem->back_slot[chunk];

	if (slot->next)
		mem->back_slot[slot->next - 1].previous = slot->previous;
	if (slot->previous)
		mem->back_slot[slot->previous - 1].next = slot->next;
	else
		mem->first_free_chunk = slot->next;
}

static uint32_t free_word(uint32_t next, uint32_t previous) { return FREE | previous << NEIGHBOUR_BITS | next; }
static uint32_t free_next(uint32_t word) { return word & NEIGHBOUR_MASK; }
static uint32_t free_previous(uint32_t word) { return word >> NEIGHBOUR_BITS & NEIGHBOUR_MASK; }

static void push_free(struct mem *mem, mfn_t frame)
{
	struct frame_slot *slot = slot_of(mem, frame.n);
	struct back_leaf *leaf = slot->leaf;
	uint32_t place = index_of(frame.n) + 1, next = slot->first_free;

	leaf->entry[place - 1].frame = free_word(next, 0);
	if (next)
		leaf->entry[next - 1].frame = free_word(free_next(leaf->entry[next - 1].frame), place);
	slot->first_free = place;
	if (slot->free_count++ == 0)
		list_chunk(mem, frame.n >> P2M_CHUNK_SHIFT);
}

/* The frame's word is the caller's to write. */
static void remove_free(struct mem *mem, mfn_t frame)
{
	struct frame_slot *slot = slot_of(mem, frame.n);
	struct back_leaf *leaf = slot->leaf;
	uint32_t word = entry_of(mem, frame.n)->frame, next = free_next(word), previous = free_previous(word);

	if (next)
		leaf->entry[next - 1].frame = free_word(free_next(leaf->entry[next - 1].frame), previous);
	if (previous)
		leaf->entry[previous - 1].frame =
			free_word(next, free_previous(leaf->entry[previous - 1].frame));
	else
		slot->first_free = next;
	if (--slot->free_count == 0)
		unlist_chunk(mem, frame.n >> P2M_CHUNK_SHIFT);
}

/* --- leaves --- */

static bool add_leaf(struct mem *mem, uint64_t chunk)
{
	struct frame_slot *slot = &mem->back_slot[chunk];

	if (slot->leaf)
		return true;
	slot->leaf = mem->config.port->table_alloc(mem->config.port_context);
	if (!slot->leaf)
		return false;
	mem->reverse_leaf_count++;
	for (uint32_t i = P2M_CHUNK_PAGES; frames_has_spare(mem, chunk) && i-- > 0;)
		if (frames_is_spare(mem, mfn((chunk << P2M_CHUNK_SHIFT) + i)))
			push_free(mem, mfn((chunk << P2M_CHUNK_SHIFT) + i));
	return true;
}

static void drop_leaf(struct mem *mem, uint64_t chunk)
{
	struct frame_slot *slot = &mem->back_slot[chunk];

	if (slot->free_count > 0)
		unlist_chunk(mem, chunk);
	mem->config.port->table_free(mem->config.port_context, slot->leaf);
	mem->reverse_leaf_count--;
	*slot = (struct frame_slot){ 0 };
}

/* A changed page may be somewhere in a list, or its home be free: either is written in the leaf. */
static void tidy(struct mem *mem, uint64_t chunk)
{
	const struct frame_slot *slot = &mem->back_slot[chunk];

	if (slot->leaf && slot->busy == 0 && (chunk >= mem->chunk_count || mem->root[chunk].changed == 0))
		drop_leaf(mem, chunk);
}

static bool prepare(struct mem *mem, gfn_t page, mfn_t to)
{
	return add_leaf(mem, p2m_chunk(page)) && add_leaf(mem, to.n >> P2M_CHUNK_SHIFT);
}

static void drop(struct mem *mem)
{
	for (uint64_t chunk = 0; chunk < mem->frame_chunk_count; chunk++)
		if (mem->back_slot[chunk].leaf)
			drop_leaf(mem, chunk);
}

/* --- the books --- */

static void taken(struct mem *mem, mfn_t frame)
{
	remove_free(mem, frame);
	entry_of(mem, frame.n)->frame = LIMBO;
	slot_of(mem, frame.n)->busy++;
}

static void freed(struct mem *mem, mfn_t frame)
{
	if (!slot_of(mem, frame.n)->leaf)
		return; /* lent just now, or given back: a chunk without a leaf is free */
	if (entry_of(mem, frame.n)->frame != 0) /* limbo, or the page of a plain batch that has left */
		reverse_release(mem, slot_of(mem, frame.n));
	push_free(mem, frame);
}

static void withdrawn(struct mem *mem, mfn_t frame)
{
	if (!slot_of(mem, frame.n)->leaf)
		return;
	remove_free(mem, frame);
	entry_of(mem, frame.n)->frame = 0;
}

static void enter(struct mem *mem, gfn_t page, mfn_t frame)
{
	struct back_entry *entry = entry_of(mem, frame.n), *own = entry_of(mem, page.n);

	if (mfn_is_home(page, frame)) {
		if (entry->frame != LIMBO)
			return;
		entry->frame = 0;
		reverse_release(mem, slot_of(mem, frame.n));
		return;
	}
	if (entry->frame == 0)
		slot_of(mem, frame.n)->busy++;
	if (entry->frame == 0 || entry->frame == LIMBO) {
		own->next = (uint32_t)page.n + 1;
	} else {
		struct back_entry *last = entry_of(mem, entry->frame - 1);

		own->next = last->next;
		last->next = (uint32_t)page.n + 1;
	}
	entry->frame = (uint32_t)page.n + 1;
}

static void leave(struct mem *mem, gfn_t page, mfn_t frame)
{
	struct back_entry *entry = entry_of(mem, frame.n), *own, *previous;
	uint32_t place;

	if (mfn_is_home(page, frame))
		return;
	own = entry_of(mem, page.n);
	place = entry->frame;
	previous = entry_of(mem, place - 1);
	while (previous->next != (uint32_t)page.n + 1) {
		place = previous->next;
		previous = entry_of(mem, place - 1);
	}
	if (previous == own)
		entry->frame = LIMBO;
	else if (entry->frame == (uint32_t)page.n + 1)
		entry->frame = place;
	previous->next = own->next;
	own->next = 0;
}

/*
 * Each home was taken, or is left by the move before: in limbo, or with one page in it that has gone by now. Nothing is
 * written for the frames that are left: a home of the batch's own says nothing here, all others freed() sees next.
 */
static void come_home(struct mem *mem, const struct mem_batch *batch)
{
	const struct mem_move *move = batch->move, *end = move + batch->count;
	struct frame_slot *slots = mem->back_slot;
	struct p2m_slot *root = mem->root;

	for (; move < end; move++) {
		gfn_t page = move->page;
		uint64_t chunk = p2m_chunk(page);
		struct back_leaf *leaf = slots[chunk].leaf;

		leaf->entry[p2m_index(page)] = (struct back_entry){ 0 };
		reverse_release(mem, &slots[chunk]);
		p2m_bring_home(mem, &root[chunk], page);
	}
	mem->displaced -= batch->count;
	mem->in_flight -= batch->count;
}

static void hold(struct mem *mem, mfn_t to) { (void)mem, (void)to; }

static bool is_free(struct mem *mem, mfn_t frame)
{
	if (!slot_of(mem, frame.n)->leaf)
		return true; /* asked of a frame that could be: so it is spare */
	return entry_of(mem, frame.n)->frame & FREE;
}

static uint32_t next_in_ring(const struct mem *mem, uint32_t page) { return entry_of(mem, page - 1)->next; }

static uint32_t crowd(const struct mem *mem, mfn_t frame, uint32_t limit)
{
	uint32_t last = slot_of(mem, frame.n)->leaf ? entry_of(mem, frame.n)->frame : 0, page = last, count = 0;

	if (last == 0 || last & (FREE | LIMBO))
		return 0;
	do {
		count++;
		page = next_in_ring(mem, page);
	} while (page != last && count < limit);
	return count;
}

static bool build_page(struct mem *mem, gfn_t page, uint64_t entry)
{
	mfn_t frame = p2m_entry_frame(entry);

	if (!prepare(mem, page, frame))
		return false;
	if (entry_of(mem, frame.n)->frame & FREE)
		taken(mem, frame);
	enter(mem, page, frame);
	return true;
}

static bool build_home(struct mem *mem, gfn_t page, uint64_t entry)
{
	(void)entry;
	if (entry_of(mem, page.n)->frame == 0 && !frames_is_withdrawn(mem, gfn_home(page)))
		push_free(mem, gfn_home(page));
	return true;
}

static bool build(struct mem *mem)
{
	if (!reverse_each_displaced(mem, build_page))
		return false;
	return reverse_each_displaced(mem, build_home); /* always to the end */
}

/* --- finding --- */

static bool find_in_chunk(const struct mem *mem, uint64_t chunk, const struct frame_want *want, mfn_t *frame)
{
	const struct back_leaf *leaf = mem->back_slot[chunk].leaf;
	uint64_t first = chunk << P2M_CHUNK_SHIFT;

	if (want->spare_only && !frames_has_spare(mem, chunk))
		return false;
	if (first >= want->avoid_first && first + P2M_CHUNK_PAGES <= want->avoid_last)
		return false;
	for (uint32_t i = mem->back_slot[chunk].first_free; i; i = free_next(leaf->entry[i - 1].frame)) {
		*frame = mfn(first + i - 1);
		if (frames_match(mem, want, *frame))
			return true;
	}
	return false;
}

/* A chunk of spare frames that nobody has touched gets its leaf. */
static err_t find_untouched(struct mem *mem, const struct frame_want *want, mfn_t *frame)
{
	for (uint64_t seen = 0; seen < mem->frame_chunk_count; seen++) {
		uint64_t chunk = mem->scan_chunk;

		if (!mem->back_slot[chunk].leaf && frames_has_spare(mem, chunk)) {
			if (!add_leaf(mem, chunk))
				return SCRIM_ENOTABLE;
			if (find_in_chunk(mem, chunk, want, frame))
				return SCRIM_OK;
			tidy(mem, chunk);
		}
		mem->scan_chunk = chunk + 1 < mem->frame_chunk_count ? chunk + 1 : 0;
	}
	return SCRIM_ENOFRAME;
}

static err_t find_free(struct mem *mem, const struct frame_want *want, mfn_t *frame)
{
	for (uint64_t chunk = mem->first_free_chunk; chunk; chunk = mem->back_slot[chunk - 1].next)
		if (find_in_chunk(mem, chunk - 1, want, frame))
			return SCRIM_OK;
	return find_untouched(mem, want, frame);
}

static bool find_stranger(struct mem *mem, mfn_t frame, gfn_t *page)
{
	uint32_t last = slot_of(mem, frame.n)->leaf ? entry_of(mem, frame.n)->frame : 0;

	if (last == 0 || last & (FREE | LIMBO))
		return false;
	*page = gfn(last - 1);
	return true;
}

/* Only of frames that a page shares, or did: one of their pages is not as Identity has it, so there is a leaf. */
static void answer_frame(struct mem *mem, uint32_t place)
{
	struct mem_question *question = &mem->question;
	uint32_t last = entry_of(mem, question->frame[place].n)->frame, page = last;

	if (last == 0 || last & (FREE | LIMBO))
		return;
	do {
		page = next_in_ring(mem, page);
		if (!question->absent_too && p2m_entry_access(p2m_entry(mem, gfn(page - 1))) == MEM_ACCESS_NONE)
			continue;
		question->strangers[place]++;
		question->stranger[place] = gfn(page - 1);
	} while (page != last && question->strangers[place] < 2);
}

static void answer(struct mem *mem)
{
	for (uint32_t i = 0; i < mem->question.count; i++)
		answer_frame(mem, i);
}

/* --- the check --- */

struct back_count {
	uint64_t strangers, free_frames, busy, free_in_chunk;
};

/* The ring of one frame: each page is there, and so many as there should be in all. */
static bool check_ring(const struct mem *mem, uint64_t frame, struct back_count *count)
{
	uint32_t last = entry_of(mem, frame)->frame, page = last;

	do {
		if (page == 0 || page > mem->chunk_count << P2M_CHUNK_SHIFT || !slot_of(mem, page - 1)->leaf)
			return false;
		if (p2m_entry_frame(p2m_entry(mem, gfn(page - 1))).n != frame || ++count->strangers > mem->displaced)
			return false;
		page = next_in_ring(mem, page);
	} while (page != last);
	return true;
}

static bool check_frame(const struct mem *mem, uint64_t frame, struct back_count *count)
{
	uint32_t word = entry_of(mem, frame)->frame;
	gfn_t page = gfn(frame);

	if (frames_is_withdrawn(mem, mfn(frame)))
		return word == 0;
	if (word & FREE) {
		count->free_in_chunk++;
		return p2m_is_displaced(p2m_entry(mem, page), page) || frames_is_spare(mem, mfn(frame));
	}
	if (word == 0) /* at home, in flight from there, or none of our frames */
		return !p2m_is_displaced(p2m_entry(mem, page), page) && !frames_is_spare(mem, mfn(frame));
	count->busy++;
	if (word == LIMBO)
		return mem->in_flight > 0;
	return check_ring(mem, frame, count);
}

static bool check_chunk(const struct mem *mem, uint64_t chunk, struct back_count *count, uint64_t *where)
{
	const struct frame_slot *slot = &mem->back_slot[chunk];
	uint64_t first = chunk << P2M_CHUNK_SHIFT;

	count->busy = count->free_in_chunk = 0;
	for (uint32_t i = 0; slot->leaf && i < P2M_CHUNK_PAGES; i++) {
		*where = (first + i) << PAGE_SHIFT;
		if (!check_frame(mem, first + i, count))
			return false;
	}
	*where = first << PAGE_SHIFT;
	count->free_frames += count->free_in_chunk;
	for (uint32_t i = 0; !slot->leaf && frames_has_spare(mem, chunk) && i < P2M_CHUNK_PAGES; i++)
		count->free_frames += frames_is_spare(mem, mfn(first + i));
	return slot->busy == count->busy && slot->free_count == count->free_in_chunk;
}

static enum scrim_violation check(struct mem *mem, uint64_t *where)
{
	struct back_count count = { 0 };

	for (uint64_t chunk = 0; chunk < mem->frame_chunk_count; chunk++)
		if (!check_chunk(mem, chunk, &count, where))
			return SCRIM_V3_FRAME_STATE;
	*where = 0;
	return count.strangers == mem->displaced && count.free_frames == mem->free_frames ? SCRIM_HOLDS
											  : SCRIM_V3_FRAME_STATE;
}

const struct reverse_ops reverse_backmap = {
	.name = "backmap",
	.id = MEM_REVERSE_BACKMAP,
	.build = build,
	.drop = drop,
	.prepare = prepare,
	.hold = hold,
	.unhold = hold,
	.enter = enter,
	.leave = leave,
	.come_home = come_home,
	.freed = freed,
	.taken = taken,
	.withdrawn = withdrawn,
	.is_free = is_free,
	.crowd = crowd,
	.find_free = find_free,
	.find_stranger = find_stranger,
	.answer = answer,
	.tidy = tidy,
	.check = check,
};
