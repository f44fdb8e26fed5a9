/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the retiring of a frame: its pages move away, one a call, and then it is withdrawn for good. A page whose own frame is
 * retired has no home any more. It goes to a spare frame, so that it is in no other's way home.
 */
#include "mem/batch.h"
#include "mem/reverse.h"

/* What a retirement is about to do. */
struct retirement {
	mfn_t frame, to;
	gfn_t page;   /* moves to `to` first, unless free */
	bool free;
	bool manage;  /* the frame's own page, which is at home, is to be managed before */
};

bool mem_find_occupant(struct mem *mem, mfn_t frame, gfn_t *page)
{
	*page = gfn(frame.n);
	if (frame.n >= mem->frame_chunk_count << P2M_CHUNK_SHIFT)
		return true; /* of no RAM: as Identity has it */
	if (!frames_is_extra(mem, frame) && !p2m_is_displaced(p2m_entry(mem, *page), *page))
		return true;
	return mem->reverse->find_stranger(mem, frame, page);
}

/* Home where that is free; else nobody's home, where it is in nobody's way. */
static err_t find_place(struct mem *mem, gfn_t page, mfn_t *to)
{
	const struct frame_want spare = { .spare_only = true }, any = { 0 };

	*to = gfn_home(page);
	if (p2m_is_displaced(p2m_entry(mem, page), page) && frames_is_free(mem, *to))
		return SCRIM_OK;

	err_t err = frames_find(mem, &spare, to);

	return err == SCRIM_ENOFRAME ? frames_find(mem, &any, to) : err;
}

/* Whether pages may leave the frame, and come there no more. */
static err_t check_frame(struct mem *mem, struct retirement *plan)
{
	gfn_t page = gfn(plan->frame.n);

	if (frames_is_withdrawn(mem, plan->frame))
		return SCRIM_EDISPLACED;
	if (frames_is_extra(mem, plan->frame) || mem_may_displace(mem, page))
		return SCRIM_OK;
	if (!mem_is_ram(mem, page))
		return SCRIM_ENOTRAM;
	plan->manage = true;
	return mem_may_be_managed(mem, page) ? SCRIM_OK : SCRIM_EDMA;
}

/* One frame is to be left over when this one is gone; what a page needs that leaves it alone is so without sharing. */
static err_t check_count(const struct mem *mem, const struct retirement *plan)
{
	uint64_t kept = mem->saved + (!plan->free || mem->displaced > 0);

	return mem->free_frames < 1 + kept ? SCRIM_ENOFRAME : SCRIM_OK;
}

static err_t plan_retire(struct mem *mem, struct retirement *plan)
{
	err_t err = check_frame(mem, plan);

	if (err != SCRIM_OK)
		return err;
	if (mem->withdrawn.count >= RANGES_MAX || (plan->manage && mem->managed.count + 2 > RANGES_MAX))
		return SCRIM_EINVAL;
	plan->free = frames_is_any_free(mem, plan->frame);
	err = check_count(mem, plan);
	if (err != SCRIM_OK || plan->free)
		return err;
	if (!mem_find_occupant(mem, plan->frame, &plan->page))
		return SCRIM_EDISPLACED; /* spoken for; no batch is in flight, so that is a bug */
	err = find_place(mem, plan->page, &plan->to);
	if (err != SCRIM_OK)
		return err;
	return batch_prepare(mem, plan->page, plan->to) ? SCRIM_OK : SCRIM_ENOTABLE;
}

err_t mem_retire(struct mem *mem, mfn_t frame, struct mem_moved *moved, bool *done)
{
	struct retirement plan = { .frame = frame };

	*done = frames_is_retired(mem, frame);
	if (mem->remap.active || mem->in_flight > 0)
		return SCRIM_ESTATE;
	if (*done)
		return SCRIM_OK;

	err_t err = plan_retire(mem, &plan);

	if (err != SCRIM_OK)
		return err;

	/* Nothing below can fail: room in the lists was seen. */
	if (plan.manage)
		(void)!mem_manage(mem, mfn_address(frame), mfn_address(frame) + PAGE_SIZE);
	if (!plan.free) {
		batch_open(mem, &mem->own);
		batch_add(mem, &mem->own, plan.page, plan.to, false);
		batch_run(mem, &mem->own, moved);
	}
	*done = frames_is_any_free(mem, frame);
	if (*done)
		frames_retire(mem, frame);
	return SCRIM_OK;
}
