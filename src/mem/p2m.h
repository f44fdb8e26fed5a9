/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Scrim's physical-to-machine map, sparse over Identity: look up, set, grow and shrink. */
#pragma once

#include "mem/mem.h"

#define P2M_CHUNK_SHIFT 9u /* pages to a chunk: one large entry of the hardware's tables, 2 MiB */
#define P2M_CHUNK_PAGES (1u << P2M_CHUNK_SHIFT)

/* One entry: machine address of the frame in bits 12-63, enum mem_access in bits 0-1, all else zero. */
struct p2m_leaf {
	uint64_t entry[P2M_CHUNK_PAGES];
};

_Static_assert(sizeof(struct p2m_leaf) == PAGE_SIZE, "a leaf is one page of table_alloc");

/* A chunk. NULL: all Identity. */
struct p2m_slot {
	struct p2m_leaf *leaf;
	uint32_t changed;   /* entries that say other than Identity and MEM_ACCESS_ALL */
	uint32_t displaced; /* of these, entries that say other than Identity */
};

static inline uint64_t p2m_chunk(gfn_t page) { return page.n >> P2M_CHUNK_SHIFT; }
static inline uint32_t p2m_index(gfn_t page) { return (uint32_t)(page.n & (P2M_CHUNK_PAGES - 1)); }
static inline gfn_t p2m_page(uint64_t chunk, uint32_t index) { return gfn((chunk << P2M_CHUNK_SHIFT) + index); }
static inline mfn_t p2m_entry_frame(uint64_t entry) { return mfn_of_address(entry); }
static inline enum mem_access p2m_entry_access(uint64_t entry) { return (enum mem_access)(entry & 3u); }

static inline uint64_t p2m_make_entry(mfn_t frame, enum mem_access access)
{
	return mfn_address(frame) | (uint64_t)access;
}

/* The entry of any page, as a leaf would have it. Under the lock. */
static inline uint64_t p2m_entry(const struct mem *mem, gfn_t page)
{
	uint64_t chunk = p2m_chunk(page);

	if (chunk >= mem->chunk_count || !mem->root[chunk].leaf)
		return p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL);
	return mem->root[chunk].leaf->entry[p2m_index(page)];
}

static inline bool p2m_is_displaced(uint64_t entry, gfn_t page)
{
	return !mfn_is_home(page, p2m_entry_frame(entry));
}

/* Displaced, and not in the hands of a batch. */
static inline bool p2m_is_at_rest(uint64_t entry, gfn_t page)
{
	return p2m_is_displaced(entry, page) && p2m_entry_access(entry) != MEM_ACCESS_NONE;
}

/*
 * The two changes on the path of every page that comes home; p2m_set does the same, and all others. What they do not count is
 * their callers' to count, for many pages at once. Absent from now on; at `place` stands `entry`, of a displaced
 * page with MEM_ACCESS_ALL. The caller counts `in_flight`.
 */
static inline void p2m_hide(uint64_t *place, uint64_t entry)
{
	__atomic_store_n(place, entry & ~3ull, __ATOMIC_RELAXED);
}

/* Displaced and absent until now, at home from now on. The caller counts `in_flight` and `displaced`. */
static inline void p2m_bring_home(struct mem *mem, struct p2m_slot *slot, gfn_t page)
{
	__atomic_store_n(&slot->leaf->entry[p2m_index(page)], p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL),
			 __ATOMIC_RELEASE);
	slot->displaced--;
	if (--slot->changed == 0)
		mem->tidy_due = true;
}

/* P2M(page) for any page number. The one function here that may be called without the lock (p2m.c says when). */
mfn_t p2m_get(const struct mem *mem, gfn_t page, enum mem_access *access);

/* Makes sure that the chunk has a leaf; the map's meaning does not change. False: no memory, nothing changed. */
bool p2m_add_leaf(struct mem *mem, uint64_t chunk) MUST_CHECK;

/* Sets P2M(page) and keeps every count over entries. The page's chunk has a leaf. */
void p2m_set(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access);

/*
 * Takes the chunk's leaf out of the map where every entry of it says Identity and MEM_ACCESS_ALL. Returns it, or NULL. The
 * caller frees it behind a flush: a CPU in an exit may be reading it without the lock (fetching an instruction).
 */
struct p2m_leaf *p2m_take_leaf(struct mem *mem, uint64_t chunk);
