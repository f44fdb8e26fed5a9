/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the watch over the OS's RAM: from one instant on a page is closed, which means read-only to CPUs whatever the map says, until its
 * first write opens it. For an image the page is copied before that, so that all of RAM can be read as it was at the instant while the OS
 * goes on. The map does not change while a watch is on, but for pages that give up sharing.
 *
 *	watch_prepare()     everything is closed, frames for copies are taken; may fail
 *	watch_start()       the instant: all CPUs stand still, and go on behind a flush
 *	watch_write()       a CPU's first write to a page
 *	watch_let_go()      an image's reader has done with a page
 *	watch_stop()        nothing is closed; the copies are forgotten
 *	watch_give_back()   and their frames free
 *
 * Pure. Calls are serialized by the caller, except watch_is_open() and watch_open_level().
 */
#pragma once

#include "mem/p2m.h"

#define WATCH_RUNS 16u /* of frames taken */

struct watch_port {
	/* A frame's bytes. */
	void *(*bytes)(void *context, mfn_t frame);
	void *context;
};

struct watch_run {
	mfn_t first;
	uint64_t count;
};

struct watch {
	struct mem *mem;
	struct watch_port port;
	enum scrim_watch kind; /* NONE: everything is open. Atomic */
	enum scrim_watch failed; /* what was stopped last because a write met no frame or table; NONE: nothing */
	uint64_t (*open)[P2M_CHUNK_PAGES / 64]; /* by chunk of RAM, a bit a page. Atomic */
	uint64_t *copies;      /* by chunk: machine address of a frame with 512 machine addresses of copies; 0: there are none */
	uint32_t run_count, run_at;
	struct watch_run run[WATCH_RUNS];
	uint64_t run_next;     /* of run[run_at]: how many are in use or were */
	uint64_t unused;       /* machine address of a frame taken and given back, which starts with the next one's; 0: none */
	uint64_t left;         /* frames to be had, */
	uint64_t taken;        /* of so many in all */
	uint64_t pages;        /* of an image, and */
	uint64_t unread;       /* how many of them have not been let go */
	uint64_t copied;       /* pages, since the instant */
};

/* Bytes of storage, for RAM that ends at `ram_end`. */
uint64_t watch_storage_bytes(uint64_t ram_end);

/* `storage`: that many zeroed bytes, 8-byte aligned, kept. After mem_init(). */
void watch_init(struct watch *watch, struct mem *mem, const struct watch_port *port, void *storage);

static inline bool watch_is_on(const struct watch *watch)
{
	return __atomic_load_n(&watch->kind, __ATOMIC_ACQUIRE) != SCRIM_WATCH_NONE;
}

static inline bool watch_is_chunk_open(const struct watch *watch, uint64_t chunk)
{
	if (chunk >= watch->mem->chunk_count)
		return true;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES / 64; i++)
		if (__atomic_load_n(&watch->open[chunk][i], __ATOMIC_ACQUIRE) != UINT64_MAX)
			return false;
	return true;
}

/* CPUs may write the page as far as the watch is concerned. What is not RAM is always open. Asked for every page that moves. */
bool watch_has_opened(const struct watch *watch, gfn_t page);
static inline bool watch_is_open(const struct watch *watch, gfn_t page)
{
	return !watch_is_on(watch) || watch_has_opened(watch, page);
}

/* How large the piece around an open page is that is open as a whole: 1: 4 KiB, 2: 2 MiB, 3: 1 GiB without RAM. */
uint32_t watch_open_level(const struct watch *watch, gfn_t page);

/* Frames that an image could have now, or has left. */
uint64_t watch_frames(const struct watch *watch);

/* Takes, for an image, all free frames that are nobody's home, but those that the map needs. No batch is in flight. */
void watch_prepare(struct watch *watch, enum scrim_watch kind);

void watch_start(struct watch *watch, enum scrim_watch kind);

/*
 * `page` is about to be written for the first time, or was opened already. SCRIM_ENOFRAME: there is no frame for its copy: the watch has to
 * be stopped, as failed.
 */
err_t watch_write(struct watch *watch, gfn_t page) MUST_CHECK;

/*
 * Of an image's frames more than one `part`th are left, in proportion to the pages that have not been let go; a quarter of it is wanted to the end.
 */
bool watch_has_room(const struct watch *watch, uint32_t part);

/* The frame with the contents that the page had at the instant. */
mfn_t watch_source(const struct watch *watch, gfn_t page);

void watch_let_go(struct watch *watch, gfn_t page);

void watch_stop(struct watch *watch, bool failed);

/* Nobody holds any of the frames any more: tables made of them are given back, and behind a flush. True: a false would be a bug. */
bool watch_give_back(struct watch *watch) MUST_CHECK;

/* A frame of those taken, for a table; false: there is none left. And back. */
bool watch_take_frame(struct watch *watch, mfn_t *frame) MUST_CHECK;
void watch_return_frame(struct watch *watch, mfn_t frame);

/* How many pages of [first, last) are closed. */
uint64_t watch_closed(const struct watch *watch, gfn_t first, gfn_t last);

/* One bit each: 64 pages from `first` on, a multiple of that, have been written since the instant. What is not RAM has not. */
uint64_t watch_written(const struct watch *watch, gfn_t first);
