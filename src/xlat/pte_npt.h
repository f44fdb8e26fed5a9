/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the format of AMD's nested page tables: that of long-mode tables (APM vol. 2, 15.25.4 and 5.3). */
#pragma once

#include "base/addr.h"

#define NPT_PRESENT (1ull << 0)
#define NPT_WRITE (1ull << 1)
#define NPT_USER (1ull << 2) /* every guest access is a user access to these tables (15.25.5) */
#define NPT_ACCESSED (1ull << 5)
#define NPT_DIRTY (1ull << 6)
#define NPT_LARGE (1ull << 7)
#define NPT_ADDRESS 0x000ffffffffff000ull

#define NPT_TABLE (NPT_PRESENT | NPT_WRITE | NPT_USER | NPT_ACCESSED)
#define NPT_LEAF (NPT_TABLE | NPT_DIRTY)

#define NPT_ENTRIES 512u
#define NPT_LEVELS 4u /* level 1 maps 4 KiB, 2: 2 MiB, 3: 1 GiB, 4: 512 GiB */

_Static_assert(NPT_ENTRIES * sizeof(uint64_t) == PAGE_SIZE, "a table is a page");

/* log2 of the bytes that one entry of a level maps. */
static inline uint32_t npt_shift(uint32_t level)
{
	return 12 + 9 * (level - 1);
}

static inline uint32_t npt_index(uint64_t address, uint32_t level)
{
	return (uint32_t)(address >> npt_shift(level)) & (NPT_ENTRIES - 1);
}
