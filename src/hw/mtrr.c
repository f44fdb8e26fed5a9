/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the MTRRs of the calling CPU; firmware and OS keep them equal on all. */
#include "hw/mtrr.h"

#include "hw/insn.h"
#include "hw/msr.h"

#define CPUID_MTRR (1u << 12)
#define MTRR_CAP_FIXED (1ull << 8)
#define MTRR_VALID (1ull << 11)
#define VENDOR_AMD 0x68747541u /* "Auth" of AuthenticAMD */

uint32_t mtrr_boundaries(uint64_t *boundary, uint32_t address_bits)
{
	uint64_t address_mask = ((1ull << address_bits) - 1) & ~PAGE_MASK;
	uint32_t count = 0;

	if (!(cpuid(1, 0).edx & CPUID_MTRR))
		return 0;
	uint32_t ranges = rdmsr(MSR_MTRR_CAP) & 0xff;
	for (uint32_t i = 0; i < ranges && count + 3 <= MTRR_BOUNDARIES_MAX; i++) {
		uint64_t base = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i) & address_mask;
		uint64_t mask = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i + 1);
		if (!(mask & MTRR_VALID))
			continue;
		/* The lowest bit of the mask is the range's size, where the mask is contiguous as the manual asks. */
		mask &= address_mask;
		boundary[count++] = base;
		boundary[count++] = base + (mask & -mask);
	}
	/* RAM above 4 GiB ends at TOM2, and its type with it (7.9.4). */
	if (cpuid(0, 0).ebx == VENDOR_AMD && rdmsr(MSR_SYSCFG) & SYSCFG_TOM2_ENABLED)
		boundary[count++] = rdmsr(MSR_TOM2) & address_mask;
	return count;
}

bool mtrr_read(struct mtrr_state *state, uint32_t address_bits)
{
	static const uint16_t fixed[MTRR_FIXED_REGISTERS] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

	*state = (struct mtrr_state){ .def_type = MTRR_ENABLE | MEMORY_WRITE_BACK, .address_bits = address_bits };
	if (!(cpuid(1, 0).edx & CPUID_MTRR))
		return true;
	uint64_t cap = rdmsr(MSR_MTRR_CAP);
	if ((cap & 0xff) > MTRR_VARIABLE_MAX)
		return false;
	state->variable_count = cap & 0xff;
	state->def_type = rdmsr(MSR_MTRR_DEF_TYPE);
	state->has_fixed = cap & MTRR_CAP_FIXED;
	for (uint32_t i = 0; state->has_fixed && i < MTRR_FIXED_REGISTERS; i++)
		state->fixed[i] = rdmsr(fixed[i]);
	for (uint32_t i = 0; i < state->variable_count; i++) {
		state->variable[i].base = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i);
		state->variable[i].mask = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i + 1);
	}
	return mtrr_is_plain(state);
}
