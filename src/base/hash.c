/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the inclusion of xxHash, which is header-only here: nothing of it but XXH64 is left in the image. */
#define XXH_INLINE_ALL
/* Words are read as they lie. By memcpy, which is a function here (-ffreestanding), each word of a page would be a call. */
#define XXH_FORCE_MEMORY_ACCESS 1
#include <xxhash.h>

#include "base/hash.h"

uint64_t hash_bytes(const void *bytes, size_t count)
{
	return XXH64(bytes, count, 0);
}
