/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the VMX capability MSRs of CPUs: two real ones, and models of Bochs's (its vmcs.cc says how they come about). Zero: the CPU raises #GP.
 */
#pragma once

#include "vmx/vmx_capability.h"

#define VMX_MSRS (MSR_VMX_TRUE_ENTRY - MSR_VMX_BASIC + 1)

struct vmx_cpu {
	const char *name;
	uint64_t msr[VMX_MSRS]; /* from MSR_VMX_BASIC on */
};

static const struct vmx_cpu vmx_cpu_haswell = { /* a Core i7-4770 */
	.name = "Haswell",
	.msr = { 0x00da040000000012, 0x0000007f00000016, 0xfff9fffe0401e172, 0x007fffff00036dff, 0x0000ffff000011ff, 0x00000000300481e5,
		 0x0000000080000021, 0x00000000ffffffff, 0x0000000000002000, 0x00000000001727ff, 0x000000000000002a, 0x00007cff00000000,
		 0x00000f0106334141, 0x0000007f00000016, 0xfff9fffe04006172, 0x007fffff00036dfb, 0x0000ffff000011fb },
};

static const struct vmx_cpu vmx_cpu_penryn = { /* a Core 2 Duo T9600: no true controls, no EPT */
	.name = "Penryn",
	.msr = { 0x005a08000000000d, 0x0000003f00000016, 0xf7f9fffe0401e172, 0x0003ffff00036dff, 0x00003fff000011ff, 0x00000000000403c0,
		 0x0000000080000021, 0x00000000ffffffff, 0x0000000000002000, 0x00000000000467ff, 0x000000000000002c, 0x0000004100000000 },
};

static const struct vmx_cpu vmx_cpu_bochs_haswell = {
	.name = "Bochs's haswell",
	.msr = { 0x00d810000000002b, 0x0000007f00000016, 0xfff9fffe0401e172, 0x007fffff00036dff, 0x0000ffff000011ff, 0x00000000000401e0,
		 0x0000000080000021, 0x00000000ffffffff, 0x0000000000002000, 0x00000000001727ff, 0x000000000000002c, 0x00047fff00000000,
		 0x00000f0106334141, 0x0000007f00000016, 0xfff9fffe04006172, 0x007fffff00036dfb, 0x0000ffff000011fb },
};

static const struct vmx_cpu vmx_cpu_bochs_lynnfield = { /* no unrestricted guest */
	.name = "Bochs's lynnfield",
	.msr = { 0x00d810000000002b, 0x0000007f00000016, 0xfff9fffe0401e172, 0x007fffff00036dff, 0x0000ffff000011ff, 0x00000000000401e0,
		 0x0000000080000021, 0x00000000ffffffff, 0x0000000000002000, 0x00000000000067ff, 0x000000000000002c, 0x0000007f00000000,
		 0x00000f0106114141, 0x0000007f00000016, 0xfff9fffe04006172, 0x007fffff00036dfb, 0x0000ffff000011fb },
};

static const struct vmx_cpu vmx_cpu_bochs_penryn = { /* true controls, no EPT */
	.name = "Bochs's penryn",
	.msr = { 0x00d810000000002b, 0x0000003f00000016, 0xf7f9fffe0401e172, 0x0003ffff00036dff, 0x00003fff000011ff, 0x00000000000401c0,
		 0x0000000080000021, 0x00000000ffffffff, 0x0000000000002000, 0x00000000000467ff, 0x000000000000002c, 0x0000004100000000,
		 0, 0x0000003f00000016, 0xf7f9fffe04006172, 0x0003ffff00036dfb, 0x00003fff000011fb },
};
