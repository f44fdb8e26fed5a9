/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the smallest machine. */
#include "fake_small.h"

#include <string.h>

#include "mem/p2m.h"
#include "mem/reverse.h"
#include "port_by_page.h"

static void fault(struct small_world *world, const char *what)
{
	if (!world->fault)
		world->fault = what;
}

/* A CPU in an exit reads the map, without the lock. It may do so between any two calls. */
static void read_map(struct small_world *world)
{
	if (world->mem->root[0].leaf)
		world->reading = world->mem->root[0].leaf;
}

static void *table_alloc(void *context)
{
	struct small_world *world = context;

	read_map(world);
	world->asked++;
	if (world->given_up)
		fault(world, "a table page is asked for before a flush");
	if (world->fail_at && --world->fail_at == 0)
		return NULL;
	for (uint32_t i = 0; i < SMALL_TABLES; i++)
		if (!world->table_used[i]) {
			world->table_used[i] = true;
			world->tables++;
			memset(world->table[i], 0, PAGE_SIZE);
			return world->table[i];
		}
	fault(world, "more tables than there is use for");
	return NULL;
}

static void table_free(void *context, void *page)
{
	struct small_world *world = context;

	if (page == world->reading)
		fault(world, "a leaf is freed that a CPU in an exit may be reading");
	for (uint32_t i = 0; i < SMALL_TABLES; i++)
		if (page == world->table[i] && world->table_used[i]) {
			world->table_used[i] = false;
			world->tables--;
			memset(page, 0xa5, PAGE_SIZE); /* who reads on will notice */
			return;
		}
	fault(world, "a table is freed that is not out");
}

static bool map_prepare(void *context, gfn_t page)
{
	struct small_world *world = context;

	(void)page;
	read_map(world);
	world->asked++;
	if (world->given_up)
		fault(world, "map_prepare before a flush");
	return !(world->fail_at && --world->fail_at == 0);
}

/* Somebody other than `except` may reach the frame, to write it if `writing`. */
static bool is_reached(const struct small_world *world, uint64_t frame, uint64_t except, bool writing)
{
	enum mem_access least = writing ? MEM_ACCESS_ALL : MEM_ACCESS_READ;

	for (uint64_t page = 0; page < world->ram_pages; page++) {
		if (page == except || (world->lent >> page & 1))
			continue;
		if (world->now[page].frame == frame && world->now[page].access >= least)
			return true;
		for (uint32_t i = 0; i < world->stale_count[page]; i++)
			if (world->stale[page][i].frame == frame && world->stale[page][i].access >= least)
				return true;
	}
	return false;
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	struct small_world *world = context;
	uint64_t n = page.n;

	read_map(world);
	if (n >= world->ram_pages || frame.n >= SMALL_PAGES) {
		fault(world, "map_set out of RAM");
		return;
	}
	if (access != MEM_ACCESS_NONE) {
		if (world->frame[frame.n] != world->wrote[n])
			fault(world, "a page is made present in a frame without its contents");
		if (is_reached(world, frame.n, n, access == MEM_ACCESS_READ))
			fault(world, "a page is made present in a frame that another may use");
		for (uint32_t i = 0; i < world->stale_count[n]; i++)
			if (world->stale[n][i].frame != frame.n)
				fault(world, "a page is made present while an older translation is held");
		if (world->now[n].access != MEM_ACCESS_NONE && world->now[n].frame != frame.n)
			fault(world, "a page changes its frame without being absent");
	}
	if (world->now[n].access != MEM_ACCESS_NONE && world->stale_count[n] < SMALL_STALE)
		world->stale[n][world->stale_count[n]++] = (typeof(world->stale[0][0])){ world->now[n].frame, world->now[n].access };
	world->now[n].frame = frame.n;
	world->now[n].access = access;
}

static void map_release(void *context, gfn_t page)
{
	struct small_world *world = context;

	(void)page;
	for (uint32_t i = 0; i < world->ram_pages; i++)
		if (world->now[i].frame != i || world->now[i].access != MEM_ACCESS_ALL)
			fault(world, "map_release of a chunk that is not all at home");
	world->given_up = 1;
}

static void flush(void *context)
{
	struct small_world *world = context;

	memset(world->stale_count, 0, sizeof(world->stale_count));
	world->reading = NULL;
	read_map(world);
	world->given_up = 0;
	world->flushes++;
}

static void copy_page(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	struct small_world *world = context;

	(void)bytes;
	if (to.n == from.n || to.n >= SMALL_PAGES || from.n >= SMALL_PAGES)
		fault(world, "a copy of a frame to itself, or outside the machine");
	if (is_reached(world, to.n, SMALL_PAGES, false))
		fault(world, "a copy to a frame that a CPU can reach");
	if (is_reached(world, from.n, SMALL_PAGES, true))
		fault(world, "a copy from a frame that a CPU can write");
	if (offset == 0) {
		world->frame[to.n] = world->frame[from.n];
		world->copies++;
	}
}

