/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the two lists of ranges: portions that are managed, and frames that the OS has lent. */
#include "base/str.h"
#include "mem/batch.h"
#include "mem/reverse.h"

#define CHUNK_BYTES (P2M_CHUNK_PAGES * PAGE_SIZE)

static err_t check_range(uint64_t start, uint64_t end)
{
	if ((start | end) & PAGE_MASK)
		return SCRIM_EALIGN;
	return start < end ? SCRIM_OK : SCRIM_EINVAL;
}

err_t mem_manage(struct mem *mem, uint64_t start, uint64_t end)
{
	err_t err = check_range(start, end);

	if (err != SCRIM_OK)
		return err;
	return ranges_set_type(&mem->managed, start, end, RANGE_RAM) ? SCRIM_OK : SCRIM_EINVAL;
}

/*
 * Every page of [start, end) is as Identity has it. So no frame of the range holds a stranger either: its own page would
 * be away, or share.
 */
static bool is_identity(const struct mem *mem, uint64_t start, uint64_t end)
{
	gfn_t page = gfn_of_address(start);

	while (page.n < end >> PAGE_SHIFT && p2m_chunk(page) < mem->chunk_count) {
		if (mem->root[p2m_chunk(page)].changed == 0) {
			page = p2m_page(p2m_chunk(page) + 1, 0);
			continue;
		}
		if (p2m_entry(mem, page) != p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL))
			return false;
		page.n++;
	}
	return true;
}

err_t mem_unmanage(struct mem *mem, uint64_t start, uint64_t end)
{
	err_t err = check_range(start, end);

	if (err != SCRIM_OK)
		return err;
	if (!is_identity(mem, start, end))
		return SCRIM_EDISPLACED;
	return ranges_set_type(&mem->managed, start, end, RANGE_RESERVED) ? SCRIM_OK : SCRIM_EINVAL;
}

/* --- the end of a homecoming --- */

/* The first frame from `at` on that is withdrawn and the home of a page; UINT64_MAX: there is none. */
static uint64_t next_withdrawn_home(const struct mem *mem, uint64_t at)
{
	for (uint32_t i = 0; i < mem->withdrawn.count; i++) {
		const struct range *range = &mem->withdrawn.entry[i];

		for (uint64_t home = range->start > at ? range->start : at; home < range->end; home += PAGE_SIZE)
			if (!frames_is_extra(mem, mfn_of_address(home)))
				return home;
	}
	return UINT64_MAX;
}

static uint64_t next_chunk(uint64_t at) { return align_down(at, CHUNK_BYTES) + CHUNK_BYTES; }

/* From `at` on: where the next chunk that stays managed begins, or goes on; or `end`. */
static uint64_t next_kept(const struct mem *mem, uint64_t at, uint64_t end)
{
	uint64_t chunk = align_down(next_withdrawn_home(mem, align_down(at, CHUNK_BYTES)), CHUNK_BYTES);

	if (chunk >= end)
		return end;
	return chunk > at ? chunk : at;
}

static bool lock_in(const struct mem *mem, struct range_list *managed, uint64_t start, uint64_t end)
{
	for (uint64_t at = start, kept; at < end; at = next_chunk(kept)) {
		kept = next_kept(mem, at, end);
		if (!ranges_set_type(managed, at, kept, RANGE_RESERVED))
			return false;
	}
	return true;
}

bool mem_may_lock(const struct mem *mem, uint64_t start, uint64_t end, struct range_list *scratch)
{
	*scratch = mem->managed;
	return lock_in(mem, scratch, start, end);
}

err_t mem_lock_portion(struct mem *mem, uint64_t start, uint64_t end)
{
	return lock_in(mem, &mem->managed, start, end) ? SCRIM_OK : SCRIM_EINVAL;
}

/* No more entries than the list of withdrawn frames has. */
void mem_lock_all(struct mem *mem)
{
	uint64_t end = mem->chunk_count * CHUNK_BYTES;

	mem->managed.count = 0;
	for (uint64_t at = next_kept(mem, 0, end); at < end; at = next_kept(mem, next_chunk(at), end))
		(void)!ranges_set_type(&mem->managed, at, next_chunk(at), RANGE_RAM);
}

/* --- lent frames --- */

bool frames_is_listed_lent(const struct mem *mem, mfn_t frame)
{
	return ranges_contain(&mem->lent, mfn_address(frame), mfn_address(frame) + PAGE_SIZE, RANGE_RAM);
}

static void add_frames(struct mem *mem, uint64_t start, uint64_t end)
{
	for (uint64_t frame = start >> PAGE_SHIFT; frame < end >> PAGE_SHIFT; frame++)
		frames_free(mem, mfn(frame));
	mem->lent_frames += (end - start) >> PAGE_SHIFT;
}

static bool is_lent_in_part(const struct mem *mem, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < mem->lent.count; i++) {
		const struct range *range = &mem->lent.entry[i];

		if (range->type == RANGE_RAM && range->start < end && range->end > start)
			return true;
	}
	return false;
}

/* A back map with a leaf here lists the frames one by one; without a leaf they are free by being spare. */
err_t mem_lend(struct mem *mem, uint64_t start, uint64_t end)
{
	err_t err = check_range(start, end);

	if (err != SCRIM_OK)
		return err;
	if (!ranges_contain(mem->config.ram, start, end, RANGE_RAM))
		return SCRIM_ENOTRAM;
	if (!is_identity(mem, start, end) || is_lent_in_part(mem, start, end))
		return SCRIM_EDISPLACED;
	if (!ranges_set_type(&mem->lent, start, end, RANGE_RAM))
		return SCRIM_EINVAL;
	add_frames(mem, start, end);
	return SCRIM_OK;
}

static bool all_free(struct mem *mem, uint64_t start, uint64_t end)
{
	for (uint64_t frame = start >> PAGE_SHIFT; frame < end >> PAGE_SHIFT; frame++)
		if (!frames_is_free(mem, mfn(frame)))
			return false;
	return true;
}

err_t mem_unlend(struct mem *mem, uint64_t start, uint64_t end)
{
	err_t err = check_range(start, end);
	uint64_t frames = (end - start) >> PAGE_SHIFT;
	uint64_t kept = mem->saved + (mem->displaced > 0);

	if (err != SCRIM_OK)
		return err;
	if (!ranges_contain(&mem->lent, start, end, RANGE_RAM))
		return SCRIM_EINVAL;
	if (!all_free(mem, start, end))
		return SCRIM_EDISPLACED;
	if (mem->free_frames < frames + kept || mem->in_flight > 0)
		return SCRIM_ENOFRAME;
	if (!ranges_set_type(&mem->lent, start, end, RANGE_RESERVED))
		return SCRIM_EINVAL;
	for (uint64_t frame = start >> PAGE_SHIFT; frame < end >> PAGE_SHIFT; frame++)
		frames_withdraw(mem, mfn(frame));
	mem->lent_frames -= frames;
	for (uint64_t frame = start >> PAGE_SHIFT; frame < end >> PAGE_SHIFT; frame += P2M_CHUNK_PAGES)
		mem->reverse->tidy(mem, frame >> P2M_CHUNK_SHIFT);
	mem->reverse->tidy(mem, (end - 1) >> PAGE_SHIFT >> P2M_CHUNK_SHIFT);
	return SCRIM_OK;
}
