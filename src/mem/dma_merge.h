/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what a move does to the contents of a page that devices write all the while: the copy before the IOMMU's entry goes
 * over to the new frame, and the merge behind the drained invalidation. docs/decisions/0014 has the argument, tests/model the model.
 *
 * `old`, `pristine` and `new` are the same part of three frames, 8-byte aligned; `bytes`, a multiple of 8, is its size. Parts of one
 * page may be copied, and then merged, at the same time.
 */
#pragma once

#include "base/types.h"

/* Copies the old frame, which devices may be writing, to both others; no device reaches these yet. They are equal afterwards. */
void dma_merge_copy(const uint64_t *old, uint64_t *pristine, uint64_t *new, uint32_t bytes);

/*
 * Puts into the new frame, which devices may be writing, each byte that was written to the old one after the copy, unless a newer
 * one is there. Nobody writes the old frame any more. Returns how many bytes it put there.
 */
uint32_t dma_merge_late_writes(const uint64_t *old, const uint64_t *pristine, uint64_t *new, uint32_t bytes);
