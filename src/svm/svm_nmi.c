/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs: kicks are taken, all others passed on to the OS, each exactly once and never inside its own NMI handler.
 *
 * An intercepted NMI stays pending (AMD APM vol. 2, 15.13.3), so it is taken here through Scrim's own IDT. Injecting one
 * does not make the hardware hold back the next until the OS's IRET; that is Scrim's to do:
 *
 *     open --NMI: inject, intercept IRET--> masked --IRET exit--> open again once the IRET has executed
 *                                              \--NMI: it waits--/--IRET exit, one waits: step over the IRET, then inject--> masked
 */
#include "hw/msr.h"
#include "svm/svm.h"
#include "virt/kick.h"

static void inject(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	vmcb->event_injection = EVENT_MAKE(EVENT_TYPE_NMI, VECTOR_NMI);
	vmcb->intercept1 |= INTERCEPT_IRET;
	cpu->nmi.masked = true;
	cpu->nmi.waiting = cpu->nmi.iret_let_go = false;
	cpu->nmis_passed++;
}

/* The OS stands at the IRET that ends its handler and an NMI waits: one step, then #DB exits. */
static void step_over_iret(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	cpu->nmi.stepping = true;
	cpu->nmi.saved_dr6 = vmcb->dr6;
	vmcb->rflags |= RFLAGS_TF; /* traps behind the IRET whatever flags that loads */
	svm_set_intercepts(cpu);
	vmcb->intercept1 &= ~INTERCEPT_IRET;
}

/* The IRET exit was let go, but the IRET has not executed: the NMI came between. */
static bool still_at_iret(const struct cpu *cpu)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);

	return cpu->nmi.iret_let_go && vmcb->rip == cpu->nmi.iret_rip && vmcb->rsp == cpu->nmi.iret_rsp;
}

void svm_on_nmi(struct cpu *cpu)
{
	/* STGI opens GIF after the next instruction; the NMI is taken there and Scrim's handler returns. */
	__asm__ volatile("stgi; nop; clgi" : : : "memory");
	if (svm_vmcb(cpu)->interrupt_shadow & INTERRUPT_SHADOW)
		svm_insn_back_to_sti(cpu);
	if (kick_took_nmi(cpu))
		return;
	if (still_at_iret(cpu)) {
		cpu->nmi.iret_let_go = false;
		cpu->nmi.masked = cpu->nmi.waiting = true;
		step_over_iret(cpu);
	} else if (cpu->nmi.masked) {
		cpu->nmi.waiting = true; /* more than one merge, as in the hardware */
	} else {
		inject(cpu);
	}
}

void svm_on_iret(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	if (cpu->nmi.waiting) {
		step_over_iret(cpu);
		return;
	}
	vmcb->intercept1 &= ~INTERCEPT_IRET;
	cpu->nmi.masked = false;
	cpu->nmi.iret_let_go = true;
	cpu->nmi.iret_rip = vmcb->rip;
	cpu->nmi.iret_rsp = vmcb->rsp;
}

static void end_step(struct cpu *cpu)
{
	cpu->nmi.stepping = false;
	svm_set_intercepts(cpu);
}

void svm_on_debug(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t breakpoints = vmcb->dr6 & 0xf;

	end_step(cpu);
	vmcb->dr6 = cpu->nmi.saved_dr6;
	if (breakpoints) { /* the OS's own breakpoint where the IRET went: its #DB first, the NMI at that handler's IRET */
		vmcb->dr6 |= breakpoints;
		svm_inject_exception(cpu, VECTOR_DB, false);
		vmcb->intercept1 |= INTERCEPT_IRET;
		return;
	}
	inject(cpu);
}

/* The stepped IRET has faulted: the OS gets its fault, without the step's TF, and the NMI waits for the next IRET. */
void svm_on_step_fault(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint32_t vector = (uint32_t)(vmcb->exit_code - VMEXIT_EXCEPTION);

	end_step(cpu);
	vmcb->rflags &= ~RFLAGS_TF;
	if (vector == VECTOR_PF)
		vmcb->cr2 = vmcb->exit_info2;
	svm_inject_exception(cpu, vector, true);
	vmcb->event_injection |= vmcb->exit_info1 << 32; /* the error code */
	vmcb->intercept1 |= INTERCEPT_IRET;
}
