/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the carrying out of moves. Keeps: what the OS wrote is what it reads, and a frame or a table page is used again
 * only when nobody can hold a translation through it.
 *
 * Every move of a page p from frame f to frame t is the same four steps, and this is why they suffice:
 *
 * - absent (begin): until here CPUs and devices may hold p -> f, with the right to write. Nobody holds a translation
 *   to t: a free frame became free under this same rule, and a frame that the batch itself leaves is the next case.
 * - flush (the caller's, one for the batch): after it nobody holds p -> f, and nobody can load it, for the tables say
 *   absent. So f changes no more, and is read by nobody but the copy - or, shared, by pages that may not write it.
 * - copy, in order: f may be the target of the move after, for it is read before it is written.
 * - present (end): needs no flush. Nothing is cached from an entry that is not present (Intel SDM vol. 3, 4.10.4.3, and
 *   so in nested tables), so there is no older translation of p to be had.
 *
 * Hence f is free at the end, by the flush between absent and copy and no other. A CPU that touches an absent page comes
 * into the VMM and waits. Several batches may be in flight: no page and no frame is in two of them, but for a shared
 * frame that several leave; who is the last to end finds it empty.
 *
 * Riders: a shared frame x that is the home of a displaced page is wanted empty. Where one page would be left behind in
 * x when a batch has taken its sharers home, that page goes along: it reads from then on the home of the one that has
 * come home, whose contents are its own. It costs no copy, and opens the cycle that the page may be on.
 */
#include "mem/batch.h"

#include "mem/reverse.h"

void batch_set(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access)
{
	p2m_set(mem, page, frame, access);
	mem->config.port->map_set(mem->config.port_context, page, frame, access);
}

/* Takes the chunk's leaf out of the map if it says nothing. A CPU in an exit may still be reading it. */
static bool unlink_leaf(struct mem *mem, uint64_t chunk)
{
	struct p2m_leaf *leaf = p2m_take_leaf(mem, chunk);

	if (leaf)
		mem->unlinked[mem->unlinked_count++] = leaf;
	return leaf != NULL;
}

void batch_flush(struct mem *mem)
{
	mem->config.port->flush(mem->config.port_context);
	while (mem->unlinked_count > 0) {
		struct p2m_leaf **leaf = &mem->unlinked[--mem->unlinked_count];

		mem->config.port->table_free(mem->config.port_context, *leaf);
		*leaf = NULL;
	}
}

/* --- begin --- */

void batch_open(struct mem *mem, struct mem_batch *batch)
{
	batch->count = 0;
	batch->plain = true;
	batch->previous = NULL;
	batch->next = mem->batches;
	if (batch->next)
		batch->next->previous = batch;
	mem->batches = batch;
}

static void unlist(struct mem *mem, struct mem_batch *batch)
{
	if (batch->next)
		batch->next->previous = batch->previous;
	if (batch->previous)
		batch->previous->next = batch->next;
	else
		mem->batches = batch->next;
	batch->next = batch->previous = NULL;
}

/* Moves have ended: who waits may go on, and a page may be (as a rider) where it concerns the homecoming. */
static void batch_close(struct mem *mem, struct mem_batch *batch)
{
	unlist(mem, batch);
	mem->remap.idle = 0;
	mem->remap.open_quiet = 0;
	mem->remap.cleared = 0;
}

void batch_add(struct mem *mem, struct mem_batch *batch, gfn_t page, mfn_t to, bool chained)
{
	struct mem_move *move = &batch->move[batch->count++];
	uint64_t entry = p2m_entry(mem, page);

	*move = (struct mem_move){ .page = page, .from = p2m_entry_frame(entry), .to = to, .chained = chained,
				   .hidden = true, .access = (uint8_t)p2m_entry_access(entry) };
	batch->plain &= mfn_is_home(page, to) && move->access == MEM_ACCESS_ALL;
	if (!chained)
		frames_take(mem, to);
	if (!mfn_is_home(page, to))
		mem->reverse->hold(mem, to);
	batch_set(mem, page, move->from, MEM_ACCESS_NONE);
}

/* The map's leaf, the reverse's, then tables for the back-end, which alone cannot be taken back. */
bool batch_prepare(struct mem *mem, gfn_t page, mfn_t to)
{
	bool is_new = !mem->root[p2m_chunk(page)].leaf;

	if (p2m_add_leaf(mem, p2m_chunk(page)) && mem->reverse->prepare(mem, page, to) &&
	    mem->config.port->map_prepare(mem->config.port_context, page))
		return true;
	/* Only where it came for this page: else another was prepared too, for which the back-end may have split a chunk. */
	if (is_new && unlink_leaf(mem, p2m_chunk(page)))
		batch_flush(mem);
	mem->reverse->tidy(mem, p2m_chunk(page));
	mem->reverse->tidy(mem, to.n >> P2M_CHUNK_SHIFT);
	return false;
}

/* The page goes home out of a shared frame that somebody waits for. */
static bool wants_rider(const struct mem *mem, const struct mem_move *move)
{
	gfn_t waiting = gfn(move->from.n);

	return move->access == MEM_ACCESS_READ && mfn_is_home(move->page, move->to) &&
	       p2m_is_displaced(p2m_entry(mem, waiting), waiting);
}

static void add_rider(struct mem *mem, struct mem_move *move)
{
	struct mem_question *question = &mem->question;
	int32_t place = reverse_place(question, move->from);

	if (question->strangers[place] != 1)
		return;
	if (!mem->reverse->prepare(mem, question->stranger[place], move->to)) {
		mem->reverse->tidy(mem, move->to.n >> P2M_CHUNK_SHIFT);
		return; /* no memory: one copy more, later */
	}
	question->strangers[place] = 0; /* one move of several from this frame takes it along */
	move->has_rider = true;
	move->rider = question->stranger[place];
	mem->reverse->hold(mem, move->to);
	batch_set(mem, move->rider, move->from, MEM_ACCESS_NONE);
}

/* What follow() in remap.c has put into the batch is absent in the map alone. */
static void hide(struct mem *mem, const struct mem_batch *batch)
{
	const struct mem_port_ops *port = mem->config.port;

	if (batch->plain) {
		port->map_hide(mem->config.port_context, batch->move, batch->count);
		return;
	}
	for (const struct mem_move *move = batch->move, *end = move + batch->count; move < end; move++)
		if (!move->hidden)
			port->map_set(mem->config.port_context, move->page, move->from, MEM_ACCESS_NONE);
}

enum mem_step batch_seal(struct mem *mem, struct mem_batch *batch, enum mem_step empty)
{
	if (batch->count == 0) {
		unlist(mem, batch);
		return empty;
	}
	hide(mem, batch);
	reverse_ask(mem, false, true);
	for (uint32_t i = 0; !batch->plain && i < batch->count; i++)
		if (wants_rider(mem, &batch->move[i]))
			reverse_add(mem, batch->move[i].from);
	reverse_get_answers(mem);
	for (uint32_t i = 0; mem->question.count > 0 && i < batch->count; i++)
		if (wants_rider(mem, &batch->move[i]))
			add_rider(mem, &batch->move[i]);
	return MEM_STEP_MOVES;
}

/* --- copy --- */

void mem_batch_copy_slice(const struct mem *mem, const struct mem_batch *batch, uint32_t offset, uint32_t bytes)
{
	mem->config.port->copy(mem->config.port_context, batch->move, batch->count, offset, bytes);
}

void mem_batch_copy_some(const struct mem *mem, const struct mem_batch *batch, uint32_t first, uint32_t count)
{
	uint32_t left = batch->count - first;

	mem->config.port->copy(mem->config.port_context, batch->move + first, count < left ? count : left, 0, PAGE_SIZE);
}

void mem_batch_copy(const struct mem *mem, const struct mem_batch *batch)
{
	mem_batch_copy_slice(mem, batch, 0, PAGE_SIZE);
}

/* --- end --- */

bool batch_tidy(struct mem *mem, gfn_t page)
{
	if (!unlink_leaf(mem, p2m_chunk(page)))
		return false;
	mem->config.port->map_release(mem->config.port_context, page);
	mem->reverse->tidy(mem, p2m_chunk(page));
	return true;
}

/* Else the next move goes where this one leaves. */
static bool is_left_empty(const struct mem_move *move, const struct mem_move *end)
{
	return move + 1 == end || !move[1].chained;
}

static void tidy_frame(struct mem *mem, mfn_t frame)
{
	uint64_t chunk = frame.n >> P2M_CHUNK_SHIFT;

	if (chunk >= mem->chunk_count || mem->root[chunk].changed == 0)
		mem->reverse->tidy(mem, chunk);
}

/*
 * Frees the leaves that the batch emptied and lets the back-end merge. The flush here is not for frames. A CPU may still
 * have a table page that map_release gave up in its paging-structure caches, and would take whatever is put there next
 * for translations; and a CPU in an exit may still be reading the leaf. Both answer the flush only when they no longer
 * do. The engine asks for no table page between the release and this flush.
 */
static void tidy_batch(struct mem *mem, const struct mem_batch *batch)
{
	const struct mem_move *end = batch->move + batch->count;
	bool released = false;

	if (!mem->tidy_due)
		return;
	mem->tidy_due = false;
	for (const struct mem_move *move = batch->move; move < end; move++) {
		released |= batch_tidy(mem, move->page);
		/* Its page may have got the right to write back, as the last who was there. */
		if (p2m_chunk(gfn(move->from.n)) < mem->chunk_count)
			released |= batch_tidy(mem, gfn(move->from.n));
		if (is_left_empty(move, end))
			tidy_frame(mem, move->from);
		tidy_frame(mem, move->to);
	}
	if (released)
		batch_flush(mem);
}

/* One page stands at its new place. */
static void arrive(struct mem *mem, gfn_t page, const struct mem_move *move, enum mem_access access)
{
	if (!mfn_is_home(page, move->to))
		mem->reverse->unhold(mem, move->to);
	mem->reverse->leave(mem, page, move->from);
	mem->reverse->enter(mem, page, move->to);
	batch_set(mem, page, move->to, access);
}

/* Move by move: a frame that one leaves is entered by the next. */
static void arrive_all(struct mem *mem, const struct mem_batch *batch, struct mem_moved *moved)
{
	const struct mem_move *end = batch->move + batch->count;

	for (const struct mem_move *move = batch->move; move < end; move++) {
		bool home = mfn_is_home(move->page, move->to);

		arrive(mem, move->page, move, move->has_rider ? MEM_ACCESS_READ : MEM_ACCESS_ALL);
		if (move->has_rider)
			arrive(mem, move->rider, move, MEM_ACCESS_READ);
		moved->direct += home;
		moved->indirect += !home && !mfn_is_home(move->page, move->from);
	}
}

void batch_settle(struct mem *mem, uint32_t place)
{
	mfn_t frame = mem->question.frame[place];
	gfn_t page = gfn(frame.n);
	uint64_t entry = p2m_entry(mem, page);

	if (mem->question.strangers[place] > 0)
		return;
	if (p2m_is_displaced(entry, page) || frames_is_spare(mem, frame)) {
		mem->saved++; /* who left last saved nothing */
		frames_free(mem, frame);
		return;
	}
	mem->reverse->enter(mem, page, frame);
	/* Alone at home. It may write again: rights that grow need no flush. Absent, it is a batch's to end. */
	if (p2m_entry_access(entry) == MEM_ACCESS_READ)
		batch_set(mem, page, frame, MEM_ACCESS_ALL);
}

/* Frames of which the page was alone are free; shared ones where nobody is left. */
static void leave_frames(struct mem *mem, const struct mem_batch *batch)
{
	const struct mem_move *end = batch->move + batch->count;

	reverse_ask(mem, true, false);
	for (const struct mem_move *move = batch->move; move < end; move++) {
		if (move->access == MEM_ACCESS_READ) {
			reverse_add(mem, move->from);
			mem->saved--;
		} else if (is_left_empty(move, end)) {
			frames_free(mem, move->from);
		}
	}
	reverse_get_answers(mem);
	for (uint32_t i = 0; i < mem->question.count; i++)
		batch_settle(mem, i);
}

/* The same for a plain batch, in fewer steps: each page's way. */
static void end_plain(struct mem *mem, const struct mem_batch *batch, struct mem_moved *moved)
{
	const struct mem_move *end = batch->move + batch->count;

	mem->reverse->come_home(mem, batch);
	mem->config.port->map_show(mem->config.port_context, batch->move, batch->count);
	for (const struct mem_move *move = batch->move + 1; move < end; move++)
		if (!move->chained)
			frames_free(mem, move[-1].from);
	frames_free(mem, end[-1].from);
	moved->direct += batch->count;
}

void mem_batch_end(struct mem *mem, struct mem_batch *batch, struct mem_moved *moved)
{
	batch_close(mem, batch);
	if (batch->plain) {
		end_plain(mem, batch, moved);
	} else {
		arrive_all(mem, batch, moved);
		leave_frames(mem, batch);
	}
	moved->pages += batch->count;
	moved->copies += batch->count;
	tidy_batch(mem, batch);
}

/* Pages at home that shared their frames when the batch began, and may be alone now. */
static void settle_homes(struct mem *mem, const struct mem_batch *batch)
{
	reverse_ask(mem, true, false);
	for (uint32_t i = 0; i < batch->count; i++)
		if (batch->move[i].access == MEM_ACCESS_READ && mfn_is_home(batch->move[i].page, batch->move[i].from))
			reverse_add(mem, batch->move[i].from);
	reverse_get_answers(mem);
	for (uint32_t i = 0; i < mem->question.count; i++)
		batch_settle(mem, i);
}

/* Nothing was copied: the pages stand where they stood, the targets that were free are free again. */
void mem_batch_abort(struct mem *mem, struct mem_batch *batch)
{
	batch_close(mem, batch);
	for (uint32_t i = batch->count; i-- > 0;) {
		const struct mem_move *move = &batch->move[i];

		if (move->has_rider) {
			mem->reverse->unhold(mem, move->to);
			batch_set(mem, move->rider, move->from, MEM_ACCESS_READ);
		}
		if (!mfn_is_home(move->page, move->to))
			mem->reverse->unhold(mem, move->to);
		batch_set(mem, move->page, move->from, (enum mem_access)move->access);
		if (!move->chained)
			frames_free(mem, move->to);
	}
	settle_homes(mem, batch);
	tidy_batch(mem, batch);
}

void batch_run(struct mem *mem, struct mem_batch *batch, struct mem_moved *moved)
{
	batch_flush(mem);
	mem_batch_copy(mem, batch);
	mem_batch_end(mem, batch, moved);
}
