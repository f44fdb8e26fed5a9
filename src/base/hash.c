/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the inclusion of xxHash, which is header-only here: nothing of it but XXH64 is left in the image. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

uint64_t hash_bytes(const void *bytes, size_t count)
{
	return XXH64(bytes, count, 0);
}
