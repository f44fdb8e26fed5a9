/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides links: entries of V2M tables that lead to the OS's own lowest tables, for the hardware to walk as they stand. A table can be
 * linked while all that it maps is locked, outside of every portion: there P2M has nothing to say and never will. So that this stays true the page
 * that holds it is guarded: V2M gives nobody the right to write it, and who tries takes the link away first.
 *
 * One book for all CPUs. It is changed under the caller's lock; read without it, as the map is:
 *
 *     guarded             nobody composes an entry any more that lets the page be written
 *     every CPU forgets   v2m_forget(); behind that no CPU can write it, and what the table says is settled
 *     linkable            CPUs lead to it. The last look at its entries comes before
 *     no longer linkable  before a write, say
 *     holders forget      v2m_forget(); behind that nobody walks it
 *     free                it may be written
 */
#pragma once

#include "xlat/guest_mmu.h"

#define V2M_LINK_SETS 64u /* a power of two */
#define V2M_LINK_WAYS 4u
#define V2M_LINKS (V2M_LINK_SETS * V2M_LINK_WAYS)
#define V2M_LINK_CHUNKS 256u
#define V2M_LINK_PAGES 4096u
#define V2M_OFFERS 16u    /* tables that become guarded by one flush, at most */

#define V2M_LINK_GUARDED 1ull
#define V2M_LINK_LINKABLE 2ull

struct v2m;

struct v2m_link {
	uint64_t word;    /* address of the table in P, and the two bits above; 0: free */
	uint64_t holders; /* CPUs that have led to it, by their numbers modulo 64 */
	uint32_t entries; /* present ones */
};

struct v2m_links {
	struct v2m_link link[V2M_LINKS];
	uint16_t in_chunk[V2M_LINK_CHUNKS]; /* guarded tables in chunks of 2 MiB, by their numbers modulo this */
	uint16_t in_page[V2M_LINK_PAGES];   /* the same, by page: what most pages need to be asked */
	uint8_t strikes[V2M_LINKS];         /* of tables with the same hash: links that a write took away */
	uint16_t guarded;                   /* tables */
	uint32_t count;                     /* linkable tables */
	uint64_t entries;                   /* of these, present ones */
	uint64_t broken;                    /* links that a write took away, ever */
};

/* A table that has been quiet on one CPU. */
struct v2m_offer {
	gfn_t table;
	uint32_t page; /* of V2M: its mirror */
};

/* --- readers, without a lock --- */

/* The 2 MiB around the page may hold a guarded table. False is certain. */
static inline bool v2m_links_is_near(const struct v2m_links *links, gfn_t page)
{
	return __atomic_load_n(&links->guarded, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&links->in_chunk[(page.n >> 9) % V2M_LINK_CHUNKS], __ATOMIC_ACQUIRE);
}

bool v2m_links_has(const struct v2m_links *links, gfn_t page);

/* No entry may let the page be written. */
static inline bool v2m_links_is_guarded(const struct v2m_links *links, gfn_t page)
{
	return __atomic_load_n(&links->guarded, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&links->in_page[page.n % V2M_LINK_PAGES], __ATOMIC_ACQUIRE) && v2m_links_has(links, page);
}

/* True: CPU `number` may lead to `table`, and is known as a holder. */
bool v2m_links_hold(struct v2m_links *links, gfn_t table, uint32_t number);

/* --- under the lock --- */

/*
 * Guards those of the tables on offer that can be linked as it seems now. Returns how many, and writes them to `guarded` (V2M_OFFERS). Then
 * every CPU has to forget them; then v2m_links_settle() makes linkable those that can still be linked, and frees the others.
 */
uint32_t v2m_links_guard(struct v2m *v2m, gfn_t *guarded);
void v2m_links_settle(struct v2m *v2m, const gfn_t *guarded, uint32_t count);

/* Not linkable any more. Returns the holders, who have to forget it before v2m_links_free(). */
uint64_t v2m_links_break(struct v2m_links *links, gfn_t table, bool by_write);
void v2m_links_free(struct v2m_links *links, gfn_t table);

/* The n-th place: a table that is guarded, or false. */
bool v2m_links_at(const struct v2m_links *links, uint32_t n, gfn_t *table);
