/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the large machine. Its tables are the engine's own map: nothing is compared with anything. */
#include "fake_flat.h"

#include <stdlib.h>
#include <string.h>

#include "mem/p2m.h"
#include "mem/reverse.h"
#include "port_by_page.h"

static void *table_alloc(void *context)
{
	struct fake_flat *flat = context;

	if (flat->tables == flat->tables_max)
		return NULL;
	flat->tables++;
	return calloc(1, PAGE_SIZE);
}

static void table_free(void *context, void *page)
{
	((struct fake_flat *)context)->tables--;
	free(page);
}

static bool map_prepare(void *context, gfn_t page)
{
	(void)context, (void)page;
	return true;
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	(void)context, (void)page, (void)frame, (void)access;
}

static void map_release(void *context, gfn_t page) { (void)context, (void)page; }
static void flush(void *context) { ((struct fake_flat *)context)->flushes++; }

static void copy_page(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	struct fake_flat *flat = context;

	(void)bytes;
	flat->copies += offset == 0;
	flat->frame[to.n] = flat->frame[from.n];
}

PORT_BY_PAGE(map_set, copy_page);

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	struct fake_flat *flat = context;

	*frame = mem_translate(flat->mem, page, access);
	return *access != MEM_ACCESS_NONE;
}

static uint64_t sample(void *context, mfn_t frame)
{
	struct fake_flat *flat = context;

	flat->samples++;
	return (flat->frame[frame.n] >> FAKE_FLAT_SAMPLE) * 0x9e3779b97f4a7c15ull;
}

static uint64_t hash(void *context, mfn_t frame) { return ((struct fake_flat *)context)->frame[frame.n]; }

static bool equal(void *context, mfn_t a, mfn_t b)
{
	struct fake_flat *flat = context;

	return flat->frame[a.n] == flat->frame[b.n];
}

static const struct mem_port_ops ops = {
	.table_alloc = table_alloc,
	.table_free = table_free,
	.map_prepare = map_prepare,
	.map_set = map_set,
	.map_hide = map_hide,
	.map_show = map_show,
	.map_release = map_release,
	.flush = flush,
	.copy = copy,
	.map_get = map_get,
	.sample = sample,
	.hash = hash,
	.equal = equal,
};

/* As it would stand after moves and sharing; the books are built by the switch of the reverse. */
static void set_map(struct fake_flat *flat, struct mem *mem, const uint64_t *map)
{
	uint32_t *holders = calloc(flat->pages + flat->spare, sizeof(*holders));

	for (uint64_t page = 0; page < flat->pages; page++)
		holders[map[page]]++;
	for (uint64_t page = 0; page < flat->pages; page++) {
		bool alone = holders[map[page]] == 1;

		flat->wrote[page] = flat->frame[map[page]];
		if ((map[page] == page && alone) || !p2m_add_leaf(mem, p2m_chunk(gfn(page))))
			continue;
		p2m_set(mem, gfn(page), mfn(map[page]), alone ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
	}
	mem->free_frames = mem->free_homes = 0;
	for (uint64_t frame = 0; frame < flat->pages + flat->spare; frame++) {
		mem->free_frames += holders[frame] == 0;
		mem->free_homes += holders[frame] == 0 && frame < flat->pages;
	}
	mem->saved = mem->free_frames - flat->spare;
	free(holders);
}

void fake_flat_start(struct fake_flat *flat, struct mem *mem, const uint64_t *map, uint64_t pages, uint64_t spare)
{
	uint64_t end = pages * PAGE_SIZE, frames_end = (pages + spare) * PAGE_SIZE;

	*flat = (struct fake_flat){ .pages = pages, .spare = spare, .tables_max = UINT64_MAX, .mem = mem };
	flat->ram.count = 1;
	flat->ram.entry[0] = (struct range){ 0, end, RANGE_RAM };
	flat->frame = calloc(pages + spare, sizeof(*flat->frame));
	flat->wrote = calloc(pages, sizeof(*flat->wrote));
	for (uint64_t frame = 0; frame < pages + spare; frame++)
		flat->frame[frame] = 1 + frame;

	struct mem_config config = {
		.port = &ops, .port_context = flat, .ram = &flat->ram, .movable = &flat->ram, .dma_free = &flat->ram,
		.reserve_first = mfn(pages), .reserve_frames = spare, .storage = calloc(1, mem_storage_bytes(end, frames_end)),
	};

	mem_init(mem, &config);
	mem->reverse = &reverse_search;
	if (map)
		set_map(flat, mem, map);
	else
		memcpy(flat->wrote, flat->frame, pages * sizeof(*flat->wrote));
}

bool fake_flat_holds(const struct fake_flat *flat)
{
	enum mem_access access;

	for (uint64_t page = 0; page < flat->pages; page++)
		if (flat->frame[mem_translate(flat->mem, gfn(page), &access).n] != flat->wrote[page])
			return false;
	return true;
}

enum mem_step fake_flat_step(struct fake_flat *flat, struct mem_batch *batch, uint32_t limit, struct mem_moved *moved)
{
	enum mem_step step = mem_remap_begin(flat->mem, batch, limit);

	if (step != MEM_STEP_MOVES)
		return step;
	mem_batch_copy(flat->mem, batch);
	mem_batch_end(flat->mem, batch, moved);
	return step;
}

void fake_flat_stop(struct fake_flat *flat)
{
	flat->mem->reverse->drop(flat->mem);
	for (uint64_t chunk = 0; chunk < flat->mem->chunk_count; chunk++)
		free(flat->mem->root[chunk].leaf);
	free(flat->mem->config.storage);
	free(flat->frame);
	free(flat->wrote);
}
