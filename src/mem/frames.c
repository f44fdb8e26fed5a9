/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the count of free frames, the hints and the cache. A free frame is one that may hold pages, holds none and is
 * spoken for by no batch; where that is written down is the reverse's affair.
 *
 * Hints: when the home of a displaced page becomes free, the page is noted, so that chains are followed across batches
 * without looking for them. A hint holds until the frame is taken, and goes with it. One that finds no room is lost:
 * the sweep then starts counting anew, and finds the page.
 */
#include "mem/frames.h"

#include "base/str.h"
#include "mem/reverse.h"

bool frames_can_hold(const struct mem *mem, mfn_t frame)
{
	return frames_is_extra(mem, frame) || mem_may_displace(mem, gfn(frame.n));
}

bool frames_has_spare(const struct mem *mem, uint64_t chunk)
{
	uint64_t first = chunk << P2M_CHUNK_SHIFT, end = first + P2M_CHUNK_PAGES;
	uint64_t reserve = mem->config.reserve_first.n;

	if (reserve < end && reserve + mem->config.reserve_frames > first)
		return true;
	for (uint32_t i = 0; i < mem->lent.count; i++) {
		const struct range *range = &mem->lent.entry[i];

		if (range->type == RANGE_RAM && range->start >> PAGE_SHIFT < end && range->end >> PAGE_SHIFT > first)
			return true;
	}
	return false;
}

bool frames_match(const struct mem *mem, const struct frame_want *want, mfn_t frame)
{
	if (frame.n >= want->avoid_first && frame.n < want->avoid_last)
		return false;
	return !want->spare_only || frames_is_spare(mem, frame);
}

static void drop_hint(struct mem *mem, gfn_t page)
{
	for (uint32_t i = 0; i < mem->hint_count; i++)
		if (mem->hint[i].n == page.n) {
			mem->hint[i] = mem->hint[--mem->hint_count];
			return;
		}
}

void frames_free(struct mem *mem, mfn_t frame)
{
	gfn_t page = gfn(frame.n);

	mem->free_frames++;
	mem->reverse->freed(mem, frame);
	if (!p2m_is_displaced(p2m_entry(mem, page), page))
		return;
	mem->free_homes++;
	if (mem->hint_count < MEM_HINTS)
		mem->hint[mem->hint_count++] = page;
	else
		mem->remap.quiet = 0;
}

/* It is counted, and found by its page's way home, no more. */
static inline void forget_free(struct mem *mem, mfn_t frame)
{
	gfn_t page = gfn(frame.n);

	mem->free_frames--;
	if (!p2m_is_displaced(p2m_entry(mem, page), page))
		return;
	mem->free_homes--;
	drop_hint(mem, page);
}

void frames_take(struct mem *mem, mfn_t frame)
{
	mem->reverse->taken(mem, frame);
	forget_free(mem, frame);
}

void frames_withdraw(struct mem *mem, mfn_t frame)
{
	mem->reverse->withdrawn(mem, frame);
	forget_free(mem, frame);
}

err_t frames_find(struct mem *mem, const struct frame_want *want, mfn_t *frame)
{
	return mem->free_frames > 0 ? mem->reverse->find_free(mem, want, frame) : SCRIM_ENOFRAME;
}

bool frames_is_free(struct mem *mem, mfn_t frame)
{
	return !frames_is_withdrawn(mem, frame) && mem->reverse->is_free(mem, frame);
}

bool frames_is_any_free(struct mem *mem, mfn_t frame)
{
	gfn_t page = gfn(frame.n);

	return (frames_is_spare(mem, frame) || p2m_is_at_rest(p2m_entry(mem, page), page)) && frames_is_free(mem, frame);
}

/* --- the cache: a frame has one slot, where it may be pushed out by another --- */

static uint64_t *cache_slot(struct mem *mem, uint64_t frame)
{
	return &mem->free_cache[(frame ^ frame >> 7 ^ frame >> 14) & (MEM_CACHE_SLOTS - 1)];
}

void frames_cache(struct mem *mem, mfn_t frame) { *cache_slot(mem, frame.n) = frame.n + 1; }

void frames_uncache(struct mem *mem, mfn_t frame)
{
	uint64_t *slot = cache_slot(mem, frame.n);

	if (*slot == frame.n + 1)
		*slot = 0;
}

void frames_cache_clear(struct mem *mem) { memset(mem->free_cache, 0, sizeof(mem->free_cache)); }

static bool find_cached(struct mem *mem, const struct frame_want *want, mfn_t *frame)
{
	for (uint32_t i = 0; i < MEM_CACHE_SLOTS; i++) {
		uint64_t number = mem->free_cache[i];

		if (number == 0 || !frames_match(mem, want, mfn(number - 1)))
			continue;
		*frame = mfn(number - 1);
		return true;
	}
	return false;
}

/* --- all frames, chunk by chunk --- */

static bool can_be_free(const struct mem *mem, mfn_t frame, bool spare_chunk)
{
	gfn_t page = gfn(frame.n);

	/* The home of a page in flight may be where it goes to. */
	if (p2m_is_at_rest(p2m_entry(mem, page), page))
		return true;
	return spare_chunk && frames_is_spare(mem, frame);
}

/* Caches the free frames of one chunk where one may match: it is spare, or a home. The first that matches is found. */
static bool scan_chunk(struct mem *mem, uint64_t chunk, const struct frame_want *want, mfn_t *found)
{
	bool spare = frames_has_spare(mem, chunk), home = !want->spare_only && mem->free_homes > 0, match = false;

	if (!spare && (!home || chunk >= mem->chunk_count || mem->root[chunk].displaced == 0))
		return false;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++) {
		mfn_t frame = mfn((chunk << P2M_CHUNK_SHIFT) + i);

		if (!can_be_free(mem, frame, spare) || !frames_is_free(mem, frame))
			continue;
		frames_cache(mem, frame);
		if (!match && frames_match(mem, want, frame)) {
			*found = frame;
			match = true;
		}
	}
	return match;
}

err_t frames_scan(struct mem *mem, const struct frame_want *want, mfn_t *frame)
{
	if (find_cached(mem, want, frame))
		return SCRIM_OK;
	for (uint64_t seen = 0; seen < mem->frame_chunk_count; seen++) {
		uint64_t chunk = mem->scan_chunk;

		mem->scan_chunk = chunk + 1 < mem->frame_chunk_count ? chunk + 1 : 0;
		if (scan_chunk(mem, chunk, want, frame))
			return SCRIM_OK;
	}
	return SCRIM_ENOFRAME;
}
