/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the MTRRs of the calling CPU; firmware and OS keep them equal on all. */
#include "hw/mtrr.h"

#include "hw/insn.h"
#include "hw/msr.h"

#define CPUID_MTRR (1u << 12)
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
