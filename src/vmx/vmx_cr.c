/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses to control registers that exit. None is done for the OS where the hardware can do it: what made it exit is taken out of the
 * way, and the instruction executes again.
 */
#include "hw/descriptors.h"
#include "hw/msr.h"
#include "virt/guard.h"
#include "virt/shadow.h"
#include "vmx/vmx.h"

uint64_t vmx_guest_cr3(const struct cpu *cpu)
{
	return vmx_is_v2m(cpu) ? cpu->v2m->paging.cr3 : vmx_read(VMCS_GUEST_CR3);
}

uint64_t vmx_guest_cr4(const struct cpu *cpu)
{
	return vmx_is_v2m(cpu) ? cpu->guest_cr4 : vmx_read(VMCS_GUEST_CR4) & ~CR4_VMXE;
}

/* The value that the instruction has for the register: CLTS never exits, since CR0.TS is the OS's. */
static uint64_t operand(const struct cpu *cpu, uint64_t qualification)
{
	if (QUALIFICATION_CR_ACCESS(qualification) == CR_ACCESS_LMSW) /* the low four bits; PE only on (vol. 2, LMSW) */
		return (vmx_guest_cr0() & ~0xeull) | (QUALIFICATION_LMSW_SOURCE(qualification) & 0xf);
	return vmx_register(cpu, QUALIFICATION_CR_REGISTER(qualification));
}

/*
 * NE is never clear in the CPU: the OS's own is what it reads, and once that is as the instruction wants it nothing exits. Else it switches paging
 * or protection off, which there is with EPT alone: this CPU goes behind the map until its paging is on again.
 */
static void on_cr0_write(struct cpu *cpu, uint64_t value)
{
	uint64_t shadow = vmx_read(VMCS_CR0_SHADOW);

	if ((value ^ shadow) & CR0_NE)
		vmx_write(VMCS_CR0_SHADOW, shadow ^ CR0_NE);
	else if (vmx_is_v2m(cpu))
		cpu->step_aside = true;
	else
		guard_on_paging_off(cpu);
}

static void on_cr3_load(struct cpu *cpu, uint64_t value)
{
	/* Start-up code prepares its paging: done for it, so that the watch stays for the load that counts. */
	if (!(vmx_guest_cr0() & CR0_PG)) {
		vmx_write(VMCS_GUEST_CR3, (uint32_t)value);
		vmx_skip();
		return;
	}
	if (cpu->cr3_watched)
		guard_on_cr3_load(cpu); /* ends the watch */
	if (vmx_is_v2m(cpu)) {
		vmx_load_cr3(cpu, value);
		return;
	}
	/* Until the next change of mode, or of what is watched. */
	vmx_set_primary(PRIMARY_CR3_LOAD, false);
}

/* V2M: the register has what is Scrim's. CR4 is read from its shadow, and never exits. */
static void on_cr3_read(struct cpu *cpu, uint64_t qualification)
{
	uint64_t value = vmx_guest_cr3(cpu);

	vmx_set_register(cpu, QUALIFICATION_CR_REGISTER(qualification), vmx_is_64bit_code() ? value : (uint32_t)value);
	vmx_skip();
}

/* Outside of V2M it is a bit that the OS is to take for reserved. */
static void on_cr4_write(struct cpu *cpu, uint64_t value)
{
	if (value & VMX_CR4_HIDDEN)
		vmx_inject_exception(VECTOR_GP, true);
	else
		cpu->step_aside = true;
}

enum scrim_exit vmx_on_cr_access(struct cpu *cpu)
{
	uint64_t qualification = vmx_read(VMCS_EXIT_QUALIFICATION), value = operand(cpu, qualification);

	switch (QUALIFICATION_CR(qualification)) {
	case 0:
		on_cr0_write(cpu, value);
		return SCRIM_EXIT_PAGING;
	case 3:
		if (QUALIFICATION_CR_ACCESS(qualification) == CR_ACCESS_MOV_FROM)
			on_cr3_read(cpu, qualification);
		else
			on_cr3_load(cpu, value);
		return SCRIM_EXIT_CR3;
	default:
		on_cr4_write(cpu, value);
		return SCRIM_EXIT_PAGING;
	}
}
