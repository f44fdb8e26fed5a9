/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the memory engine: Scrim's physical-to-machine map over Identity, the frames that can hold pages, and the
 * moves. Pure C, no globals, no hardware; the world is reached through mem_port.h. Calls are serialized by the caller
 * (the VMM's lock), except mem_batch_copy and its like, mem_is_ram and, under a condition, mem_translate.
 *
 * Frames that can hold pages: the boot reserve, lent ranges, and the homes of displaced pages. Each page has one frame
 * or shares one, so that, pages in flight aside, free frames = reserve + lent + what sharing saves - withdrawn: a move never
 * eats into what unsharing needs (invariant 6). Taking lent frames back and withdrawing frames are what has to look.
 */
#pragma once

#include "base/err.h"
#include "base/ranges.h"
#include "mem/mem_port.h"

struct mem_config {
	const struct mem_port_ops *port;
	void *port_context;
	const struct range_list *ram;      /* the OS's RAM, normalized; kept by pointer */
	const struct range_list *movable;  /* where pages may be displaced: RANGE_RAM, normalized; kept by pointer */
	const struct range_list *dma_free; /* where no device writes, and pages may share frames; as above */
	mfn_t reserve_first;               /* boot reserve of free frames, machine frames outside the OS's RAM */
	uint64_t reserve_frames;
	void *storage;                     /* mem_storage_bytes() zeroed bytes, 8-byte aligned, kept */
};

/* Three answers to "who occupies this frame, and which frames are free". */
enum mem_reverse { MEM_REVERSE_SEARCH = 0, MEM_REVERSE_REFCOUNT, MEM_REVERSE_BACKMAP, MEM_REVERSE_COUNT };

enum mem_remap_mode { MEM_REMAP_DIRECT = 0, MEM_REMAP_INDIRECT };

/* What a step that plans a batch found. */
enum mem_step {
	MEM_STEP_MOVES = 0, /* the batch has moves: flush, copy, end (or abort) */
	MEM_STEP_AGAIN,     /* nothing in the bounded part that was looked at: call again */
	MEM_STEP_WAIT,      /* nothing until a batch in flight ends */
	MEM_STEP_DONE,      /* nothing is left to do */
	MEM_STEP_NO_FRAME,  /* no free frame to go on with; nothing has changed */
	MEM_STEP_NO_TABLE,  /* no memory for tables; nothing has changed */
};

/* Moves planned together, carried out in order. Caller-owned; between begin and end or abort it stays where it is. */
struct mem_batch {
	uint32_t count;
	bool plain;             /* every page goes home, out of a frame that it has to itself: all but a few do */
	struct mem_batch *next; /* batches in flight */
	struct mem_batch *previous;
	struct mem_move move[SCRIM_BATCH_MAX];
};

/* Questions to the reverse about up to SCRIM_BATCH_MAX frames at once, and its answers. Sorted by frame. */
struct mem_question {
	bool absent_too;  /* pages in flight count */
	bool names_one;   /* whether there is a stranger is not enough: `stranger` matters */
	uint32_t count;
	mfn_t frame[SCRIM_BATCH_MAX];
	uint8_t strangers[SCRIM_BATCH_MAX]; /* pages in the frame that are not at home there: 0, 1, or 2 for more */
	gfn_t stranger[SCRIM_BATCH_MAX];    /* one of them */
};

#define MEM_PAGES_MAX    ((1ull << 30) - 1) /* 4 TiB: pages from there on stay at home; the back map could not name them */
#define MEM_HINTS        64u
#define MEM_CACHE_SLOTS  128u /* a power of two */
#define MEM_UNLINKED_MAX (2u * SCRIM_BATCH_MAX) /* a move ends with the chunks of its page and of the frame that it left */

struct mem_remap {
	bool active;
	bool clearing;         /* indirect: occupied homes are being cleared */
	enum mem_remap_mode mode;
	gfn_t first, last;     /* pages and frames [first, last) are to be each other's */
	bool whole;
	gfn_t cursor;          /* where the sweep for free homes goes on */
	gfn_t open_cursor;     /* where the sweep for pages to move out of the way goes on */
	uint64_t quiet;        /* chunks swept since a free home may have been overlooked */
	uint64_t open_quiet;   /* chunks swept, since moves ended, that had no page which the homecoming is about */
	uint64_t cleared;      /* chunks swept for clearing, since moves ended; the round is over too where spare frames ran out */
	uint64_t idle;         /* chunks swept since something happened */
};

struct p2m_slot;
struct p2m_leaf;
struct frame_slot;
struct reverse_ops;

struct mem {
	struct mem_config config;
	struct p2m_slot *root;  /* one slot per 2 MiB chunk up to the top of RAM */
	uint64_t chunk_count;
	uint64_t leaf_count;    /* table pages in use by the map itself */
	uint32_t unlinked_count;
	struct p2m_leaf *unlinked[MEM_UNLINKED_MAX]; /* out of the map, to be freed behind the next flush */
	uint64_t displaced;     /* pages not at home */
	uint64_t read_only;     /* pages that share a frame, or did and have not been written since */
	uint64_t in_flight;     /* pages that a batch holds */
	uint64_t saved;         /* pages - frames that they occupy: what unsharing everything needs */
	bool tidy_due;          /* since the last tidying, a leaf came to say nothing */

	struct range_list managed; /* RANGE_RAM: portions */
	struct range_list lent;    /* RANGE_RAM: frames lent by the OS */
	uint64_t lent_frames;
	struct range_list withdrawn; /* frames that hold no page. RANGE_RAM: for a while; RANGE_UNUSABLE: retired, for good */
	uint64_t withdrawn_frames;   /* of both kinds */
	uint64_t retired_frames;
	uint64_t free_frames;
	uint64_t free_homes;       /* of these, homes of displaced pages: where chains begin */

	const struct reverse_ops *reverse;
	struct frame_slot *back_slot;  /* back map: one per 2 MiB of frames up to the top of RAM or of the reserve */
	struct frame_slot *count_slot; /* counts: one per 4 MiB of frames */
	uint64_t frame_chunk_count;
	uint64_t reverse_leaf_count;   /* table pages in use by the reverse */
	uint64_t first_free_chunk;     /* back map: head of the list of chunks with free frames, + 1 */
	uint64_t *window;              /* search: a bit per frame from window_first: not free */
	uint64_t window_first;
	bool window_valid;
	uint64_t *seen, *seen_all;      /* scratch of mem_check, as large as the window */
	uint64_t scan_chunk;            /* where the search for free frames goes on */
	uint64_t free_cache[MEM_CACHE_SLOTS]; /* counts and search: some free frames, + 1 */

	uint32_t hint_count;
	gfn_t hint[MEM_HINTS]; /* displaced pages whose homes are free */
	struct mem_remap remap;
	struct mem_batch *batches; /* in flight */
	struct mem_batch own;      /* of operations that hold the lock all through */
	struct mem_question question;
};

/* Counts of moves; added to, never reset. */
struct mem_moved {
	uint64_t pages, copies, direct, indirect;
};

/*
 * Bytes of storage for a machine whose OS RAM (the last RANGE_RAM entry) ends at `ram_end`, with a reserve of
 * `reserve_frames` that ends below `frames_end` (bytes).
 */
uint64_t mem_storage_bytes(uint64_t ram_end, uint64_t frames_end);

/* Identity map, every reserve frame free, all RAM managed, back map. Cannot fail: sizes are the caller's promise. */
void mem_init(struct mem *mem, const struct mem_config *config);

/*
 * P2M(page); *access tells what CPUs may do with it. Any page number, also beyond RAM (Identity, MEM_ACCESS_ALL).
 * Without the lock only by a CPU that answers no flush until it has done with the frame; and what a page in flight
 * (MEM_ACCESS_NONE) leaves may have been written over.
 */
mfn_t mem_translate(const struct mem *mem, gfn_t page, enum mem_access *access);

/* True when `page` belongs to RAM that the OS sees. */
bool mem_is_ram(const struct mem *mem, gfn_t page);

/* True when `page` may be displaced: managed RAM below MEM_PAGES_MAX, not lent, that no device writes past the map. */
bool mem_may_displace(const struct mem *mem, gfn_t page);

/* True when only that it is not managed is in the way of that. */
bool mem_may_be_managed(const struct mem *mem, gfn_t page);

/* True when it may be read-only besides: no device writes there at all. */
bool mem_may_share(const struct mem *mem, gfn_t page);

/* Pages [first, end), of which that is true, or of none. */
struct mem_run {
	gfn_t first, end;
	bool may_share;
};

/* The run around a page: who asks of one page after another need not have the lists gone through for each. */
struct mem_run mem_run_around(const struct mem *mem, gfn_t page);

/* --- batches: begin under the lock (mem_remap_begin, mem_scatter_begin), flush, copy, end under the lock --- */

/* Copies in order. No lock: nobody else deals with these frames. */
void mem_batch_copy(const struct mem *mem, const struct mem_batch *batch);

/* Of the moves from `first` on `count` at most; the parts one after another. */
void mem_batch_copy_some(const struct mem *mem, const struct mem_batch *batch, uint32_t first, uint32_t count);

/* Only these bytes of every page, in order: slices of different bytes may be copied at the same time. */
void mem_batch_copy_slice(const struct mem *mem, const struct mem_batch *batch, uint32_t offset, uint32_t bytes);

/*
 * After the copy: pages present at their new places, frames free. Leaves of the map that are all Identity are taken out
 * of it, the back-end told, and if there are any, one flush more made, behind which they are freed. Cannot fail.
 */
void mem_batch_end(struct mem *mem, struct mem_batch *batch, struct mem_moved *moved);

/* Instead of copy and end, behind the flush all the same: everything as before begin. */
void mem_batch_abort(struct mem *mem, struct mem_batch *batch);

/* --- homecoming --- */

/*
 * Locks the map: from now on only the homecoming changes it. Brings home every page of [first, last) and moves every
 * other page out of these frames. SCRIM_ESTATE: another homecoming is active. SCRIM_ENOFRAME: there are displaced pages
 * and not one free frame, so that all that is displaced is cycles that cannot be opened.
 */
err_t mem_remap_start(struct mem *mem, enum mem_remap_mode mode, gfn_t first, gfn_t last) MUST_CHECK;

/* Unlocks the map: done, or given up. Batches in flight end as they would. */
void mem_remap_stop(struct mem *mem);

/* Plans at most `limit` moves (1 to SCRIM_BATCH_MAX); bounded work, unless the reverse has to sweep. */
enum mem_step mem_remap_begin(struct mem *mem, struct mem_batch *batch, uint32_t limit) MUST_CHECK;

/* --- single pages --- */

/*
 * Moves one page that is at home to a free frame: plan (SCRIM_ESTATE, SCRIM_ENOTRAM, SCRIM_EDMA, SCRIM_EDISPLACED,
 * SCRIM_ENOFRAME, SCRIM_ENOTABLE: nothing has changed), then apply: absent, flush, copy, present.
 */
err_t mem_displace(struct mem *mem, gfn_t page, mfn_t *frame, struct mem_moved *moved) MUST_CHECK;

/*
 * A CPU writes a page and may not. MEM_STEP_DONE: it may now, try again. MEM_STEP_WAIT: the page, or the frame it
 * needs, is in flight. MEM_STEP_NO_TABLE: as it says; wait as well.
 */
enum mem_step mem_unshare_on_write(struct mem *mem, gfn_t page, struct mem_moved *moved) MUST_CHECK;

/* --- the reverse --- */

/* Switches between operations (no batch in flight, else SCRIM_ESTATE). SCRIM_ENOTABLE: as before. */
err_t mem_use_reverse(struct mem *mem, enum mem_reverse reverse) MUST_CHECK;
enum mem_reverse mem_reverse_in_use(const struct mem *mem);

/* --- portions and lent frames; bytes, page-aligned (SCRIM_EALIGN). SCRIM_EINVAL: the list of ranges is full --- */

err_t mem_manage(struct mem *mem, uint64_t start, uint64_t end) MUST_CHECK;

/* SCRIM_EDISPLACED: a page of the range is not at home or in use, or a frame of it holds another page. */
err_t mem_unmanage(struct mem *mem, uint64_t start, uint64_t end) MUST_CHECK;

/* RAM that the OS has offlined: pages at home, alone. SCRIM_ENOTRAM, SCRIM_EDISPLACED. */
err_t mem_lend(struct mem *mem, uint64_t start, uint64_t end) MUST_CHECK;

/* SCRIM_EDISPLACED: a frame holds a page, or is withdrawn. SCRIM_ENOFRAME: it is needed for unsharing or to open a cycle. */
err_t mem_unlend(struct mem *mem, uint64_t start, uint64_t end) MUST_CHECK;

/* --- withdrawn frames: neither free nor occupied --- */

/*
 * Takes the free frames [first, first + count) away from the moves, until they are given back. Nothing changes when refused:
 * SCRIM_ESTATE: a batch is in flight. SCRIM_EINVAL: none, or the list of ranges is full. SCRIM_ENOTRAM: one can hold no page.
 * SCRIM_EDISPLACED: one holds a page, or is withdrawn. SCRIM_ENOFRAME: they are needed for unsharing or to open a cycle.
 */
err_t mem_withdraw(struct mem *mem, mfn_t first, uint64_t count) MUST_CHECK;

/* Free again. SCRIM_EINVAL: not all of them are withdrawn for a while, or the list of ranges is full. */
err_t mem_give_back(struct mem *mem, mfn_t first, uint64_t count) MUST_CHECK;

/* All of them, retired ones too. No batch is in flight. */
void mem_give_all_back(struct mem *mem);

/*
 * Retires a frame: withdrawn for good. Each call moves one page out of it at most; *done: it is retired, else call again.
 * Already retired is done. Where the page that has its home there is not managed, it is from now on. SCRIM_ESTATE: a homecoming
 * or a batch is under way. SCRIM_ENOTRAM: no frame that pages can be in. SCRIM_EDMA: a device writes there past the map, or
 * no page may leave. SCRIM_EDISPLACED: withdrawn for a while. SCRIM_ENOFRAME: no free frame, or the last that unsharing
 * or a cycle needs. SCRIM_ENOTABLE. SCRIM_EINVAL: a list of ranges is full. Then nothing has changed.
 */
err_t mem_retire(struct mem *mem, mfn_t frame, struct mem_moved *moved, bool *done) MUST_CHECK;

/* The page whose contents are in the frame, the frame's own if it is there. False: none. A sweep, but under the back map. */
bool mem_find_occupant(struct mem *mem, mfn_t frame, gfn_t *page);

/*
 * The end of a homecoming: what came home is managed no more. What is left are the 2 MiB, of what was managed, around pages that
 * have no home: their frames are withdrawn. SCRIM_EINVAL, which mem_may_lock() tells before: the list of portions is full.
 */
err_t mem_lock_portion(struct mem *mem, uint64_t start, uint64_t end) MUST_CHECK;
bool mem_may_lock(const struct mem *mem, uint64_t start, uint64_t end, struct range_list *scratch);

/* The same of all RAM: the whole 2 MiB stay managed. */
void mem_lock_all(struct mem *mem);
