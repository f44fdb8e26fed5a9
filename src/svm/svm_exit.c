/* SPDX-License-Identifier: BSD-2-Clause */
/* One exit: which cause it is and who handles it. Owns nothing. */
#include "hw/console.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "virt/exit.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/moving.h"

static enum scrim_exit on_io(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t info = vmcb->exit_info1, rax = vmcb->rax;
	const struct exit_io io = { .port = (uint16_t)(info >> 16), .bytes = IOIO_BYTES(info), .is_in = info & IOIO_IN };

	if (info & IOIO_STRING) {
		svm_inject_exception(cpu, VECTOR_GP, true);
	} else {
		exit_do_io(cpu, &io, &rax);
		vmcb->rax = rax;
		svm_skip(cpu, vmcb->exit_info2); /* the next rip (15.10.2) */
	}
	return exit_io_cause(io.port);
}

static void on_cr3_load(struct cpu *cpu)
{
	struct guest_insn insn = svm_insn(cpu);
	uint64_t value;
	bool known = guest_insn_mov_to_cr3(cpu, &insn, &value); /* before any lock: guest_insn.h */
	/* Start-up code prepares its paging: done for it, so that the watch stays for the load that counts. */
	bool counts = svm_vmcb(cpu)->cr0 & CR0_PG || !known;

	if (cpu->cr3_watched && counts)
		guard_on_cr3_load(cpu); /* ends the watch */
	if (known)
		svm_load_cr3(cpu, value, insn.next_rip);
	else
		svm_let_cr3_load(cpu); /* its own instruction loads it */
}

static void on_cache(struct cpu *cpu, bool is_wbinvd)
{
	uint64_t next_rip = svm_insn_next_of_0f(cpu); /* before any lock: guest_insn.h */

	if (is_wbinvd)
		guard_on_wbinvd(cpu);
	wbinvd();
	svm_skip(cpu, next_rip);
}

/* An instruction of a form that no OS uses for this cannot be obeyed unseen, since it may start a CPU: it gets #GP. */
static void on_apic_write(struct cpu *cpu, uint64_t address)
{
	uint32_t reg = (uint32_t)(address & PAGE_MASK) & ~0xfu, value;
	struct guest_insn insn = svm_insn(cpu);

	if (guest_insn_store(cpu, &insn, reg, &value) && guard_apic_write(cpu, reg, value))
		svm_insn_done(cpu, &insn);
	else
		svm_inject_exception(cpu, VECTOR_GP, true);
}

/* A page of the map: absent while it is moved, or read-only because it is shared. Where nothing more stands in its way the access is made again. */
static enum scrim_exit on_nested_fault(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	gfn_t page = gfn_of_address(vmcb->exit_info2);
	bool is_write = vmcb->exit_info1 & NPF_WRITE;

	if (is_write && exit_is_apic_write(page)) {
		on_apic_write(cpu, vmcb->exit_info2);
		return SCRIM_EXIT_APIC;
	}
	if (!moving_fault(cpu, page, is_write))
		svm_inject_exception(cpu, VECTOR_GP, true); /* beyond what any CPU of this kind can address */
	return SCRIM_EXIT_MAP;
}

/*
 * The OS's triple fault. Not intercepted, and QEMU exits for it all the same. It is how an OS resets the machine when all else
 * fails, and Linux when it is told to: so this CPU shuts down in the OS's stead (AMD APM vol. 2, 8.2.9: an exception
 * without an IDT).
 */
void NORETURN svm_shut_down(void)
{
	const struct descriptor_table_pointer none = { 0, 0 };

	lidt(&none);
	for (;;)
		__asm__ volatile("ud2");
}

static enum scrim_exit on_page_fault(struct cpu *cpu)
{
	if (svm_is_v2m(cpu)) {
		svm_on_page_fault(cpu);
		return SCRIM_EXIT_PAGE_FAULT;
	}
	svm_on_step_fault(cpu);
	return SCRIM_EXIT_DEBUG;
}

/* Exits of V2M tables: what the OS does to its paging. */
static enum scrim_exit on_paging(struct cpu *cpu)
{
	switch (svm_vmcb(cpu)->exit_code) {
	case VMEXIT_CR3_READ:
		svm_on_cr_read(cpu, 3);
		return SCRIM_EXIT_CR3;
	case VMEXIT_INVLPG:
		svm_on_invlpg(cpu);
		return SCRIM_EXIT_INVLPG;
	case VMEXIT_CR4_READ:
		svm_on_cr_read(cpu, 4);
		return SCRIM_EXIT_PAGING;
	default:
		cpu->step_aside = true;
		return SCRIM_EXIT_PAGING;
	}
}

