/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the bitmaps of ports and MSRs whose accesses exit: of MSRs one for each of what a CPU may be doing. */
#include "base/str.h"
#include "hw/apic.h"
#include "virt/guard.h"
#include "virt/own.h"
#include "vmx/vmx.h"
#include "vmx/vmx_capability.h"

struct bitmaps {
	uint8_t io[2 * PAGE_SIZE]; /* A: ports below 0x8000; B: above */
	uint8_t msr[PAGE_SIZE], msr_translating[PAGE_SIZE], msr_v2m[PAGE_SIZE], msr_guard[PAGE_SIZE];
};
_Static_assert(sizeof(struct bitmaps) == VMX_SHARED_BYTES, "vmx.h");

static struct bitmaps *bitmaps;

/* A bit an MSR: reads and writes, each of two ranges of 8 Ki MSRs (24.6.9). */
enum { MSR_READS = 0, MSR_WRITES = 2048, MSR_HIGH = 1024 };

static void trap_msr(uint8_t *map, uint32_t msr, uint32_t accesses)
{
	uint32_t bit = msr & 0x1fff;

	map[accesses + (msr >= 0xc0000000u ? MSR_HIGH : 0) + bit / 8] |= (uint8_t)(1u << bit % 8);
}

static void trap_msr_all(uint8_t *map, uint32_t msr)
{
	trap_msr(map, msr, MSR_READS);
	trap_msr(map, msr, MSR_WRITES);
}

void vmx_make_bitmaps(void)
{
	bitmaps = own_alloc(VMX_SHARED_BYTES);
	bitmaps->io[SCRIM_PORT / 8] |= (uint8_t)(1u << SCRIM_PORT % 8);
	bitmaps->io[CMOS_DATA_PORT / 8] |= (uint8_t)(1u << CMOS_DATA_PORT % 8); /* an OS writes it before it starts a CPU */
	/* VMX is hidden as firmware hides it. */
	trap_msr_all(bitmaps->msr, MSR_FEATURE_CONTROL);
	for (uint32_t msr = MSR_VMX_BASIC; msr <= MSR_VMX_LAST; msr++)
		trap_msr_all(bitmaps->msr, msr);
	/* What a machine-check bank says of a frame is told of the page that is there. In NATIVE that is the same, and nothing exits. */
	memcpy(bitmaps->msr_translating, bitmaps->msr, PAGE_SIZE);
	for (uint32_t bank = 0; bank < MC_BANKS_MAX; bank++) {
		trap_msr(bitmaps->msr_translating, MSR_MC0_STATUS + 4 * bank, MSR_READS);
		trap_msr(bitmaps->msr_translating, MSR_MC0_ADDR + 4 * bank, MSR_READS);
	}
	memcpy(bitmaps->msr_v2m, bitmaps->msr_translating, PAGE_SIZE);
	trap_msr(bitmaps->msr_v2m, MSR_EFER, MSR_WRITES); /* NXE: the tables are made by it */
	memcpy(bitmaps->msr_guard, bitmaps->msr_translating, PAGE_SIZE);
	trap_msr(bitmaps->msr_guard, MSR_X2APIC_ICR, MSR_WRITES);
	/* So that a CPU on which the guard has ended leaves it soon: an EOI comes with every interrupt. */
	trap_msr(bitmaps->msr_guard, MSR_X2APIC_EOI, MSR_WRITES);
}

void vmx_set_io_bitmaps(void)
{
	vmx_write(VMCS_IO_BITMAP_A, (uint64_t)(uintptr_t)bitmaps->io);
	vmx_write(VMCS_IO_BITMAP_B, (uint64_t)(uintptr_t)bitmaps->io + PAGE_SIZE);
}

void vmx_choose_msr_bitmap(const struct cpu *cpu)
{
	const uint8_t *map = cpu->mode == SCRIM_BACKEND_NATIVE ? bitmaps->msr : vmx_is_v2m(cpu) ? bitmaps->msr_v2m : bitmaps->msr_translating;

	vmx_write(VMCS_MSR_BITMAP, (uint64_t)(uintptr_t)(cpu->guarded_msrs ? bitmaps->msr_guard : map));
}
