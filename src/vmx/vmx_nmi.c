/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs: kicks are taken, all others passed on to the OS, each exactly once and never inside its own NMI handler.
 *
 * The hardware keeps the OS's NMI handler apart (virtual NMIs, 25.3): an injected NMI blocks further ones until the OS's IRET, and
 * the NMI window exits when the next may go in. What it does not do is hold NMIs back from Scrim: one that comes while the CPU is in
 * Scrim goes through Scrim's IDT. If it was a kick, cpu->request says what it wanted, and is looked at before the next entry
 * (vmx_entry.S); if not, it is the OS's.
 */
#include "hw/apic.h"
#include "hw/descriptors.h"
#include "virt/kick.h"
#include "virt/startup.h"
#include "vmx/vmx.h"

extern const uint8_t vmx_window_start[], vmx_window_end[];

/* An exit by NMI blocks NMIs, now in Scrim, until an IRET (27.5.5). This one goes nowhere. */
static void unblock(void)
{
	__asm__ volatile("movl %%ss, %%eax; movq %%rsp, %%rcx; pushq %%rax; pushq %%rcx; pushfq; movl %%cs, %%eax; pushq %%rax;"
			 "leaq 1f(%%rip), %%rax; pushq %%rax; iretq; 1:"
			 : : : "rax", "rcx", "memory");
}

void vmx_on_nmi(struct cpu *cpu)
{
	if (!kick_took_nmi(cpu))
		cpu->nmi.waiting = true; /* more than one merge, as in the hardware */
	unblock();
}

void vmx_nmi_in_vmm(uint64_t *rip)
{
	struct cpu *cpu = startup_find_cpu(apic_id_by_cpuid());

	if (cpu && !kick_took_nmi(cpu))
		__atomic_store_n(&cpu->nmi_in_vmm, 1, __ATOMIC_SEQ_CST);
	if (*rip >= (uint64_t)(uintptr_t)vmx_window_start && *rip < (uint64_t)(uintptr_t)vmx_window_end)
		*rip = (uint64_t)(uintptr_t)vmx_window_start;
}

/* An entry with an NMI to inject fails in these states (26.3.1.5); and the hardware takes none in them. */
static bool is_blocked(void)
{
	return vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI);
}

void vmx_settle_nmi(struct cpu *cpu)
{
	if (__atomic_exchange_n(&cpu->nmi_in_vmm, 0, __ATOMIC_SEQ_CST))
		cpu->nmi.waiting = true;
	if (!cpu->nmi.waiting)
		return;
	if (vmx_read(VMCS_ENTRY_EVENT) & VMX_EVENT_VALID || is_blocked()) {
		vmx_set_primary(PRIMARY_NMI_WINDOW, true);
		return;
	}
	vmx_write(VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_NMI, VECTOR_NMI));
	cpu->nmi.waiting = false;
	cpu->nmis_passed++;
}
