/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the one interface of the three reverses: who occupies a frame, and which frames are free. They differ in what
 * they store, never in what they answer. A page at home is in nobody's books: P2M tells. Strangers are the others.
 *
 * A batch keeps the books like this. At begin, for each move: frames_take(to) unless the move before leaves it, and
 * hold(to). At end: unhold(to), leave(from), enter(to), P2M set; last, frames_free(from) where nobody is left.
 */
#pragma once

#include "mem/frames.h"

struct reverse_ops {
	const char *name;
	enum mem_reverse id;
	/* Builds the books from P2M. False: no memory, nothing kept. */
	bool (*build)(struct mem *mem);
	/* Gives every table page back. */
	void (*drop)(struct mem *mem);
	/* Makes sure that `page` can enter `to`. False: no memory; tables may be left for tidy. */
	bool (*prepare)(struct mem *mem, gfn_t page, mfn_t to);
	/* `to` will be entered, and may still be occupied. It is nobody's home who holds it. */
	void (*hold)(struct mem *mem, mfn_t to);
	void (*unhold)(struct mem *mem, mfn_t to);
	/* Also for a page that comes home to, or leaves, its own frame. */
	void (*enter)(struct mem *mem, gfn_t page, mfn_t frame);
	void (*leave)(struct mem *mem, gfn_t page, mfn_t frame);
	/* Both, and P2M, for all of a plain batch: each page has `from` to itself, and comes home. */
	void (*come_home)(struct mem *mem, const struct mem_batch *batch);
	void (*freed)(struct mem *mem, mfn_t frame);
	void (*taken)(struct mem *mem, mfn_t frame);
	/* A free frame is the OS's again, or withdrawn: in no list, and nobody comes there until it is freed. */
	void (*withdrawn)(struct mem *mem, mfn_t frame);
	/* Of a frame that is spare or the home of a page displaced and at rest. */
	bool (*is_free)(struct mem *mem, mfn_t frame);
	/* How many strangers are in the frame, `limit` where they are more; 0 where that is not known. */
	uint32_t (*crowd)(const struct mem *mem, mfn_t frame, uint32_t limit);
	err_t (*find_free)(struct mem *mem, const struct frame_want *want, mfn_t *frame);
	/* One of the pages in the frame that are not at home there, whatever they may do. False: none. In flight: where it was. */
	bool (*find_stranger)(struct mem *mem, mfn_t frame, gfn_t *page);
	/* Answers mem->question, for all its frames at once. */
	void (*answer)(struct mem *mem);
	/* Frees the tables for this chunk of frames where they say nothing. */
	void (*tidy)(struct mem *mem, uint64_t chunk);
	/* The books agree with P2M. *where: a frame's address. */
	enum scrim_violation (*check)(struct mem *mem, uint64_t *where);
};

/* What a reverse keeps of one leaf. */
struct frame_slot {
	void *leaf;
	uint32_t busy;          /* entries of the leaf that hold it there */
	uint32_t free_count;    /* back map: free frames in the chunk's list */
	uint32_t first_free;    /* index of the first, + 1 */
	uint32_t next, previous;/* chunks with free frames, + 1 */
};

/* One entry fewer holds the leaf there. */
static inline void reverse_release(struct mem *mem, struct frame_slot *slot)
{
	if (--slot->busy == 0)
		mem->tidy_due = true;
}

extern const struct reverse_ops reverse_backmap;
extern const struct reverse_ops reverse_refcount;
extern const struct reverse_ops reverse_search;

/* Calls for every displaced page, in the order of pages, until `each` says false. */
typedef bool (*reverse_each_fn)(struct mem *mem, gfn_t page, uint64_t entry);
bool reverse_each_displaced(struct mem *mem, reverse_each_fn each);

/* A stranger in the frame, by one sweep over P2M. */
bool reverse_sweep_for(struct mem *mem, mfn_t frame, gfn_t *page);

/* Answers mem->question by one sweep over P2M. */
void reverse_sweep(struct mem *mem);

/* The question is put together frame by frame, and sorted before it is asked. */
void reverse_ask(struct mem *mem, bool absent_too, bool names_one);
void reverse_add(struct mem *mem, mfn_t frame);
void reverse_get_answers(struct mem *mem);

/* The place of a frame in the sorted question, or -1. */
int32_t reverse_place(const struct mem_question *question, mfn_t frame);
