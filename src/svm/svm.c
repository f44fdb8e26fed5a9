/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the choice of SVM: whether a CPU can, and turning it on (AMD APM vol. 2, 15.4). */
#include "svm/svm.h"

#include "hw/insn.h"
#include "hw/msr.h"

#define CPUID_SVM (1u << 2)          /* 8000_0001 ECX */
#define CPUID_NESTED_PAGING (1u << 0) /* 8000_000A EDX */
#define SVM_LEAF 0x8000000au
#define MEMORY_ENCRYPTION_LEAF 0x8000001fu

static const char *probe(void)
{
	uint32_t top = cpuid(0x80000000, 0).eax;

	if (!(cpuid(0x80000001, 0).ecx & CPUID_SVM) || top < SVM_LEAF)
		return "has no AMD SVM; Scrim needs it: booting without Scrim";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "has SVM disabled by firmware; enable it in the firmware's set-up: booting without Scrim";
	if (!(cpuid(SVM_LEAF, 0).edx & CPUID_NESTED_PAGING))
		return "has SVM without nested paging; Scrim needs it: booting without Scrim";
	if (top >= MEMORY_ENCRYPTION_LEAF && cpuid(MEMORY_ENCRYPTION_LEAF, 0).eax & 1 && rdmsr(MSR_SYSCFG) & SYSCFG_SMEE)
		return "has memory encryption (SME) on, which Scrim cannot move pages under; disable it in the firmware's "
		       "set-up: booting without Scrim";
	return NULL;
}

static void enable(struct cpu *cpu)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, cpu->control_block + PAGE_SIZE);
	/* From here on only the guest runs with GIF set: a kick's NMI waits for VMRUN and makes it exit. */
	__asm__ volatile("clgi" : : : "memory");
}

static bool guest_is_paging(const struct cpu *cpu)
{
	return svm_vmcb(cpu)->cr0 & CR0_PG;
}

static uint32_t guest_idt_limit(const struct cpu *cpu)
{
	return svm_vmcb(cpu)->idtr.limit;
}

const struct vendor_ops svm_vendor = {
	.id = SCRIM_VENDOR_AMD,
	.probe = probe,
	.enable = enable,
	.reset_to_entry = svm_reset_to_entry,
	.reset_to_startup = svm_reset_to_startup,
	.run = svm_run,
	.set_translating = svm_set_translating,
	.flush = svm_flush,
	.intercept_apic_msrs = svm_intercept_apic_msrs,
	.intercept_cr3_load = svm_intercept_cr3_load,
	.guest_is_paging = guest_is_paging,
	.guest_idt_limit = guest_idt_limit,
};
