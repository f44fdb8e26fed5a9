/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSRs that exit. VMX is hidden as firmware hides it: IA32_FEATURE_CONTROL reads as locked without it, and the capability MSRs
 * are not there (appendix A: where CPUID says so).
 */
#include "hw/apic.h"
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/exit.h"
#include "virt/guard.h"
#include "virt/machine_check.h"
#include "vmx/vmx.h"
#include "vmx/vmx_capability.h"

static bool is_vmx_capability(uint32_t msr)
{
	return msr >= MSR_VMX_BASIC && msr <= MSR_VMX_LAST;
}

/* Exits under V2M tables alone. */
static bool write_efer(struct cpu *cpu, uint64_t value)
{
	uint64_t old = vmx_read(VMCS_GUEST_EFER), efer = old;

	if (!exit_write_efer(vmx_guest_cr0(), 0, value, &efer))
		return false;
	vmx_write(VMCS_GUEST_EFER, efer);
	if ((efer ^ old) & EFER_NXE)
		vmx_efer_changed(cpu);
	return true;
}

/* False: #GP. */
static bool write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_X2APIC_ICR || msr == MSR_X2APIC_EOI)
		return apic_is_x2apic() &&
		       guard_apic_write(cpu, msr == MSR_X2APIC_ICR ? APIC_REG_ICR_LOW : APIC_REG_EOI, value);
	if (msr == MSR_EFER)
		return write_efer(cpu, value);
	if (msr == MSR_FEATURE_CONTROL || is_vmx_capability(msr))
		return false; /* locked; read-only */
	return wrmsr_safe(msr, value); /* outside the two ranges of the bitmap, where every access exits (25.1.3) */
}

static bool read_msr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	bool ok;

	if (machine_check_read(cpu, msr, value, &ok))
		return ok;
	if (is_vmx_capability(msr))
		return false;
	if (!rdmsr_safe(msr, value))
		return false;
	if (msr == MSR_FEATURE_CONTROL)
		*value = (*value & ~FEATURE_CONTROL_ANY_VMX) | FEATURE_CONTROL_LOCK;
	return true;
}

void vmx_on_msr(struct cpu *cpu, bool is_write)
{
	struct guest_registers *r = &cpu->regs;
	uint32_t msr = (uint32_t)r->rcx;
	uint64_t value = r->rdx << 32 | (uint32_t)r->rax;

	if (!(is_write ? write_msr(cpu, msr, value) : read_msr(cpu, msr, &value))) {
		vmx_inject_exception(VECTOR_GP, true);
		return;
	}
	if (!is_write) {
		r->rax = (uint32_t)value;
		r->rdx = value >> 32;
	}
	vmx_skip();
}
