/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the choice of SVM: what a CPU has of it, and turning it on (AMD APM vol. 2, 15.4). */
#include "svm/svm.h"

#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm_probe.h"
#include "xlat/pte_npt.h"

#define CPUID_SVM (1u << 2)           /* 8000_0001 ECX */
#define CPUID_NESTED_PAGING (1u << 0) /* 8000_000A EDX */
#define CPUID_SME (1u << 0)           /* 8000_001F EAX */
#define CPUID_PKU (1u << 3)           /* 7 ECX */
#define CPUID_1G (1u << 26)           /* 8000_0001 EDX */
#define EXTENDED_LEAF 0x80000000u
#define SVM_LEAF 0x8000000au
#define MEMORY_ENCRYPTION_LEAF 0x8000001fu

/* VM_CR is there where SVM is, SYSCFG where CPUID knows of memory encryption: another CPU raises #GP at them. */
static struct svm_features read_features(void)
{
	struct svm_features features = { 0 };
	uint32_t top = cpuid(EXTENDED_LEAF, 0).eax;

	features.has_svm = top >= SVM_LEAF && cpuid(EXTENDED_LEAF + 1, 0).ecx & CPUID_SVM;
	if (!features.has_svm)
		return features;
	features.firmware_disabled = rdmsr(MSR_VM_CR) & VM_CR_SVMDIS;
	features.has_nested_paging = cpuid(SVM_LEAF, 0).edx & CPUID_NESTED_PAGING;
	if (top >= MEMORY_ENCRYPTION_LEAF && cpuid(MEMORY_ENCRYPTION_LEAF, 0).eax & CPUID_SME)
		features.encrypts_memory = rdmsr(MSR_SYSCFG) & SYSCFG_SMEE;
	return features;
}

static bool is_there(void)
{
	return read_features().has_svm;
}

static const char *probe(void)
{
	const struct svm_features features = read_features();

	return svm_probe_judge(&features);
}

/* Nested tables are of the format of the CPU's own. */
static bool has_1g(void)
{
	return cpuid(EXTENDED_LEAF + 1, 0).edx & CPUID_1G;
}

/* Scrim's own pages are the supervisor's, which have no keys; but RDPKRU, to read the OS's register, asks for the bit (APM vol. 3). */
static void enable_keys(void)
{
	if (cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & CPUID_PKU)
		write_cr4(read_cr4() | CR4_PKE);
}

static void enable(struct cpu *cpu)
{
	enable_keys();
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
	.cpu_bytes = SVM_CPU_BYTES,
	.shared_bytes = SVM_SHARED_BYTES,
	.nested_format = &pte_npt,
	.is_there = is_there,
	.probe = probe,
	.has_1g = has_1g,
	.init = svm_init,
	.enable = enable,
	.reset_to_entry = svm_reset_to_entry,
	.reset_to_startup = svm_reset_to_startup,
	.run = svm_run,
	.set_backend = svm_set_backend,
	.can_shadow = svm_can_shadow,
	.flush = svm_flush,
	.intercept_apic_msrs = svm_intercept_apic_msrs,
	.intercept_cr3_load = svm_intercept_cr3_load,
	.save_registers = svm_save_registers,
	.guest_access = svm_guest_access,
	.guest_is_paging = guest_is_paging,
	.guest_idt_limit = guest_idt_limit,
};