static enum scrim_exit dispatch(struct cpu *cpu)
{
	switch (svm_vmcb(cpu)->exit_code) {
	case VMEXIT_IOIO:
		return on_io(cpu);
	case VMEXIT_NMI:
		svm_on_nmi(cpu);
		return SCRIM_EXIT_NMI;
	case VMEXIT_IRET:
		svm_on_iret(cpu);
		return SCRIM_EXIT_IRET;
	case VMEXIT_DB:
		svm_on_debug(cpu);
		return SCRIM_EXIT_DEBUG;
	case VMEXIT_NP:
	case VMEXIT_SS:
	case VMEXIT_GP:
		svm_on_step_fault(cpu);
		return SCRIM_EXIT_DEBUG;
	case VMEXIT_PF:
		return on_page_fault(cpu);
	case VMEXIT_NPF:
		return on_nested_fault(cpu);
	case VMEXIT_MSR:
		svm_on_msr(cpu);
		return SCRIM_EXIT_MSR;
	case VMEXIT_CR3_WRITE:
		on_cr3_load(cpu);
		return SCRIM_EXIT_CR3;
	case VMEXIT_CR3_READ:
	case VMEXIT_CR4_READ:
	case VMEXIT_CR4_WRITE:
	case VMEXIT_CR0_SELECTIVE:
	case VMEXIT_INVLPG:
	case VMEXIT_INVPCID:
	case VMEXIT_TASK_SWITCH:
		return on_paging(cpu);
	case VMEXIT_IDTR_WRITE:
		guard_on_lidt(cpu);
		return SCRIM_EXIT_LIDT;
	case VMEXIT_WBINVD:
	case VMEXIT_INVD:
		on_cache(cpu, svm_vmcb(cpu)->exit_code == VMEXIT_WBINVD);
		return SCRIM_EXIT_CACHE;
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_INVLPGA:
		svm_inject_exception(cpu, VECTOR_UD, false);
		return SCRIM_EXIT_SVM_INSN;
	case VMEXIT_SHUTDOWN:
		svm_shut_down();
	default:
		panic("CPU %u: exit %lx, info %lx %lx, rip %lx: a bug in Scrim", cpu->apic_id, svm_vmcb(cpu)->exit_code,
		      svm_vmcb(cpu)->exit_info1, svm_vmcb(cpu)->exit_info2, svm_vmcb(cpu)->rip);
	}
}

/*
 * The exit came while the CPU was delivering an event to the OS: deliver it again (15.7.2, 15.20). INT n, INT3 and INTO are left
 * out: their instruction executes again.
 *
 * QEMU reports an external interrupt as an exception of its vector; no exception has one above 31. Once that interrupt is injected,
 * QEMU's VMRUN leaves the vector in the CPU's word for exceptions too, and would raise it again whenever its loop is next left
 * without an exception or an interrupt, inside the handler for one. A kick of its own makes this CPU exit before the handler's first
 * instruction, which clears the word. A virtual interrupt (V_IRQ) is no way: QEMU forgets it when a real one is pending.
 */
static void redeliver(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t event = vmcb->exit_int_info;
	uint32_t type = EVENT_TYPE(event), vector = EVENT_VECTOR(event);

	if (!(event & EVENT_VALID) || vmcb->event_injection & EVENT_VALID || type == EVENT_TYPE_SOFT)
		return;
	if (type == EVENT_TYPE_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
		return;
	if (type == EVENT_TYPE_EXCEPTION && vector > 31) {
		event = EVENT_MAKE(EVENT_TYPE_INTR, vector);
		kick_out(cpu);
	}
	vmcb->event_injection = event;
}

void svm_handle_exit(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	/* Before anything is waited for: who waits serves kicks, and a flush is written here. */
	vmcb->tlb_control = TLB_KEEP;
	vmcb->event_injection = 0;
	exit_begin(cpu);
	enum scrim_exit cause = dispatch(cpu);
	redeliver(cpu);
	exit_end(cpu, cause);
}
