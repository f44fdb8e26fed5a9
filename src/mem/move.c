/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the moves of pages between frames, and the engine's start. Keeps: what the OS wrote is what it reads, and a
 * frame or a table page is used again only when nobody can hold a translation through it.
 *
 * Every move of a page p from frame f to frame t is the same four steps, and this is why they suffice:
 *
 * - absent: until here CPUs and devices may hold p -> f, with the right to write. Nobody holds a translation to t:
 *   a frame of the reserve was given back under this same rule, and the home of a displaced page has belonged to nobody
 *   since the flush of the displacement that emptied it.
 * - flush: after it nobody holds p -> f, and nobody can load it, for the tables say absent. So f changes no more, and
 *   is read by nobody but the copy.
 * - copy.
 * - present: needs no flush. Nothing is cached from an entry that is not present (Intel SDM vol. 3, 4.10.4.3, and so in
 *   nested tables), so there is no older translation of p to be had.
 *
 * Hence f is free from the end of its own copy on, by the flush between absent and copy and no other: given back then,
 * it may be filled with another page at once. For a batch one flush does the same, after all are absent and before any
 * copy.
 *
 * A CPU that touches an absent page comes into the VMM and waits for its lock, which the caller holds across all four.
 */
#include "base/str.h"
#include "mem/frames.h"
#include "mem/p2m.h"

/* The end of the last entry of type RAM; 0 without any. */
static uint64_t ram_end(const struct range_list *ram)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < ram->count; i++)
		if (ram->entry[i].type == RANGE_RAM)
			end = ram->entry[i].end;
	return end;
}

static uint64_t chunks_below(uint64_t end)
{
	return align_up(end, P2M_CHUNK_PAGES * PAGE_SIZE) / (P2M_CHUNK_PAGES * PAGE_SIZE);
}

uint64_t mem_storage_bytes(uint64_t end, uint64_t reserve_frames)
{
	return chunks_below(end) * sizeof(struct p2m_leaf *) + 2 * frames_words(reserve_frames) * sizeof(uint64_t);
}

void mem_init(struct mem *mem, const struct mem_config *config)
{
	uint64_t words = frames_words(config->reserve_frames);
	uint64_t *bitmaps = config->storage;

	/* Bitmaps first: the root, the part that grows with the machine, then ends the storage. */
	memset(mem, 0, sizeof(*mem));
	mem->config = *config;
	mem->reserve_used = bitmaps;
	mem->reserve_seen = bitmaps + words;
	mem->root = (struct p2m_leaf **)(void *)(bitmaps + 2 * words);
	mem->chunk_count = chunks_below(ram_end(config->ram));
	mem->reserve_free = config->reserve_frames;
}

mfn_t mem_translate(const struct mem *mem, gfn_t page, enum mem_access *access) { return p2m_get(mem, page, access); }

static bool lies_in(const struct range_list *list, gfn_t page)
{
	return ranges_contain(list, gfn_address(page), gfn_address(page) + PAGE_SIZE, RANGE_RAM);
}

bool mem_is_ram(const struct mem *mem, gfn_t page)
{
	/* The first test also keeps page numbers out whose address does not fit 64 bits. */
	return p2m_chunk(page) < mem->chunk_count && lies_in(mem->config.ram, page);
}

bool mem_may_displace(const struct mem *mem, gfn_t page)
{
	return mem_is_ram(mem, page) && lies_in(mem->config.dma_free, page);
}

/* Writes one translation in both places: the map and the hardware's tables. */
static void set_translation(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access)
{
	p2m_set(mem, page, frame, access);
	mem->config.port->map_set(mem->config.port_context, page, frame, access);
}

/* The map keeps the frame, for carry. */
static void make_absent(struct mem *mem, gfn_t page)
{
	enum mem_access access;

	set_translation(mem, page, p2m_get(mem, page, &access), MEM_ACCESS_NONE);
}

static void flush(struct mem *mem) { mem->config.port->flush(mem->config.port_context); }

/* Copy and present, after the flush. Returns the frame that the page left. */
static mfn_t carry(struct mem *mem, gfn_t page, mfn_t to, struct mem_moved *moved)
{
	enum mem_access access;
	mfn_t from = p2m_get(mem, page, &access);

	mem->config.port->copy(mem->config.port_context, to, from);
	set_translation(mem, page, to, MEM_ACCESS_ALL);
	moved->pages++;
	moved->copies++;
	return from;
}

/* Frees a leaf that has been taken out of the map. After a flush. */
static void free_leaf(struct mem *mem, struct p2m_leaf *leaf)
{
	mem->config.port->table_free(mem->config.port_context, leaf);
}

