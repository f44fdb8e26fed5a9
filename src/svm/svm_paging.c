/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back-ends without nested paging, on this side of the seam: CR3 of the VMCB is the root of the CPU's V2M tables, and what the OS
 * says to its TLB exits. Everything else that touches paging (CR0 beyond TS and MP, CR4, INVPCID, a task switch) steps aside: for one
 * exit's length the CPU goes over to the nested tables and the hardware executes the instruction itself; V2M begins anew after it.
 */
#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "virt/exit.h"
#include "virt/insn_decode.h"
#include "virt/shadow.h"

bool svm_is_v2m(const struct cpu *cpu)
{
	return shadow_is_v2m(cpu->mode);
}

uint64_t svm_guest_cr3(const struct cpu *cpu)
{
	return svm_is_v2m(cpu) ? cpu->v2m->paging.cr3 : svm_vmcb(cpu)->cr3;
}

uint64_t svm_guest_cr4(const struct cpu *cpu)
{
	return svm_is_v2m(cpu) ? cpu->guest_cr4 : svm_vmcb(cpu)->cr4;
}

/* Shadow stacks (CR4.CET; APM vol. 2, 18) are written through entries with D and without W: the walk (guest_mmu.h) does not know them. */
bool svm_can_shadow(const struct cpu *cpu)
{
	const uint64_t needed = CR0_PG | CR0_WP;

	return (svm_vmcb(cpu)->cr0 & needed) == needed && !(svm_guest_cr4(cpu) & CR4_CET);
}

static struct guest_paging paging_of(const struct cpu *cpu)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);

	return (struct guest_paging){ vmcb->cr0, svm_guest_cr3(cpu), svm_guest_cr4(cpu), vmcb->efer };
}

void svm_enter_v2m(struct cpu *cpu, uint32_t kept)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	const struct guest_paging paging = { vmcb->cr0, vmcb->cr3, vmcb->cr4, vmcb->efer };

	v2m_start(cpu->v2m, &paging, kept);
	cpu->guest_cr4 = vmcb->cr4;
	vmcb->cr4 |= CR4_PAE; /* tables of two levels could not lead above 4 GiB: V2M has PAE's format there */
	vmcb->cr3 = v2m_root(cpu->v2m);
}

void svm_leave_v2m(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	vmcb->cr3 = cpu->v2m->paging.cr3;
	vmcb->cr4 = cpu->guest_cr4;
	v2m_stop(cpu->v2m);
}

/* What the tables have forgotten the CPU forgets as well. */
static void flush_if_due(struct cpu *cpu)
{
	if (!cpu->v2m->flush)
		return;
	cpu->v2m->flush = false;
	svm_flush(cpu);
}

static void flush_address(struct cpu *cpu, uint64_t linear)
{
	__asm__ volatile("invlpga %%rax, %%ecx" : : "a"(linear), "c"(svm_vmcb(cpu)->asid) : "memory");
}

/* --- #PF --- */

static void inject_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t during = vmcb->exit_int_info;
	bool in_exception = during & EVENT_VALID && EVENT_TYPE(during) == EVENT_TYPE_EXCEPTION;

	vmcb->cr2 = linear;
	if (in_exception && EVENT_VECTOR(during) == VECTOR_DF)
		svm_shut_down();
	if (in_exception && EVENT_VECTOR(during) == VECTOR_PF) { /* APM vol. 2, 8.2.9 */
		svm_inject_exception(cpu, VECTOR_DF, true);
		return;
	}
	if (cpu->nmi.stepping) {
		vmcb->exit_info1 = error;
		svm_on_step_fault(cpu);
		return;
	}
	svm_inject_exception(cpu, VECTOR_PF, true);
	vmcb->event_injection |= (uint64_t)error << 32;
}

/*
 * Without NX and SMEP the error code does not tell a fetch (APM vol. 2, 8.4.2), but SMAP has to be told. A fetch is the first thing
 * that an instruction does, and meets no entry: where one was met the CPU has fetched already.
 */
