/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the files of v2m.h share: tables, what they mirror, and who leads to a frame. */
#pragma once

#include "xlat/v2m.h"

#define V2M_NONE UINT32_MAX
#define V2M_TABLE_KEPT (PTE_W | PTE_U | PTE_NX) /* how the OS's own table is cached says nothing of Scrim's, which is always written back */
#define V2M_LINK_KEPT (V2M_TABLE_KEPT | PTE_PWT | PTE_PCD) /* a link leads to the OS's own */
#define V2M_QUIET 16u /* returns to a table without a change, until it is offered to be linked; twice that for each bit of patience */

struct v2m_page {
	uint64_t loaded[V2M_ENTRIES / 64];
	uint64_t unused[V2M_ENTRIES / 64]; /* lowest tables: entries that were not used before the last look at that; also those that went since */
	uint64_t guest;   /* the OS's entry that leads here, as it was when it was followed */
	gfn_t gfn;        /* the OS's table; of a split large page: P of its first entry */
	uint32_t parent;  /* V2M_NONE: a root, or a kernel subtree */
	uint32_t link;    /* free tables; kernel tables with local entries; those yet to be inspected */
	uint16_t slot;    /* in the parent; of a kernel subtree: in every root */
	uint16_t local;   /* kernel tables: leaf entries that are not global */
	uint16_t count;   /* entries that are loaded */
	uint16_t idle;    /* lowest tables: entries inspected since the CPU last walked through it */
	uint16_t wasted;  /* lowest tables: entries inspected that were not used, since some were given up */
	uint16_t quiet;   /* lowest tables: returns since an entry came or changed */
	uint8_t words;    /* of `loaded` that are not 0: a bit each */
	uint8_t turns;    /* lowest tables: inspections since the last look at what is used */
	uint8_t patience;
	uint8_t level;    /* 1: maps 4 KiB pages */
	uint8_t part;     /* two-level tables of the OS's are cut in pieces: which */
	bool split;       /* pieces of one large page of the OS's, which has no table here */
	bool kernel;      /* below the upper half of a root: shared by all contexts */
	bool listed;      /* in v2m->local */
};

static inline uint32_t v2m_index(uint64_t linear, uint32_t level)
{
	return (uint32_t)(linear >> (12 + 9 * (level - 1))) & (V2M_ENTRIES - 1);
}

/* The first entry from `index` on that is loaded, or V2M_NONE. */
static inline uint32_t v2m_next(const struct v2m_page *page, uint32_t index)
{
	uint32_t word = index / 64;

	if (index >= V2M_ENTRIES)
		return V2M_NONE;
	uint64_t left = page->loaded[word] >> index % 64 << index % 64;
	uint32_t words = (uint32_t)page->words >> word >> 1;
	if (!left && !words)
		return V2M_NONE;
	if (!left) {
		word += 1 + (uint32_t)__builtin_ctz(words);
		left = page->loaded[word];
	}
	return word * 64 + (uint32_t)__builtin_ctzll(left);
}

static inline bool v2m_is_leaf(uint64_t entry, uint32_t level)
{
	return level == 1 || (level == 2 && entry & PTE_LARGE);
}

/* Not one of Scrim's: the OS's own table. */
static inline bool v2m_is_link(const struct v2m *v2m, uint64_t entry, uint32_t level)
{
	return level == 2 && entry && !(entry & PTE_LARGE) && ((entry & PTE_ADDRESS) - v2m->machine) >> PAGE_SHIFT >= v2m->page_count;
}

static inline uint32_t v2m_child(const struct v2m *v2m, uint64_t entry)
{
	return (uint32_t)(((entry & PTE_ADDRESS) - v2m->machine) >> PAGE_SHIFT);
}

static inline uint64_t v2m_machine_of(const struct v2m *v2m, uint32_t page)
{
	return v2m->machine + ((uint64_t)page << PAGE_SHIFT);
}

static inline uint32_t v2m_root_page(const struct v2m *v2m)
{
	return v2m->context[v2m->current].root;
}

/* True for entries of a root that belong to all contexts. */
static inline bool v2m_is_kernel_slot(const struct v2m *v2m, uint32_t page, uint32_t index)
{
	return v2m->page[page].level == v2m->levels && v2m->levels > 3 && index >= V2M_ENTRIES / 2;
}

/* What leads to a table that is not inspected and that the CPU does not see, until it misses something there: v2m_use.c. */
static inline bool v2m_is_asleep(uint64_t entry)
{
	return entry && !(entry & PTE_P);
}