PORT_BY_PAGE(map_set, copy_page);

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	struct small_world *world = context;

	if (page.n >= world->ram_pages)
		return false;
	*frame = mfn(world->now[page.n].frame);
	*access = world->now[page.n].access;
	return *access != MEM_ACCESS_NONE;
}

static uint64_t hash(void *context, mfn_t frame) { return ((struct small_world *)context)->frame[frame.n] & 1; }

static bool equal(void *context, mfn_t a, mfn_t b)
{
	struct small_world *world = context;

	return world->frame[a.n] == world->frame[b.n];
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
	.sample = hash,
	.hash = hash,
	.equal = equal,
};

/* Writes a map as it would stand after moves and sharing: books are built by the switch of the reverse. */
static void set_map(struct small_world *world, struct mem *mem, const uint32_t *map)
{
	uint32_t holders[SMALL_PAGES] = { 0 };
	bool leaf = false;

	for (uint32_t i = 0; i < world->ram_pages; i++)
		holders[map[i]]++;
	for (uint32_t i = 0; i < world->ram_pages; i++) {
		enum mem_access access = holders[map[i]] > 1 ? MEM_ACCESS_READ : MEM_ACCESS_ALL;

		world->now[i].frame = map[i];
		world->now[i].access = access;
		world->wrote[i] = world->frame[map[i]];
		if (map[i] == i && access == MEM_ACCESS_ALL)
			continue;
		leaf = leaf || p2m_add_leaf(mem, 0);
		p2m_set(mem, gfn(i), mfn(map[i]), access);
	}
	mem->free_frames = mem->free_homes = 0;
	for (uint32_t i = 0; i < world->ram_pages; i++)
		mem->free_homes += holders[i] == 0;
	for (uint32_t i = 0; i < SMALL_PAGES; i++)
		if (i < world->ram_pages || (i >= SMALL_SPARE && i < SMALL_SPARE + world->spare_frames))
			mem->free_frames += holders[i] == 0;
	mem->saved = mem->free_frames - world->spare_frames;
}

void small_start(struct small_world *world, struct mem *mem, const uint32_t *map, uint32_t pages, uint32_t spare)
{
	struct mem_config config = {
		.port = &ops, .port_context = world, .ram = &world->ram, .movable = &world->ram, .dma_free = &world->ram,
		.reserve_first = mfn(SMALL_SPARE), .reserve_frames = spare, .storage = NULL,
	};

	memset(world, 0, offsetof(struct small_world, storage));
	memset(world->table_used, 0, sizeof(world->table_used));
	world->ram_pages = pages;
	world->spare_frames = spare;
	world->ram.count = 1;
	world->ram.entry[0] = (struct range){ 0, pages * PAGE_SIZE, RANGE_RAM };
	for (uint32_t i = 0; i < SMALL_PAGES; i++)
		world->frame[i] = 100 + i;
	world->next_value = 1000;
	config.storage = world->storage;
	memset(world->storage, 0, mem_storage_bytes(pages * PAGE_SIZE, (SMALL_SPARE + spare) * PAGE_SIZE));
	mem_init(mem, &config);
	world->mem = mem;
	mem->reverse = &reverse_search;
	set_map(world, mem, map);
}

bool small_write(struct small_world *world, uint32_t page)
{
	uint64_t frame = world->now[page].frame;
	bool may = world->now[page].access == MEM_ACCESS_ALL;

	for (uint32_t i = 0; i < world->stale_count[page] && !may; i++) {
		may = world->stale[page][i].access == MEM_ACCESS_ALL;
		frame = world->stale[page][i].frame;
	}
	if (!may)
		return false;
	world->frame[frame] = world->wrote[page] = world->next_value++;
	return true;
}

void small_verify_present(struct small_world *world)
{
	for (uint32_t i = 0; i < world->ram_pages; i++)
		if (world->now[i].access != MEM_ACCESS_NONE && !(world->lent >> i & 1) &&
		    world->frame[world->now[i].frame] != world->wrote[i])
			fault(world, "a page does not hold what the OS wrote");
}

void small_verify(struct small_world *world)
{
	small_verify_present(world);
	for (uint32_t i = 0; i < world->ram_pages; i++)
		if (world->now[i].access == MEM_ACCESS_NONE)
			fault(world, "a page was left absent");
	if (world->given_up)
		fault(world, "a table page was given up and no flush made");
}
