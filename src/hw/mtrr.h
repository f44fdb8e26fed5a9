/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the addresses where the memory type may change (AMD APM vol. 2, 7.7): large map entries must not cross them. And the MTRRs as they are. */
#pragma once

#include "base/types.h"
#include "hw/mtrr_types.h"

#define MTRR_BOUNDARIES_MAX 64u

/* Fills `boundary` (MTRR_BOUNDARIES_MAX) from the variable ranges; fixed ranges lie in the first MiB. Returns the count. */
uint32_t mtrr_boundaries(uint64_t *boundary, uint32_t address_bits);

/* Those of the calling CPU; one that has none caches everything. `address_bits`: MAXPHYADDR. False: more variable ranges than fit, or one in pieces. */
bool mtrr_read(struct mtrr_state *state, uint32_t address_bits) MUST_CHECK;
