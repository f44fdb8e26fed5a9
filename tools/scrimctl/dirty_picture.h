/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the picture of what is written: one cell a block of memory, the darker the more of its pages are. */
#pragma once

#include "dirty_pages.h"

#define DIRTY_BLOCK_BYTES 0x200000ull

/* Bytes of a cell: a block, or a power of two of them so that no more than 64 rows are printed. */
uint64_t dirty_picture_cell(const struct dirty_pages *dirty);

void dirty_picture_print(FILE *out, const struct dirty_pages *dirty);
