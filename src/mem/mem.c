/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the engine's start, the questions about pages, and the operations that hold the lock from plan to end. */
#include "mem/mem.h"

#include "base/str.h"
#include "mem/batch.h"
#include "mem/reverse.h"
#include "mem/search_window.h"

#define CHUNK_BYTES (P2M_CHUNK_PAGES * PAGE_SIZE)
#define BITMAPS     3u /* the window and what mem_check has seen */

/* The end of the last entry of type RAM; 0 without any. */
static uint64_t ram_end(const struct range_list *ram)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < ram->count; i++)
		if (ram->entry[i].type == RANGE_RAM)
			end = ram->entry[i].end;
	return end;
}

static uint64_t chunks_below(uint64_t end) { return align_up(end, CHUNK_BYTES) / CHUNK_BYTES; }

/* Chunks of frames: up to the end of RAM or of the reserve, whichever is higher; an even number, for the counts. */
static uint64_t frame_chunks_below(uint64_t end, uint64_t frames_end)
{
	return align_up(chunks_below(end > frames_end ? end : frames_end), 2);
}

uint64_t mem_storage_bytes(uint64_t end, uint64_t frames_end)
{
	uint64_t frame_chunks = frame_chunks_below(end, frames_end);

	return BITMAPS * PAGE_SIZE + chunks_below(end) * sizeof(struct p2m_slot) +
	       (frame_chunks + frame_chunks / 2) * sizeof(struct frame_slot);
}

static void lay_out(struct mem *mem)
{
	const struct mem_config *config = &mem->config;
	uint8_t *at = config->storage;
	uint64_t reserve_end = mfn_address(config->reserve_first) + config->reserve_frames * PAGE_SIZE;

	mem->chunk_count = chunks_below(ram_end(config->ram));
	mem->frame_chunk_count = frame_chunks_below(ram_end(config->ram), reserve_end);
	mem->window = (uint64_t *)(void *)at;
	mem->seen = (uint64_t *)(void *)(at + PAGE_SIZE);
	mem->seen_all = (uint64_t *)(void *)(at + 2 * PAGE_SIZE);
	at += BITMAPS * PAGE_SIZE;
	mem->back_slot = (struct frame_slot *)(void *)at;
	mem->count_slot = mem->back_slot + mem->frame_chunk_count;
	mem->root = (struct p2m_slot *)(void *)(mem->count_slot + mem->frame_chunk_count / 2);
}

