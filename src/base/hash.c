/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the inclusion of xxHash, which is header-only here: nothing of it but XXH64 is left in the image. */
#define XXH_INLINE_ALL
/* Words are read as they lie. By memcpy, which is a function here (-ffreestanding), each word of a page would be a call. */
#define XXH_FORCE_MEMORY_ACCESS 1
#include <xxhash.h>

#include "base/hash.h"

#define SAMPLE_WORDS 8u
#define PAGE_WORDS   ((uint32_t)(PAGE_SIZE / sizeof(uint64_t)))
#define GOLDEN_RATIO 0x9e3779b97f4a7c15ull /* of 2^64: multiplying by it spreads low bits upwards, shifting down again */

uint64_t hash_bytes(const void *bytes, size_t count)
{
	return XXH64(bytes, count, 0);
}

/* One word of each 512 bytes, at another place in each: what stands in columns differs somewhere. */
uint64_t hash_page_sample(const void *page)
{
	const uint64_t *words = page;
	uint64_t hash = 0;

	for (uint32_t i = 0; i < SAMPLE_WORDS; i++) {
		hash = (hash ^ words[i * (PAGE_WORDS / SAMPLE_WORDS + 1)]) * GOLDEN_RATIO;
		hash ^= hash >> 32;
	}
	return hash;
}

/* Word by word: a string comparison (REPE CMPSQ) is fewer instructions, and slower on processors, which have no fast form of it. */
bool hash_pages_equal(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

#pragma GCC unroll 16
	for (uint32_t i = 0; i < PAGE_WORDS; i++)
		if (left[i] != right[i])
			return false;
	return true;
}
