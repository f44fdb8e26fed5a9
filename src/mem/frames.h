/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the free frames, whatever reverse keeps them: which frames are spare, how they come and go, finding one. */
#pragma once

#include "mem/p2m.h"

/* What kind of free frame is wanted: outside [avoid_first, avoid_last), and perhaps nobody's home. */
struct frame_want {
	uint64_t avoid_first, avoid_last;
	bool spare_only;
};

bool frames_is_listed_lent(const struct mem *mem, mfn_t frame);

/* True when the frame is of the boot reserve or lent: nobody's home. Without a call, since it is asked of each frame of a chunk. */
static inline bool frames_is_extra(const struct mem *mem, mfn_t frame)
{
	return frame.n - mem->config.reserve_first.n < mem->config.reserve_frames ||
	       (mem->lent_frames > 0 && frames_is_listed_lent(mem, frame));
}

/* True when no page may be there, for a while or for good. Mostly there are none. */
bool frames_is_listed_withdrawn(const struct mem *mem, mfn_t frame);
static inline bool frames_is_withdrawn(const struct mem *mem, mfn_t frame)
{
	return mem->withdrawn_frames > 0 && frames_is_listed_withdrawn(mem, frame);
}

/* True when it is extra and not withdrawn: it may hold pages and is in nobody's way. */
static inline bool frames_is_spare(const struct mem *mem, mfn_t frame)
{
	return frames_is_extra(mem, frame) && !frames_is_withdrawn(mem, frame);
}

/* True when the frame is withdrawn for good. */
bool frames_is_retired(const struct mem *mem, mfn_t frame);

/* True when a frame may hold a page that is not at home there: spare, or a home that may be left. Withdrawn ones too. */
bool frames_can_hold(const struct mem *mem, mfn_t frame);

/* True when a chunk (of P2M_CHUNK_PAGES frames) has such a frame. */
bool frames_has_spare(const struct mem *mem, uint64_t chunk);

bool frames_match(const struct mem *mem, const struct frame_want *want, mfn_t frame);

/* Nobody occupies the frame any more, nobody's translation leads to it: it may be taken. */
void frames_free(struct mem *mem, mfn_t frame);

/* The free frame is spoken for. */
void frames_take(struct mem *mem, mfn_t frame);

/* A free frame is none of ours from now on. It was free until here: the list that says why comes after. */
void frames_withdraw(struct mem *mem, mfn_t frame);

/* The free frame is retired: the list has room for it. */
void frames_retire(struct mem *mem, mfn_t frame);

/* Finds a free frame; does not take it. SCRIM_ENOFRAME, SCRIM_ENOTABLE (no memory for the reverse). */
err_t frames_find(struct mem *mem, const struct frame_want *want, mfn_t *frame) MUST_CHECK;

/* For a reverse that keeps no list: looks at the cache, then around all frames that can be free. */
err_t frames_scan(struct mem *mem, const struct frame_want *want, mfn_t *frame) MUST_CHECK;

/* The cache of such a reverse. */
void frames_cache(struct mem *mem, mfn_t frame);
void frames_uncache(struct mem *mem, mfn_t frame);
void frames_cache_clear(struct mem *mem);

/* True when a frame that could be free (spare, or home of a page displaced and at rest) is. */
bool frames_is_free(struct mem *mem, mfn_t frame);

/* The same of any frame. */
bool frames_is_any_free(struct mem *mem, mfn_t frame);
