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
#include "virt/exit.h"
#include "virt/guard.h"
#include "virt/machine_check.h"

/* False: #GP. */
static bool write_efer(struct cpu *cpu, uint64_t value)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t efer = vmcb->efer;

	if (!exit_write_efer(vmcb->cr0, EFER_SVME, value, &efer))
		return false;
	bool nx_changes = (efer ^ vmcb->efer) & EFER_NXE;
	vmcb->efer = efer;
	if (nx_changes) { /* translations were made under the other meaning of bit 63 */
		svm_flush(cpu);
		svm_efer_changed(cpu);
	}
	return true;
}

static bool write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_EFER:
		return write_efer(cpu, value);
	case MSR_X2APIC_ICR:
	case MSR_X2APIC_EOI:
		return apic_is_x2apic() &&
		       guard_apic_write(cpu, msr == MSR_X2APIC_ICR ? APIC_REG_ICR_LOW : APIC_REG_EOI, value);
	case MSR_VM_CR:
	case MSR_VM_HSAVE_PA:
	case MSR_SVM_KEY:
		return true;
	default: /* outside the three ranges of the permission map, where every access exits (15.11) */
		return wrmsr_safe(msr, value);
	}
}

static bool read_msr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	bool ok;

	if (machine_check_read(cpu, msr, value, &ok))
		return ok;
	switch (msr) {
	case MSR_EFER:
		*value = svm_vmcb(cpu)->efer & ~EFER_SVME;
		return true;
	case MSR_VM_CR:
		*value = VM_CR_SVMDIS | VM_CR_LOCK;
		return true;
	case MSR_VM_HSAVE_PA:
	case MSR_SVM_KEY:
		*value = 0;
		return true;
	default:
		return rdmsr_safe(msr, value);
	}
}

void svm_on_msr(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint32_t msr = (uint32_t)cpu->regs.rcx;
	bool is_write = vmcb->exit_info1 & 1, ok;
	uint64_t value = cpu->regs.rdx << 32 | (uint32_t)vmcb->rax;
	uint64_t next_rip = svm_insn_next_of_0f(cpu); /* before any lock: guest_insn.h */

	ok = is_write ? write_msr(cpu, msr, value) : read_msr(cpu, msr, &value);
	if (!ok) {
		svm_inject_exception(cpu, VECTOR_GP, true);
		return;
	}
	if (!is_write) {
		vmcb->rax = (uint32_t)value;
		cpu->regs.rdx = value >> 32;
	}
	svm_skip(cpu, next_rip);
}
