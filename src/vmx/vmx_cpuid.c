/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID and XSETBV, which exit whatever one asks for (25.1.2). The OS gets the hardware's answer; what follows from its own registers is put
 * in by those: in Scrim they are Scrim's. VMX and SMX are hidden, as firmware hides them.
 */
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "vmx/vmx.h"

#define FEATURES 1u
#define FEATURES_VMX (1u << 5)      /* ECX */
#define FEATURES_SMX (1u << 6)
#define FEATURES_OSXSAVE (1u << 27) /* CR4.OSXSAVE */
#define STRUCTURED 7u
#define STRUCTURED_OSPKE (1u << 4)  /* ECX: CR4.PKE */
#define EXTENDED 0x80000001u
#define EXTENDED_SYSCALL (1u << 11) /* EDX: in 64-bit mode alone */

static uint32_t with(uint32_t value, uint32_t bit, bool on)
{
	return on ? value | bit : value & ~bit;
}

void vmx_on_cpuid(struct cpu *cpu)
{
	struct guest_registers *r = &cpu->regs;
	uint32_t leaf = (uint32_t)r->rax, subleaf = (uint32_t)r->rcx;
	struct cpuid_result result = cpuid(leaf, subleaf);
	uint64_t cr4 = vmx_guest_cr4(cpu);

	if (leaf == FEATURES)
		result.ecx = with(result.ecx & ~(FEATURES_VMX | FEATURES_SMX), FEATURES_OSXSAVE, cr4 & CR4_OSXSAVE);
	else if (leaf == STRUCTURED && subleaf == 0)
		result.ecx = with(result.ecx, STRUCTURED_OSPKE, cr4 & CR4_PKE);
	else if (leaf == EXTENDED && !vmx_is_64bit_code())
		result.edx &= ~EXTENDED_SYSCALL;
	r->rax = result.eax;
	r->rbx = result.ebx;
	r->rcx = result.ecx;
	r->rdx = result.edx;
	vmx_skip();
}

/* XCR0 is the OS's in the CPU all the time. What it may hold, the CPU is asked. */
void vmx_on_xsetbv(struct cpu *cpu)
{
	const struct guest_registers *r = &cpu->regs;

	if (xsetbv_safe((uint32_t)r->rcx, r->rdx << 32 | (uint32_t)r->rax))
		vmx_skip();
	else
		vmx_inject_exception(VECTOR_GP, true);
}
