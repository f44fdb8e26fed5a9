/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the list of withdrawn frames: which hold no page and will hold none, for a while or for good. A frame is on it alone,
 * not in the books of a reverse, so that these agree whatever they keep.
 */
#include "base/str.h"
#include "mem/frames.h"
#include "mem/reverse.h"

static bool is_listed(const struct mem *mem, mfn_t frame, uint32_t type)
{
	return ranges_contain(&mem->withdrawn, mfn_address(frame), mfn_address(frame) + PAGE_SIZE, type);
}

bool frames_is_retired(const struct mem *mem, mfn_t frame)
{
	return mem->retired_frames > 0 && is_listed(mem, frame, RANGE_UNUSABLE);
}

bool frames_is_listed_withdrawn(const struct mem *mem, mfn_t frame)
{
	return is_listed(mem, frame, RANGE_RAM) || is_listed(mem, frame, RANGE_UNUSABLE);
}

/* Entries of another kind would fill the list up with what it does not say. */
static void drop_given_back(struct range_list *list)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->entry[i].type != RANGE_RESERVED)
			list->entry[kept++] = list->entry[i];
	list->count = kept;
}

static void tidy_books(struct mem *mem, mfn_t first, uint64_t count)
{
	for (uint64_t chunk = first.n >> P2M_CHUNK_SHIFT; chunk <= (first.n + count - 1) >> P2M_CHUNK_SHIFT; chunk++)
		mem->reverse->tidy(mem, chunk);
}

static err_t check_free(struct mem *mem, mfn_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!frames_can_hold(mem, mfn(first.n + i)))
			return SCRIM_ENOTRAM;
	for (uint64_t i = 0; i < count; i++)
		if (!frames_is_any_free(mem, mfn(first.n + i)))
			return SCRIM_EDISPLACED;
	return SCRIM_OK;
}

static err_t plan_withdraw(struct mem *mem, mfn_t first, uint64_t count)
{
	uint64_t top = mem->frame_chunk_count << P2M_CHUNK_SHIFT;

	if (mem->in_flight > 0)
		return SCRIM_ESTATE;
	if (count == 0)
		return SCRIM_EINVAL;
	if (first.n >= top || count > top - first.n)
		return SCRIM_ENOTRAM;

	err_t err = check_free(mem, first, count);

	if (err != SCRIM_OK)
		return err;
	return mem->free_frames < count + mem->saved + (mem->displaced > 0) ? SCRIM_ENOFRAME : SCRIM_OK;
}

err_t mem_withdraw(struct mem *mem, mfn_t first, uint64_t count)
{
	err_t err = plan_withdraw(mem, first, count);

	if (err != SCRIM_OK)
		return err;
	if (!ranges_set_type(&mem->withdrawn, mfn_address(first), mfn_address(first) + count * PAGE_SIZE, RANGE_RAM))
		return SCRIM_EINVAL;

	/* Nothing below can fail. */
	for (uint64_t i = 0; i < count; i++)
		frames_withdraw(mem, mfn(first.n + i));
	mem->withdrawn_frames += count;
	tidy_books(mem, first, count);
	return SCRIM_OK;
}

err_t mem_give_back(struct mem *mem, mfn_t first, uint64_t count)
{
	uint64_t start = mfn_address(first), end = start + count * PAGE_SIZE;
	uint64_t top = mem->frame_chunk_count << P2M_CHUNK_SHIFT;

	if (count == 0 || first.n >= top || count > top - first.n || !ranges_contain(&mem->withdrawn, start, end, RANGE_RAM) ||
	    !ranges_set_type(&mem->withdrawn, start, end, RANGE_RESERVED))
		return SCRIM_EINVAL;
	drop_given_back(&mem->withdrawn);
	mem->withdrawn_frames -= count;
	for (uint64_t i = 0; i < count; i++)
		frames_free(mem, mfn(first.n + i));
	return SCRIM_OK;
}

void mem_give_all_back(struct mem *mem)
{
	const struct range_list *list = &mem->withdrawn;
	uint32_t count = list->count;

	mem->withdrawn_frames = mem->retired_frames = 0;
	mem->withdrawn.count = 0;
	for (uint32_t i = 0; i < count; i++)
		for (uint64_t at = list->entry[i].start; at < list->entry[i].end; at += PAGE_SIZE)
			frames_free(mem, mfn_of_address(at));
}

void frames_retire(struct mem *mem, mfn_t frame)
{
	uint64_t start = mfn_address(frame);

	(void)!ranges_set_type(&mem->withdrawn, start, start + PAGE_SIZE, RANGE_UNUSABLE);
	frames_withdraw(mem, frame);
	mem->withdrawn_frames++;
	mem->retired_frames++;
	tidy_books(mem, frame, 1);
}
