/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: looks at the entries of the leaves that there are. */
#include "mem/census.h"

#include "mem/p2m.h"

static void count_entry(struct mem_census *census, uint64_t entry, gfn_t page)
{
	census->displaced += p2m_is_displaced(entry, page);
	census->shared += p2m_entry_access(entry) == MEM_ACCESS_READ;
	census->in_flight += p2m_entry_access(entry) == MEM_ACCESS_NONE;
}

struct mem_census mem_census(const struct mem *mem, gfn_t first, gfn_t last)
{
	struct mem_census census = { 0 };

	for (gfn_t page = first; page.n < last.n && p2m_chunk(page) < mem->chunk_count; page.n++) {
		const struct p2m_slot *slot = &mem->root[p2m_chunk(page)];

		if (slot->leaf && slot->changed)
			count_entry(&census, slot->leaf->entry[p2m_index(page)], page);
		else
			page = p2m_page(p2m_chunk(page), P2M_CHUNK_PAGES - 1);
	}
	return census;
}