void mem_init(struct mem *mem, const struct mem_config *config)
{
	memset(mem, 0, sizeof(*mem));
	mem->config = *config;
	lay_out(mem);
	mem->free_frames = config->reserve_frames;
	mem->reverse = &reverse_backmap;
	mem->managed.count = 1;
	mem->managed.entry[0] = (struct range){ 0, mem->chunk_count * CHUNK_BYTES, RANGE_RAM };
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

bool mem_may_be_managed(const struct mem *mem, gfn_t page)
{
	return page.n < MEM_PAGES_MAX && mem_is_ram(mem, page) && lies_in(mem->config.movable, page) &&
	       !(mem->lent_frames > 0 && lies_in(&mem->lent, page));
}

bool mem_may_displace(const struct mem *mem, gfn_t page)
{
	return mem_may_be_managed(mem, page) && lies_in(&mem->managed, page);
}

bool mem_may_share(const struct mem *mem, gfn_t page)
{
	return mem_may_displace(mem, page) && lies_in(mem->config.dma_free, page);
}

/* What the list says of `page` holds of no page beyond the next entry's begin or end. */
static void bound_run(struct mem_run *run, const struct range_list *list, gfn_t page)
{
	for (uint32_t i = 0; i < 2 * list->count; i++) {
		const struct range *entry = &list->entry[i / 2];
		uint64_t edge = i % 2 ? entry->end : entry->start;
		uint64_t below = align_up(edge, PAGE_SIZE) >> PAGE_SHIFT, above = edge >> PAGE_SHIFT;

		if (below <= page.n)
			run->first.n = below > run->first.n ? below : run->first.n;
		else if (above > page.n)
			run->end.n = above < run->end.n ? above : run->end.n;
		else /* it is within the page */
			*run = (struct mem_run){ page, gfn(page.n + 1), run->may_share };
	}
}

struct mem_run mem_run_around(const struct mem *mem, gfn_t page)
{
	struct mem_run run = { gfn(0), gfn(MEM_PAGES_MAX), mem_may_share(mem, page) };

	if (page.n >= MEM_PAGES_MAX || p2m_chunk(page) >= mem->chunk_count)
		return (struct mem_run){ page, gfn(UINT64_MAX), false };
	bound_run(&run, mem->config.ram, page);
	bound_run(&run, mem->config.movable, page);
	bound_run(&run, mem->config.dma_free, page);
	bound_run(&run, &mem->managed, page);
	bound_run(&run, &mem->lent, page);
	return run;
}

/* --- displace --- */

static err_t plan_displace(struct mem *mem, gfn_t page, mfn_t *to)
{
	const struct frame_want spare = { .spare_only = true }, any = { 0 };

	if (mem->remap.active)
		return SCRIM_ESTATE;
	if (!mem_is_ram(mem, page))
		return SCRIM_ENOTRAM;
	if (!mem_may_displace(mem, page))
		return SCRIM_EDMA;
	if (p2m_is_displaced(p2m_entry(mem, page), page) ||
	    p2m_entry_access(p2m_entry(mem, page)) == MEM_ACCESS_NONE)
		return SCRIM_EDISPLACED;

	/* Nobody's home first: as long as there are such, every page can come home at once. */
	err_t err = frames_find(mem, &spare, to);

	if (err == SCRIM_ENOFRAME)
		err = frames_find(mem, &any, to);
	if (err != SCRIM_OK)
		return err;
	return batch_prepare(mem, page, *to) ? SCRIM_OK : SCRIM_ENOTABLE;
}

err_t mem_displace(struct mem *mem, gfn_t page, mfn_t *frame, struct mem_moved *moved)
{
	mfn_t to;
	err_t err = plan_displace(mem, page, &to);

	if (err != SCRIM_OK)
		return err;

	/* Nothing below can fail. */
	batch_open(mem, &mem->own);
	batch_add(mem, &mem->own, page, to, false);
	batch_run(mem, &mem->own, moved);
	*frame = to;
	return SCRIM_OK;
}

/* --- unshare --- */

/* Where the page goes that gives up sharing: home, or any free frame. */
static err_t find_alone(struct mem *mem, gfn_t page, mfn_t *to)
{
	const struct frame_want any = { 0 };

	*to = gfn_home(page);
	if (p2m_is_displaced(p2m_entry(mem, page), page) && frames_is_free(mem, *to))
		return SCRIM_OK;
	return frames_find(mem, &any, to);
}

/* Moves a page out of a shared frame. */
static enum mem_step move_alone(struct mem *mem, gfn_t page, struct mem_moved *moved)
{
	mfn_t to;
	err_t err = find_alone(mem, page, &to);

	if (err == SCRIM_ENOFRAME)
		return MEM_STEP_WAIT; /* invariant 6: they are in flight */
	if (err != SCRIM_OK || !batch_prepare(mem, page, to))
		return MEM_STEP_NO_TABLE;
	batch_open(mem, &mem->own);
	batch_add(mem, &mem->own, page, to, false);
	batch_run(mem, &mem->own, moved);
	return MEM_STEP_DONE;
}

/* Who else is in the page's frame: 0, 1 or 2 for more; *other is one, where it can be told to leave. */
static uint32_t sharers(struct mem *mem, gfn_t page, mfn_t frame, gfn_t *other)
{
	uint64_t home = p2m_entry(mem, gfn(frame.n));
	bool occupied = !frames_is_spare(mem, frame) && !p2m_is_displaced(home, gfn(frame.n));

	reverse_ask(mem, true, true);
	reverse_add(mem, frame);
	reverse_get_answers(mem);
	*other = mem->question.stranger[0];
	if (mfn_is_home(page, frame))
		return mem->question.strangers[0];
	return mem->question.strangers[0] + (uint32_t)occupied - 1u;
}

enum mem_step mem_unshare_on_write(struct mem *mem, gfn_t page, struct mem_moved *moved)
{
	uint64_t entry = p2m_entry(mem, page);
	mfn_t frame = p2m_entry_frame(entry);
	gfn_t other;

	if (p2m_entry_access(entry) == MEM_ACCESS_NONE)
		return MEM_STEP_WAIT;
	if (p2m_entry_access(entry) == MEM_ACCESS_ALL)
		return MEM_STEP_DONE;

	uint32_t count = sharers(mem, page, frame, &other);

	if (count == 0) { /* away from home: one that is left alone at home had its right back at once */
		batch_set(mem, page, frame, MEM_ACCESS_ALL);
		return MEM_STEP_DONE;
	}
	/* A page at home stays there where one other is to move. */
	if (count == 1 && mfn_is_home(page, frame))
		return p2m_entry_access(p2m_entry(mem, other)) == MEM_ACCESS_NONE ? MEM_STEP_WAIT
										  : move_alone(mem, other, moved);
	return move_alone(mem, page, moved);
}
