/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the root, the leaves and two counts of struct mem: `displaced` and `leaf_count`.
 *
 *   root  [0] NULL                  pages 0-511: Identity
 *         [1] ----> leaf [0]        page 512: frame | access
 *         [2] NULL       ...
 *                        [511]      page 1023
 *
 * A NULL slot and a leaf full of Identity mean the same, so a leaf may come early (a plan takes it before anything is
 * displaced) and must go when its last page is home. The hardware never walks this map, so a leaf
 * may be freed without a flush.
 */
#include "mem/p2m.h"

static uint64_t make_entry(mfn_t frame, enum mem_access access) { return mfn_address(frame) | (uint64_t)access; }

static uint64_t identity_entry(gfn_t page) { return make_entry(gfn_home(page), MEM_ACCESS_ALL); }

mfn_t p2m_get(const struct mem *mem, gfn_t page, enum mem_access *access)
{
	uint64_t chunk = p2m_chunk(page);

	if (chunk >= mem->chunk_count || !mem->root[chunk]) {
		*access = MEM_ACCESS_ALL;
		return gfn_home(page);
	}

	uint64_t entry = mem->root[chunk]->entry[p2m_index(page)];

	*access = p2m_entry_access(entry);
	return p2m_entry_frame(entry);
}

bool p2m_add_leaf(struct mem *mem, uint64_t chunk)
{
	if (mem->root[chunk])
		return true;

	struct p2m_leaf *leaf = mem->config.port->table_alloc(mem->config.port_context);

	if (!leaf)
		return false;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++)
		leaf->entry[i] = identity_entry(p2m_page(chunk, i));
	mem->root[chunk] = leaf;
	mem->leaf_count++;
	return true;
}

void p2m_set(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access)
{
	uint64_t *entry = &mem->root[p2m_chunk(page)]->entry[p2m_index(page)];

	if (!mfn_is_home(page, p2m_entry_frame(*entry)))
		mem->displaced--;
	if (!mfn_is_home(page, frame))
		mem->displaced++;
	*entry = make_entry(frame, access);
}

bool p2m_leaf_is_identity(const struct p2m_leaf *leaf, uint64_t chunk)
{
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++)
		if (leaf->entry[i] != identity_entry(p2m_page(chunk, i)))
			return false;
	return true;
}

bool p2m_drop_leaf(struct mem *mem, uint64_t chunk)
{
	struct p2m_leaf *leaf = mem->root[chunk];

	if (!leaf || !p2m_leaf_is_identity(leaf, chunk))
		return false;
	mem->root[chunk] = NULL;
	mem->leaf_count--;
	mem->config.port->table_free(mem->config.port_context, leaf);
	return true;
}
