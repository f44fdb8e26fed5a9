/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides page numbers that cannot be mixed up: gfn_t for the OS's physical pages P, mfn_t for machine frames M.
 * One-field structs cost nothing and make `gfn = mfn` a compile error.
 */
#pragma once

#include "base/types.h"

typedef struct { uint64_t n; } gfn_t; /* guest (physical) frame number: address >> 12 */
typedef struct { uint64_t n; } mfn_t; /* machine frame number: address >> 12 */

static inline gfn_t gfn(uint64_t n) { return (gfn_t){ n }; }
static inline mfn_t mfn(uint64_t n) { return (mfn_t){ n }; }
static inline gfn_t gfn_of_address(uint64_t physical) { return gfn(physical >> PAGE_SHIFT); }
static inline mfn_t mfn_of_address(uint64_t machine) { return mfn(machine >> PAGE_SHIFT); }
static inline uint64_t gfn_address(gfn_t page) { return page.n << PAGE_SHIFT; }
static inline uint64_t mfn_address(mfn_t frame) { return frame.n << PAGE_SHIFT; }

/* Home of page p: the frame of the same number. */
static inline mfn_t gfn_home(gfn_t page) { return mfn(page.n); }
static inline bool mfn_is_home(gfn_t page, mfn_t frame) { return page.n == frame.n; }