/* The OS's entry `index` of the table that `page` mirrors, at `base`. */
static inline uint64_t v2m_guest_entry(const struct v2m *v2m, uint32_t page, const uint8_t *base, uint32_t index)
{
	const struct v2m_page *p = &v2m->page[page];

	if (!guest_is_two_level(&v2m->paging))
		return __atomic_load_n((const uint64_t *)(const void *)base + index, __ATOMIC_RELAXED);
	/* A directory of 1024 entries in quarters, each entry twice; a table of 1024 in halves. */
	uint32_t place = p->level == 2 ? p->part * 256u + index / 2 : p->part * 512u + index;
	return __atomic_load_n((const uint32_t *)(const void *)base + place, __ATOMIC_RELAXED);
}

/* An empty table, or V2M_NONE. */
uint32_t v2m_take(struct v2m *v2m, uint32_t level);

/* Table and all below it. What leads to it is the caller's. */
void v2m_free_subtree(struct v2m *v2m, uint32_t top);

/* The entry is no more, nor what is below it. */
void v2m_clear(struct v2m *v2m, uint32_t page, uint32_t index);

/* A leaf for page `source` of P, in place of what was there. */
void v2m_put_leaf(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t entry, gfn_t source);

/* A table is linked; the entry was empty. */
void v2m_put_child(struct v2m *v2m, uint32_t page, uint32_t index, uint32_t child, uint64_t flags);

/* The 2 MiB of P around `page` can be one entry. */
static inline bool v2m_is_large_possible(const struct v2m *v2m, gfn_t page)
{
	return v2m->port->is_whole(v2m->port->context, page) && !v2m_links_is_near(v2m->port->links, page);
}

/* Some tables can be linked now. */
static inline bool v2m_may_link(const struct v2m *v2m)
{
	return __atomic_load_n(&v2m->port->links->count, __ATOMIC_RELAXED) && v2m->kept == V2M_KEPT_SHADOW;
}

/* In place of what was there, the OS's own table that its entry `guest` leads to; the entry is of level 2. False: it cannot be linked now. */
bool v2m_put_link(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest);

/*
 * v2m_sync.c: what is loaded for the current address space is what the OS's tables say now, and within its bound; or within it alone. What is
 * shared and not global is what they say now.
 */
void v2m_sync_space(struct v2m *v2m);
void v2m_bound_space(struct v2m *v2m);
void v2m_sync_local(struct v2m *v2m);

/* v2m_sync.c: each entry of a table of the lowest level is what the OS's says now, or gone. */
void v2m_sync_lowest(struct v2m *v2m, uint32_t page);

/*
 * v2m_use.c, each of a lowest table, behind entry `index` of `page`: it is not worth an inspection now; it is inspected, and the CPU sees it again. Of `page`
 * itself: what the CPU has not used for long goes. The caller has the TLB and the paging-structure caches flushed, but where a table awakes.
 */
bool v2m_rests(struct v2m *v2m, uint32_t page, uint32_t index);
void v2m_wake(struct v2m *v2m, uint32_t page, uint32_t index);
void v2m_give_up_unused(struct v2m *v2m, uint32_t page);

/* v2m_sync.c: no link of this address space leads to a table that the OS has taken out. Leafs are not inspected. */
void v2m_sync_links(struct v2m *v2m);

/* v2m.c: `linear` in the address space of this root. True: there was an entry. What the TLB and the paging-structure caches keep is the caller's. */
bool v2m_clear_address(struct v2m *v2m, uint32_t root, uint64_t linear);

/* v2m_links.c: a lowest table has been quiet for long. */
void v2m_links_offer(struct v2m *v2m, uint32_t page);

void v2m_drop_kernel(struct v2m *v2m, uint32_t slot);
void v2m_drop_context(struct v2m *v2m, uint32_t which);

/* Something is given up, so that there is room again. */
void v2m_make_room(struct v2m *v2m);

/*
 * The entry of these tables at `level` that the OS's leaf `guest` stands for, counted; `page` is the first of P behind it. 0: absent in the map.
 * is_large_guest: the OS's leaf is larger than 4 KiB.
 */
uint64_t v2m_compose(struct v2m *v2m, uint64_t guest, bool is_large_guest, uint32_t level, gfn_t page);

/* First of P behind entry `index` of `page`, a mirror of the OS's leaf `guest`. */
gfn_t v2m_target(const struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest);

/* v2m_sync.c: the memory of the OS's table that `page` mirrors, NULL where it is absent. */
const uint8_t *v2m_guest_table(const struct v2m *v2m, uint32_t page);
