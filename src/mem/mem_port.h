/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the seam through which the memory engine acts on the world: tables, shootdowns, copies. The VMM implements it
 * with a translation back-end and the machine; tests implement it with a simulated machine that punishes mistakes.
 */
#pragma once

#include "base/addr.h"

/* What a CPU may do with a page of the map. */
enum mem_access {
	MEM_ACCESS_NONE = 0, /* absent: a CPU that touches it waits in the VMM */
	MEM_ACCESS_READ,     /* read and execute */
	MEM_ACCESS_ALL,
};

/* One page of a batch. */
struct mem_move {
	gfn_t page;
	mfn_t from, to;
	gfn_t rider;     /* where has_rider: shared `from` with `page`; goes along without a copy and shares `to` */
	uint8_t access;  /* enum mem_access that the page had */
	bool has_rider;
	bool chained;    /* `to` is what the move before this one leaves */
	bool hidden;     /* absent in the hardware's tables since it was planned, not only in the map */
};

struct mem_port_ops {
	/* One zeroed 4 KiB page for a leaf of the map, or NULL. Owned by the engine until table_free. */
	void *(*table_alloc)(void *context);
	void (*table_free)(void *context, void *page);
	/*
	 * Makes sure that later map_set calls for this page cannot fail: splits large entries, takes table pages. The
	 * translation itself does not change. False when no memory is left: what was prepared along with it, and not set yet, is
	 * given up then.
	 */
	bool (*map_prepare)(void *context, gfn_t page);
	/*
	 * Writes one translation into the hardware's tables. Cannot fail after map_prepare, which holds until
	 * map_release. Flushes nothing. The engine makes a page absent and flushes before it makes it present, so that a
	 * back-end which splits a large entry here can break it in the one call and make it in the other. Only the right
	 * to write is given back in place.
	 */
	void (*map_set)(void *context, gfn_t page, mfn_t frame, enum mem_access access);
	/*
	 * map_set for every page of `count` moves: absent where it is (`from`); and, after the flush and the copy, present at `to`
	 * with MEM_ACCESS_ALL. Nobody rides along.
	 */
	void (*map_hide)(void *context, const struct mem_move *move, uint32_t count);
	void (*map_show)(void *context, const struct mem_move *move, uint32_t count);
	/*
	 * The 2 MiB chunk of `page` is all at home again, with MEM_ACCESS_ALL: the back-end may merge it (break before
	 * make is its own affair) and give its table pages back. A CPU may still have such a page in its paging-structure
	 * caches: the engine calls flush before the next table_alloc or map_prepare, and nobody else may use the page
	 * before that.
	 */
	void (*map_release)(void *context, gfn_t page);
	/* Returns when no CPU and no device holds a translation older than the last map_set, map_hide or map_release. */
	void (*flush)(void *context);
	/*
	 * Copies the same part of each `from` to its `to`, in the order of the moves: `bytes` at `offset`, both multiples of 8
	 * and within 4 KiB. The one function here that is called without the caller's lock.
	 */
	void (*copy)(void *context, const struct mem_move *move, uint32_t count, uint32_t offset, uint32_t bytes);
	/* For mem_check, never in NATIVE: what the hardware's tables say of this page. False when it is absent there. */
	bool (*map_get)(void *context, gfn_t page, mfn_t *frame, enum mem_access *access);
	/* For sharing. A hash of a few words of a frame's contents, or of all, which may change meanwhile; and whether two frames are equal. */
	uint64_t (*sample)(void *context, mfn_t frame);
	uint64_t (*hash)(void *context, mfn_t frame);
	bool (*equal)(void *context, mfn_t a, mfn_t b);
};
