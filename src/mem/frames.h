/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the free frames: the boot reserve, one bit a frame. */
#pragma once

#include "mem/mem.h"

#define FRAMES_WORD_BITS 64u

/* 64-bit words of a bitmap over `frame_count` frames. */
static inline uint64_t frames_words(uint64_t frame_count)
{
	return (frame_count + FRAMES_WORD_BITS - 1) / FRAMES_WORD_BITS;
}

/* True when the frame belongs to the reserve. */
bool frames_contain(const struct mem *mem, mfn_t frame);

/* True when a frame of the reserve is taken. */
bool frames_is_used(const struct mem *mem, mfn_t frame);

/* Takes the lowest free frame. False when there is none. */
bool frames_take(struct mem *mem, mfn_t *frame) MUST_CHECK;

/*
 * Gives a taken frame back; it may be taken again at once. So the caller knows that no CPU and no device holds a
 * translation to it or can get one.
 */
void frames_give(struct mem *mem, mfn_t frame);

/* Marks a frame of the reserve in mem_check's scratch bitmap. False when it was marked already. */
bool frames_see(const struct mem *mem, mfn_t frame) MUST_CHECK;
