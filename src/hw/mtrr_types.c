/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing. A variable range is those addresses whose bits in the mask are the base's: mostly one piece, but not of necessity. */
#include "hw/mtrr_types.h"

#define VALID (1ull << 11) /* of a mask */
#define FIXED_END MIB(1)
#define FIXED_64K_END 0x80000u
#define FIXED_16K_END 0xc0000u

/* A type that is none is reserved: writing it raises #GP, so it is not met. It would have a table refused; uncacheable is always right. */
static enum memory_type type_of(uint64_t value)
{
	switch (value & 0xff) {
	case MEMORY_WRITE_COMBINING:
		return MEMORY_WRITE_COMBINING;
	case MEMORY_WRITE_THROUGH:
		return MEMORY_WRITE_THROUGH;
	case MEMORY_WRITE_PROTECTED:
		return MEMORY_WRITE_PROTECTED;
	case MEMORY_WRITE_BACK:
		return MEMORY_WRITE_BACK;
	default:
		return MEMORY_UNCACHEABLE;
	}
}

static uint64_t address_mask(const struct mtrr_state *state)
{
	return ((1ull << state->address_bits) - 1) & ~PAGE_MASK;
}

static enum memory_type fixed_type(const struct mtrr_state *state, uint64_t address)
{
	uint64_t index = 24 + (address - FIXED_16K_END) / KIB(4);

	if (address < FIXED_64K_END)
		index = address / KIB(64);
	else if (address < FIXED_16K_END)
		index = 8 + (address - FIXED_64K_END) / KIB(16);
	return type_of(state->fixed[index / 8] >> 8 * (index % 8));
}

/* Where ranges overlap (APM vol. 2, 7.7.4; SDM vol. 3, 11.11.4.1). Combinations that are left undefined are taken as uncacheable. */
static enum memory_type combine(enum memory_type a, enum memory_type b)
{
	bool both_cached = (a == MEMORY_WRITE_THROUGH && b == MEMORY_WRITE_BACK) || (a == MEMORY_WRITE_BACK && b == MEMORY_WRITE_THROUGH);

	if (a == MEMORY_MIXED || a == b) /* MIXED: none yet */
		return b;
	return both_cached ? MEMORY_WRITE_THROUGH : MEMORY_UNCACHEABLE;
}

static enum memory_type variable_type(const struct mtrr_state *state, uint64_t start, uint64_t bytes)
{
	enum memory_type type = MEMORY_MIXED;
	bool partly = false;

	for (uint32_t i = 0; i < state->variable_count; i++) {
		uint64_t mask = state->variable[i].mask & address_mask(state);
		if (!(state->variable[i].mask & VALID) || (start ^ state->variable[i].base) & mask & ~(bytes - 1))
			continue; /* no address in it */
		if (mask & (bytes - 1)) /* some, not all */
			partly = true;
		else
			type = combine(type, type_of(state->variable[i].base));
	}
	if (type == MEMORY_UNCACHEABLE) /* whatever else there is */
		return type;
	if (partly)
		return MEMORY_MIXED;
	return type == MEMORY_MIXED ? type_of(MTRR_DEFAULT(state->def_type)) : type;
}

enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t start, uint64_t bytes)
{
	if (!(state->def_type & MTRR_ENABLE))
		return MEMORY_UNCACHEABLE;
	if (start < FIXED_END && state->has_fixed && state->def_type & MTRR_FIXED_ENABLE)
		return bytes == PAGE_SIZE ? fixed_type(state, start) : MEMORY_MIXED;
	return variable_type(state, start, bytes);
}

bool mtrr_is_plain(const struct mtrr_state *state)
{
	for (uint32_t i = 0; i < state->variable_count; i++) {
		uint64_t mask = state->variable[i].mask & address_mask(state);
		if (state->variable[i].mask & VALID && mask + (mask & -mask) != 1ull << state->address_bits)
			return false;
	}
	return true;
}
