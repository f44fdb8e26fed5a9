/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the size of the bitmaps that tell something of frames that follow one another, one page each. */
#pragma once

#include "base/types.h"

#define SEARCH_FRAMES ((uint64_t)PAGE_SIZE * 8)
