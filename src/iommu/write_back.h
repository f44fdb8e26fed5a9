/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the way to memory for what hardware reads past the CPUs' caches. */
#pragma once

#include "base/types.h"
#include "hw/insn.h"

#define CACHE_LINE_BYTES 64u /* the least that any CPU beside an IOMMU flushes */

/* What has been written to these bytes is in memory for any reader. */
static inline void write_back(const void *at, uint64_t bytes)
{
	uint64_t line = align_down((uint64_t)(uintptr_t)at, CACHE_LINE_BYTES), end = (uint64_t)(uintptr_t)at + bytes;

	mfence();
	for (; line < end; line += CACHE_LINE_BYTES)
		clflush((const void *)(uintptr_t)line);
	mfence();
}
