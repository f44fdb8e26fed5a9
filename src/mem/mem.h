/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the memory engine: Scrim's physical-to-machine map over Identity, its free frames, and the moves. Pure C, no
 * globals, no hardware; the world is reached through mem_port.h. Calls are serialized by the caller (the VMM's lock).
 */
#pragma once

#include "base/err.h"
#include "base/ranges.h"
#include "mem/mem_port.h"

struct mem_config {
	const struct mem_port_ops *port;
	void *port_context;
	const struct range_list *ram;      /* the OS's RAM, normalized; kept by pointer */
	const struct range_list *dma_free; /* where pages may be displaced: RANGE_RAM, normalized; kept by pointer */
	mfn_t reserve_first;               /* boot reserve of free frames, machine frames outside the OS's RAM */
	uint64_t reserve_frames;
	void *storage;                     /* mem_storage_bytes() zeroed bytes, 8-byte aligned, kept */
};

struct p2m_leaf;

struct mem {
	struct mem_config config;
	struct p2m_leaf **root; /* one slot per 2 MiB chunk up to the top of RAM; NULL: Identity */
	uint64_t chunk_count;
	uint64_t *reserve_used; /* bitmap over the boot reserve: 1 = occupied */
	uint64_t *reserve_seen; /* scratch of mem_check, same shape */
	uint64_t reserve_free;  /* zeros in reserve_used */
	uint64_t displaced;     /* pages not at home */
	uint64_t leaf_count;    /* table pages in use by the map itself */
	uint64_t home_cursor;   /* chunk at which mem_bring_home goes on */
	uint32_t batch_count;   /* scratch of mem_bring_home: the pages of one batch, those of one chunk side by side */
	gfn_t batch[SCRIM_BATCH_MAX];
	struct p2m_leaf *released[SCRIM_BATCH_MAX]; /* likewise: leaves to be freed behind the flush */
};

/* Counts of one mem_bring_home or mem_displace; added to, never reset. */
struct mem_moved {
	uint64_t pages, copies, direct, indirect;
};

/*
 * Bytes of storage for a machine whose OS RAM (the last RANGE_RAM entry) ends at `ram_end`, with a reserve of
 * `reserve_frames`.
 */
uint64_t mem_storage_bytes(uint64_t ram_end, uint64_t reserve_frames);

/* Identity map, every reserve frame free. Cannot fail: sizes are the caller's promise. */
void mem_init(struct mem *mem, const struct mem_config *config);

/* P2M(page); *access tells what CPUs may do with it. Any page number, also beyond RAM (Identity, MEM_ACCESS_ALL). */
mfn_t mem_translate(const struct mem *mem, gfn_t page, enum mem_access *access);

/* True when `page` belongs to RAM that the OS sees. */
bool mem_is_ram(const struct mem *mem, gfn_t page);

/* True when `page` may be displaced: RAM that no device writes past the map. */
bool mem_may_displace(const struct mem *mem, gfn_t page);

/*
 * Moves one page that is at home to a free frame: plan (SCRIM_ENOTRAM, SCRIM_EDMA, SCRIM_EDISPLACED, SCRIM_ENOFRAME,
 * SCRIM_ENOTABLE: nothing has changed), then apply: absent, flush, copy, present. The vacated home frame is kept for the
 * page's return.
 */
err_t mem_displace(struct mem *mem, gfn_t page, mfn_t *frame, struct mem_moved *moved) MUST_CHECK;

/*
 * Brings at most `batch` (up to SCRIM_BATCH_MAX) displaced pages home: one batch made absent, one flush, copies,
 * present; leaves of the map that are all Identity again are freed, the back-end told, and one flush more made if any.
 * The frames they leave are free only after a flush. Returns the number of pages still displaced. Cannot fail.
 */
uint64_t mem_bring_home(struct mem *mem, uint32_t batch, struct mem_moved *moved);
