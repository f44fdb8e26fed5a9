/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the bitmaps over the boot reserve and the count `reserve_free`. It knows nothing of pages: who occupies a taken
 * frame stands in the P2M only. Bits past the last frame stay zero, and the count keeps them from being taken.
 */
#include "mem/frames.h"

struct bit {
	uint64_t word;
	uint64_t mask;
};

static struct bit bit_of(const struct mem *mem, mfn_t frame)
{
	uint64_t index = frame.n - mem->config.reserve_first.n;

	return (struct bit){ index / FRAMES_WORD_BITS, 1ull << (index % FRAMES_WORD_BITS) };
}

bool frames_contain(const struct mem *mem, mfn_t frame)
{
	return frame.n >= mem->config.reserve_first.n &&
	       frame.n - mem->config.reserve_first.n < mem->config.reserve_frames;
}

bool frames_is_used(const struct mem *mem, mfn_t frame)
{
	struct bit bit = bit_of(mem, frame);

	return mem->reserve_used[bit.word] & bit.mask;
}

bool frames_take(struct mem *mem, mfn_t *frame)
{
	if (mem->reserve_free == 0)
		return false;
	for (uint64_t word = 0; word < frames_words(mem->config.reserve_frames); word++) {
		uint64_t zeros = ~mem->reserve_used[word];

		if (zeros == 0)
			continue;
		mem->reserve_used[word] |= zeros & -zeros;
		mem->reserve_free--;
		*frame = mfn(mem->config.reserve_first.n + word * FRAMES_WORD_BITS + (uint64_t)__builtin_ctzll(zeros));
		return true;
	}
	return false;
}

void frames_give(struct mem *mem, mfn_t frame)
{
	struct bit bit = bit_of(mem, frame);

	mem->reserve_used[bit.word] &= ~bit.mask;
	mem->reserve_free++;
}

bool frames_see(const struct mem *mem, mfn_t frame)
{
	struct bit bit = bit_of(mem, frame);

	if (mem->reserve_seen[bit.word] & bit.mask)
		return false;
	mem->reserve_seen[bit.word] |= bit.mask;
	return true;
}
