/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the VMCS's control words for Scrim, by what the CPU says of them in its capability MSRs: those that always hold. Others come and go with
 * what a CPU is doing (vmx_vmcs.c); that they can is seen to here.
 */
#pragma once

#include "base/types.h"

/* The capability MSRs (vmx_capability.h), of controls the true ones where the CPU has those; 0 for what it has not. */
struct vmx_capabilities {
	uint64_t basic, misc;
	uint64_t pin, primary, secondary, exit, entry;
	uint64_t ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1; /* bits that have to be 1, and (0 in these) 0 */
};

/* `read` reads an MSR that is there. */
void vmx_capabilities_read(struct vmx_capabilities *capabilities, uint64_t (*read)(uint32_t msr));

/* The control word nearest to `wanted` that the CPU takes. */
uint32_t vmx_adjust(uint64_t capability, uint32_t wanted);

struct vmx_controls {
	uint32_t pin, primary, exit, entry;
	uint32_t secondary;     /* in NATIVE */
	uint32_t nested;        /* what EPT adds: itself, and the unrestricted guest, which the hardware refuses without it (26.2.1.1) */
	bool has_vpid;          /* else each entry and exit forgets all linear translations by itself (28.4.3.1) */
	bool invalidates_address; /* INVVPID by address; else by VPID alone */
	bool invalidates_single;  /* INVEPT by EPT pointer; else all of them */
	bool has_1g;            /* EPT leaves of 1 GiB */
};

/* NULL: the CPU has all that Scrim needs. Else what it lacks, the end of a line for people that begins with the CPU. */
const char *vmx_controls_choose(const struct vmx_capabilities *capabilities, struct vmx_controls *controls);
