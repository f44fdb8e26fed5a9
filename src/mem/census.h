/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides counts of a range's pages by what the map says of them. */
#pragma once

#include "mem/mem.h"

struct mem_census {
	uint32_t displaced, shared; /* a page can be both */
	uint32_t in_flight;
};

/* Of pages [first, last). Under the lock. Chunks without a leaf cost a look at their slot. */
struct mem_census mem_census(const struct mem *mem, gfn_t first, gfn_t last) MUST_CHECK;