/* A leaf for the map, then tables for the back-end: the leaf is the one that can be taken back without a trace. */
static bool plan_tables(struct mem *mem, gfn_t page)
{
	if (!p2m_add_leaf(mem, p2m_chunk(page)))
		return false;
	if (mem->config.port->map_prepare(mem->config.port_context, page))
		return true;
	/* Only where it came for this page: else one of its pages is displaced. */
	struct p2m_leaf *leaf = p2m_take_leaf(mem, p2m_chunk(page));
	if (leaf) {
		flush(mem);
		free_leaf(mem, leaf);
	}
	return false;
}

static err_t plan_displace(struct mem *mem, gfn_t page, mfn_t *to)
{
	enum mem_access access;

	if (!mem_is_ram(mem, page))
		return SCRIM_ENOTRAM;
	if (!mem_may_displace(mem, page))
		return SCRIM_EDMA;
	if (!mfn_is_home(page, p2m_get(mem, page, &access)))
		return SCRIM_EDISPLACED;
	if (!frames_take(mem, to))
		return SCRIM_ENOFRAME;
	if (plan_tables(mem, page))
		return SCRIM_OK;
	frames_give(mem, *to);
	return SCRIM_ENOTABLE;
}

err_t mem_displace(struct mem *mem, gfn_t page, mfn_t *frame, struct mem_moved *moved)
{
	mfn_t to;
	err_t err = plan_displace(mem, page, &to);

	if (err != SCRIM_OK)
		return err;

	/* Nothing below can fail. */
	make_absent(mem, page);
	flush(mem);
	carry(mem, page, to, moved); /* the frame it leaves is its home, and stays its own */
	*frame = to;
	return SCRIM_OK;
}

/* Adds the chunk's displaced pages to the batch, up to `wanted` in all. */
static void select_in_chunk(struct mem *mem, uint64_t chunk, uint64_t wanted)
{
	const struct p2m_leaf *leaf = mem->root[chunk];

	for (uint32_t i = 0; leaf && i < P2M_CHUNK_PAGES && mem->batch_count < wanted; i++) {
		gfn_t page = p2m_page(chunk, i);

		if (!mfn_is_home(page, p2m_entry_frame(leaf->entry[i])))
			mem->batch[mem->batch_count++] = page;
	}
}

/*
 * Selects displaced pages from the cursor on, once around the map at most. The cursor makes coming home linear in the
 * size of the root, where every batch would else walk the chunks that earlier ones have emptied.
 */
static void select_batch(struct mem *mem, uint32_t limit)
{
	uint64_t wanted = limit < SCRIM_BATCH_MAX ? limit : SCRIM_BATCH_MAX;
	uint64_t chunk = mem->home_cursor;

	if (wanted > mem->displaced)
		wanted = mem->displaced;
	mem->batch_count = 0;
	for (uint64_t seen = 0; seen < mem->chunk_count && mem->batch_count < wanted; seen++) {
		mem->home_cursor = chunk;
		select_in_chunk(mem, chunk, wanted);
		chunk = chunk + 1 < mem->chunk_count ? chunk + 1 : 0;
	}
}

/*
 * Frees the leaves that the batch emptied and lets the back-end merge. The flush here is not for frames. A CPU may still have
 * a table page that map_release gave up in its paging-structure caches, and would take whatever is put there next for
 * translations; and a CPU in an exit may still be reading the leaf. Both answer the flush only when they no longer do.
 */
static void release_chunks(struct mem *mem)
{
	uint32_t released = 0;

	for (uint32_t i = 0; i < mem->batch_count; i++) {
		gfn_t page = mem->batch[i];
		/* Pages of one chunk: the first finds the leaf Identity and takes it, the others find none. */
		struct p2m_leaf *leaf = p2m_take_leaf(mem, p2m_chunk(page));

		if (!leaf)
			continue;
		mem->config.port->map_release(mem->config.port_context, page);
		mem->released[released++] = leaf;
	}
	if (released)
		flush(mem);
	while (released)
		free_leaf(mem, mem->released[--released]);
}

uint64_t mem_bring_home(struct mem *mem, uint32_t batch, struct mem_moved *moved)
{
	select_batch(mem, batch);
	if (mem->batch_count == 0)
		return mem->displaced;

	for (uint32_t i = 0; i < mem->batch_count; i++)
		make_absent(mem, mem->batch[i]);
	flush(mem);
	for (uint32_t i = 0; i < mem->batch_count; i++) {
		gfn_t page = mem->batch[i];

		frames_give(mem, carry(mem, page, gfn_home(page), moved));
		moved->direct++;
	}
	release_chunks(mem);
	return mem->displaced;
}