static bool is_untold_fetch(const struct cpu *cpu, uint32_t error, uint64_t linear)
{
	const struct guest_insn insn = svm_insn(cpu);

	if (insn.paging.efer & EFER_NXE || insn.paging.cr4 & CR4_SMEP || error)
		return false;
	return linear - guest_insn_linear(&insn) < INSN_BYTES_MAX;
}

void svm_on_page_fault(struct cpu *cpu)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	uint32_t error = (uint32_t)vmcb->exit_info1;
	uint64_t linear = vmcb->exit_info2;
	struct v2m_answer answer = { .replaced = false };
	const struct guest_access access = {
		.linear = linear, .write = error & PF_WRITE, .user = error & PF_USER,
		.fetch = error & PF_FETCH || is_untold_fetch(cpu, error, linear),
		.smap = !(error & PF_USER) && (vmcb->cpl == 3 || !(vmcb->rflags & RFLAGS_AC)),
		.pkru = vmcb->cr4 & CR4_PKE ? rdpkru() : 0,
	};

	/* V2M entries carry the OS's protection keys: that one is the OS's. */
	if (error & PF_KEY) {
		inject_page_fault(cpu, linear, error);
		return;
	}
	if (shadow_miss(cpu, &access, &answer) == V2M_FAULT) {
		inject_page_fault(cpu, linear, answer.error);
		return;
	}
	if (!svm_is_v2m(cpu)) /* it has waited, and the guard has come meanwhile */
		return;
	if (answer.replaced)
		flush_address(cpu, linear);
	flush_if_due(cpu);
}

/* --- CR3, INVLPG --- */

void svm_load_cr3(struct cpu *cpu, uint64_t value, uint64_t next_rip)
{
	const struct guest_paging paging = paging_of(cpu);
	struct vmcb *vmcb = svm_vmcb(cpu);

	if (!exit_is_cr3_valid(&paging, value)) {
		svm_inject_exception(cpu, VECTOR_GP, true);
		return;
	}
	if (svm_is_v2m(cpu)) {
		v2m_load_cr3(cpu->v2m, value);
		vmcb->cr3 = v2m_root(cpu->v2m);
		flush_if_due(cpu);
	} else {
		vmcb->cr3 = value & ~CR3_NO_FLUSH; /* no bit of the register's, and VMRUN refuses it (15.5.1) */
		svm_flush(cpu);
	}
	svm_skip(cpu, next_rip);
	if (svm_is_v2m(cpu))
		shadow_link(cpu);
}

void svm_let_cr3_load(struct cpu *cpu)
{
	cpu->step_aside = true;
	if (!svm_is_v2m(cpu)) /* until the next change of mode */
		svm_vmcb(cpu)->intercept_cr_write &= (uint16_t)~INTERCEPT_CR3_WRITE;
}

void svm_on_cr_read(struct cpu *cpu, uint32_t number)
{
	struct guest_insn insn = svm_insn(cpu);

	if (guest_insn_mov_from_cr(cpu, &insn, number, number == 3 ? insn.paging.cr3 : insn.paging.cr4))
		svm_insn_done(cpu, &insn);
	else
		cpu->step_aside = true;
}

void svm_on_invlpg(struct cpu *cpu)
{
	struct guest_insn insn = svm_insn(cpu);
	uint64_t linear;

	if (!guest_insn_invlpg(cpu, &insn, &linear)) {
		cpu->step_aside = true;
		return;
	}
	if (v2m_invalidate(cpu->v2m, linear))
		flush_address(cpu, linear);
	flush_if_due(cpu);
	svm_skip(cpu, insn.next_rip);
}

void svm_efer_changed(struct cpu *cpu)
{
	const struct guest_paging paging = paging_of(cpu);
	uint32_t kept;

	if (!svm_is_v2m(cpu))
		return;
	kept = cpu->v2m->kept;
	v2m_stop(cpu->v2m);
	v2m_start(cpu->v2m, &paging, kept);
	svm_vmcb(cpu)->cr3 = v2m_root(cpu->v2m);
	flush_if_due(cpu);
}
