/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides little-endian loads from byte strings that have no alignment, as firmware and loaders hand them over, and their sum. */
#pragma once

#include "base/types.h"

static inline uint16_t load_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | (uint32_t)at[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *at)
{
	return load_u16(at) | (uint32_t)load_u16(at + 2) << 16;
}

static inline uint64_t load_u64(const uint8_t *at)
{
	return load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

/* Modulo 256: 0 over a whole table of ACPI's (ACPI 6.5, 5.2.6). */
static inline uint8_t sum_u8(const uint8_t *at, uint64_t count)
{
	uint8_t sum = 0;

	while (count--)
		sum = (uint8_t)(sum + *at++);
	return sum;
}
