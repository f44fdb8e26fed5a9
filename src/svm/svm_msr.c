/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intercepted MSRs. SVM is hidden as firmware hides it: VM_CR reads as disabled and locked, EFER.SVME as clear (AMD APM vol. 2,
 * 15.30). An OS that clears SVME or VM_HSAVE_PA all the same on its way out (Linux before a crash kernel) has its write
 * taken and forgotten: obeyed, the next exit would load Scrim's state from page 0.
 */
#include "hw/apic.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "virt/guard.h"

#define CPUID_NX (1u << 20)
#define CPUID_FFXSR (1u << 25)
#define CPUID_TCE (1u << 17)
#define CPUID_AIBRS (1u << 8) /* 8000_0021 EAX */

/* Bits of EFER that this CPU lets be written (APM vol. 2, 3.1.7). */
static uint64_t efer_writable(void)
{
	struct cpuid_result features = cpuid(0x80000001, 0);
	uint64_t mask = EFER_SCE | EFER_LME | EFER_LMA;

	if (features.edx & CPUID_NX)
		mask |= EFER_NXE;
	if (features.edx & CPUID_FFXSR)
		mask |= EFER_FFXSR;
	if (features.ecx & CPUID_TCE)
		mask |= EFER_TCE;
	if (cpuid(0x80000000, 0).eax >= 0x80000021 && cpuid(0x80000021, 0).eax & CPUID_AIBRS)
		mask |= EFER_AIBRSE;
	return mask;
}

/* False: #GP, as the hardware answers where SVM is disabled. */
static bool write_efer(struct vmcb *vmcb, uint64_t value)
{
	if (value & ~efer_writable())
		return false;
	if (vmcb->cr0 & CR0_PG && (value ^ vmcb->efer) & EFER_LME)
		return false; /* long mode cannot be switched under paging (14.6) */
	vmcb->efer = (value & ~EFER_LMA) | (vmcb->efer & EFER_LMA) | EFER_SVME;
	return true;
}

static bool write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_EFER:
		return write_efer(svm_vmcb(cpu), value);
	case MSR_X2APIC_ICR:
	case MSR_X2APIC_EOI:
		if (!apic_is_x2apic())
			return false;
		guard_apic_write(cpu, msr == MSR_X2APIC_ICR ? APIC_REG_ICR_LOW : APIC_REG_EOI, value);
		return true;
	default: /* VM_CR, VM_HSAVE_PA, SVM_KEY */
		return true;
	}
}

static bool read_msr(const struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_EFER:
		*value = svm_vmcb(cpu)->efer & ~EFER_SVME;
		return true;
	case MSR_VM_CR:
		*value = VM_CR_SVMDIS | VM_CR_LOCK;
		return true;
	case MSR_X2APIC_ICR:
		*value = apic_is_x2apic() ? rdmsr(msr) : 0;
		return apic_is_x2apic();
	case MSR_X2APIC_EOI: /* write-only */
		return false;
	default:
		*value = 0;
		return true;
	}
}

void svm_on_msr(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint32_t msr = (uint32_t)cpu->regs.rcx;
	bool is_write = vmcb->exit_info1 & 1, ok;
	uint64_t value = cpu->regs.rdx << 32 | (uint32_t)vmcb->rax;

	ok = is_write ? write_msr(cpu, msr, value) : read_msr(cpu, msr, &value);
	if (!ok) {
		svm_inject_exception(cpu, VECTOR_GP, true);
		return;
	}
	if (!is_write) {
		vmcb->rax = (uint32_t)value;
		cpu->regs.rdx = value >> 32;
	}
	svm_skip(cpu, svm_insn_next_of_0f(cpu));
}
