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
 * displaced) and must go when its last page is home. p2m_get() may be called without the lock by a CPU that has not
 * answered the flush behind which the leaf is freed: it loads the slot once.
 */
#include "mem/p2m.h"

static uint64_t make_entry(mfn_t frame, enum mem_access access) { return mfn_address(frame) | (uint64_t)access; }

static uint64_t identity_entry(gfn_t page) { return make_entry(gfn_home(page), MEM_ACCESS_ALL); }

mfn_t p2m_get(const struct mem *mem, gfn_t page, enum mem_access *access)
{
	uint64_t chunk = p2m_chunk(page);
	const struct p2m_leaf *leaf = NULL;

	if (chunk < mem->chunk_count)
		leaf = __atomic_load_n(&mem->root[chunk], __ATOMIC_ACQUIRE);
	if (!leaf) {
		*access = MEM_ACCESS_ALL;
		return gfn_home(page);
	}

	uint64_t entry = __atomic_load_n(&leaf->entry[p2m_index(page)], __ATOMIC_RELAXED);

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
	__atomic_store_n(&mem->root[chunk], leaf, __ATOMIC_RELEASE);
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
	__atomic_store_n(entry, make_entry(frame, access), __ATOMIC_RELAXED);
}

bool p2m_leaf_is_identity(const struct p2m_leaf *leaf, uint64_t chunk)
{
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++)
		if (leaf->entry[i] != identity_entry(p2m_page(chunk, i)))
			return false;
	return true;
}

struct p2m_leaf *p2m_take_leaf(struct mem *mem, uint64_t chunk)
{
	struct p2m_leaf *leaf = mem->root[chunk];

	if (!leaf || !p2m_leaf_is_identity(leaf, chunk))
		return NULL;
	__atomic_store_n(&mem->root[chunk], NULL, __ATOMIC_RELEASE);
	mem->leaf_count--;
	return leaf;
}
