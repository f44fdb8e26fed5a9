/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the root, the leaves and the counts over entries: of each chunk, and of struct mem `displaced`, `read_only`,
 * `in_flight` and `leaf_count`.
 *
 *   root  [0] NULL                  pages 0-511: Identity
 *         [1] ----> leaf [0]        page 512: frame | access
 *         [2] NULL       ...
 *                        [511]      page 1023
 *
 * A NULL slot and a leaf full of Identity mean the same, so a leaf may come early (a plan takes it before anything is
 * displaced) and must go when its last page is home. p2m_get() may be called without the lock by a CPU that has not
 * answered the flush behind which the leaf is freed: it loads the slot once. Entries are written with release and read with
 * acquire: who sees a page at its new place sees what was copied there.
 */
#include "mem/p2m.h"

static uint64_t identity_entry(gfn_t page) { return p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL); }

mfn_t p2m_get(const struct mem *mem, gfn_t page, enum mem_access *access)
{
	uint64_t chunk = p2m_chunk(page);
	const struct p2m_leaf *leaf = NULL;

	/* Beyond the root also page numbers whose address does not fit 64 bits are at home. */
	if (chunk < mem->chunk_count)
		leaf = __atomic_load_n(&mem->root[chunk].leaf, __ATOMIC_ACQUIRE);
	if (!leaf) {
		*access = MEM_ACCESS_ALL;
		return gfn_home(page);
	}

	uint64_t entry = __atomic_load_n(&leaf->entry[p2m_index(page)], __ATOMIC_ACQUIRE);

	*access = p2m_entry_access(entry);
	return p2m_entry_frame(entry);
}

bool p2m_add_leaf(struct mem *mem, uint64_t chunk)
{
	if (mem->root[chunk].leaf)
		return true;

	struct p2m_leaf *leaf = mem->config.port->table_alloc(mem->config.port_context);

	if (!leaf)
		return false;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++)
		leaf->entry[i] = identity_entry(p2m_page(chunk, i));
	__atomic_store_n(&mem->root[chunk].leaf, leaf, __ATOMIC_RELEASE);
	mem->leaf_count++;
	return true;
}

/* Adds (or with -1 takes away) what one entry is to the counts. Unsigned arithmetic wraps back. */
static inline void count_entry(struct mem *mem, struct p2m_slot *slot, gfn_t page, uint64_t entry, uint32_t one)
{
	uint64_t wide = (uint64_t)(int64_t)(int32_t)one;

	if (entry == identity_entry(page))
		return;
	slot->changed += one;
	if (p2m_is_displaced(entry, page)) {
		slot->displaced += one;
		mem->displaced += wide;
	}
	if (p2m_entry_access(entry) == MEM_ACCESS_READ)
		mem->read_only += wide;
	else if (p2m_entry_access(entry) == MEM_ACCESS_NONE)
		mem->in_flight += wide;
}

void p2m_set(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access)
{
	struct p2m_slot *slot = &mem->root[p2m_chunk(page)];
	uint64_t *entry = &slot->leaf->entry[p2m_index(page)], now = p2m_make_entry(frame, access);

	count_entry(mem, slot, page, *entry, (uint32_t)-1);
	__atomic_store_n(entry, now, __ATOMIC_RELEASE);
	count_entry(mem, slot, page, now, 1);
	if (slot->changed == 0)
		mem->tidy_due = true;
}

struct p2m_leaf *p2m_take_leaf(struct mem *mem, uint64_t chunk)
{
	struct p2m_slot *slot = &mem->root[chunk];
	struct p2m_leaf *leaf = slot->leaf;

	if (!leaf || slot->changed > 0)
		return NULL;
	__atomic_store_n(&slot->leaf, NULL, __ATOMIC_RELEASE);
	mem->leaf_count--;
	return leaf;
}
