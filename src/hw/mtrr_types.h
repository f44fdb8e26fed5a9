/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what the MTRRs say of a piece of memory, from their values alone (AMD APM vol. 2, 7.7; Intel SDM vol. 3, 11.11): for tables whose
 * entries have to say it, since the MTRRs do not apply to what is reached by them.
 */
#pragma once

#include "base/memory_type.h"
#include "base/types.h"

#define MTRR_VARIABLE_MAX 31u /* their boundaries fit (mtrr.h) */
#define MTRR_FIXED_REGISTERS 11u /* 8 types each: 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB */

/* Of MTRRdefType. */
#define MTRR_DEFAULT(def_type) ((uint32_t)(def_type) & 0xffu)
#define MTRR_FIXED_ENABLE (1ull << 10)
#define MTRR_ENABLE (1ull << 11)

struct mtrr_state {
	uint64_t def_type;
	bool has_fixed;
	uint64_t fixed[MTRR_FIXED_REGISTERS]; /* by address */
	uint32_t variable_count;
	struct {
		uint64_t base, mask; /* as in the MSRs */
	} variable[MTRR_VARIABLE_MAX];
	uint32_t address_bits;
};

/*
 * The type of [start, start + bytes): a power of two, 4 KiB or more, aligned to it. MEMORY_MIXED: not to be told in one word, since a register
 * covers a part of it only, or it reaches into the first MiB. Never for 4 KiB.
 */
enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t start, uint64_t bytes);

/* Each variable range is one piece, as firmware makes them: so what is MIXED has a boundary in it, and tables can be counted by boundaries. */
bool mtrr_is_plain(const struct mtrr_state *state);
