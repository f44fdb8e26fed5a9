/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the shape of translation tables, the same for CPUs and devices: that of long-mode tables (AMD APM vol. 2, 5.3). */
#pragma once

#include "base/addr.h"

#define TABLE_ENTRIES 512u
#define TABLE_LEVELS 4u /* level 1 maps 4 KiB, 2: 2 MiB, 3: 1 GiB, 4: 512 GiB */
#define TABLE_ADDRESS 0x000ffffffffff000ull

_Static_assert(TABLE_ENTRIES * sizeof(uint64_t) == PAGE_SIZE, "a table is a page");

/* log2 of the bytes that one entry of a level maps. */
static inline uint32_t table_shift(uint32_t level)
{
	return 12 + 9 * (level - 1);
}

static inline uint32_t table_index(uint64_t address, uint32_t level)
{
	return (uint32_t)(address >> table_shift(level)) & (TABLE_ENTRIES - 1);
}
