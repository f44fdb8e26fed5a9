/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the choice of VMX: what a CPU has of it, turning it on and off (23.6, 23.7). */
#include "vmx/vmx.h"

#include "base/str.h"
#include "hw/console.h"
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "hw/mtrr.h"
#include "virt/own.h"
#include "vmx/vmx_capability.h"
#include "vmx/vmx_insn.h"
#include "vmx/vmx_probe.h"
#include "xlat/pte_ept.h"

#define CPUID_VMX (1u << 5)    /* 1 ECX */
#define CPUID_XSAVE (1u << 26) /* 1 ECX */
#define CPUID_PKU (1u << 3)    /* 7 ECX */
#define ADDRESS_LEAF 0x80000008u /* EAX: MAXPHYADDR; there where 64-bit mode is */

static bool is_there(void)
{
	return cpuid(1, 0).ecx & CPUID_VMX;
}

/* As firmware left them; the OS has no reason to change those of its RAM. */
static bool read_mtrrs(struct mtrr_state *state)
{
	return mtrr_read(state, cpuid(ADDRESS_LEAF, 0).eax & 0xff);
}

static const char *choose(struct vmx_controls *controls)
{
	struct vmx_features features = { .has_vmx = is_there() };
	struct mtrr_state mtrrs;

	if (features.has_vmx) {
		features.firmware_disabled = (rdmsr(MSR_FEATURE_CONTROL) & (FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX)) == FEATURE_CONTROL_LOCK;
		features.has_unknown_mtrrs = !read_mtrrs(&mtrrs);
		vmx_capabilities_read(&features.capabilities, rdmsr);
	}
	return vmx_probe_judge(&features, controls);
}

static const char *probe(void)
{
	struct vmx_controls controls;

	return choose(&controls);
}

static bool has_1g(void)
{
	return rdmsr(MSR_VMX_EPT_VPID) & EPT_CAP_1G;
}

struct vmx_controls vmx_controls;

static struct mtrr_state mtrr;

static enum memory_type memory_type(void *context, uint64_t start, uint64_t bytes)
{
	(void)context;
	return mtrr_type(&mtrr, start, bytes);
}

static void init(void)
{
	CHECK(!choose(&vmx_controls)); /* probe() has been asked before */
	CHECK(read_mtrrs(&mtrr));
	descriptors_set_nmi(vmx_idt_nmi);
	vmx_make_bitmaps();
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		machine.cpu[i].control_block = (uint64_t)(uintptr_t)own_alloc(VMX_CPU_BYTES);
}

static void begin_region(uint64_t region)
{
	uint32_t revision = VMX_BASIC_REVISION(rdmsr(MSR_VMX_BASIC));

	memcpy((void *)(uintptr_t)region, &revision, sizeof(revision));
}

/* Scrim's own pages are the supervisor's, which have no keys; but RDPKRU and XSETBV, for the OS, ask for their bits. */
static void enable_features(void)
{
	uint64_t cr4 = read_cr4() | CR4_VMXE;

	if (cpuid(1, 0).ecx & CPUID_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & CPUID_PKU)
		cr4 |= CR4_PKE;
	write_cr4(cr4);
	write_cr0(read_cr0() | CR0_NE);
	if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
}

static void enable(struct cpu *cpu)
{
	uint64_t vmxon_region = cpu->control_block + PAGE_SIZE;

	enable_features();
	begin_region(cpu->control_block);
	begin_region(vmxon_region);
	CHECK(vmxon(vmxon_region) == VMX_SUCCEEDED);
	CHECK(vmclear(cpu->control_block) == VMX_SUCCEEDED);
	CHECK(vmptrld(cpu->control_block) == VMX_SUCCEEDED);
}

static void disable(struct cpu *cpu)
{
	CHECK(vmclear(cpu->control_block) == VMX_SUCCEEDED);
	CHECK(vmxoff() == VMX_SUCCEEDED);
}

static bool guest_is_paging(const struct cpu *cpu)
{
	(void)cpu;
	return vmx_guest_cr0() & CR0_PG;
}

static uint32_t guest_idt_limit(const struct cpu *cpu)
{
	(void)cpu;
	return (uint32_t)vmx_read(VMCS_GUEST_IDTR_LIMIT);
}

const struct vendor_ops vmx_vendor = {
	.id = SCRIM_VENDOR_INTEL,
	.cpu_bytes = VMX_CPU_BYTES,
	.shared_bytes = VMX_SHARED_BYTES,
	.nested_format = &pte_ept,
	.memory_type = memory_type,
	.unpaged_needs_map = true,
	.is_there = is_there,
	.probe = probe,
	.has_1g = has_1g,
	.init = init,
	.enable = enable,
	.disable = disable,
	.reset_to_entry = vmx_reset_to_entry,
	.reset_to_startup = vmx_reset_to_startup,
	.run = vmx_run,
	.set_backend = vmx_set_backend,
	.can_shadow = vmx_can_shadow,
	.flush = vmx_flush,
	.intercept_apic_msrs = vmx_intercept_apic_msrs,
	.intercept_cr3_load = vmx_intercept_cr3_load,
	.save_registers = vmx_save_registers,
	.guest_access = vmx_guest_access,
	.guest_is_paging = guest_is_paging,
	.guest_idt_limit = guest_idt_limit,
};
