/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing: the VMCB's side of virt/guest_insn.h. Needed since there may be no decode assists and no next rip in an exit by MSR
 * access, CR3 load or nested page fault (AMD APM vol. 2, 15.7.1 and 15.8.4 make both optional).
 */
#include "hw/msr.h"
#include "svm/svm.h"

#define CS_LONG (1u << 9) /* L in the VMCB's attributes */
#define CS_32BIT (1u << 10)

struct guest_insn svm_insn(const struct cpu *cpu)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	bool is_64bit = vmcb->efer & EFER_LMA && vmcb->cs.attributes & CS_LONG;

	return (struct guest_insn){ .paging = { vmcb->cr0, svm_guest_cr3(cpu), svm_guest_cr4(cpu), vmcb->efer },
				    .rip = vmcb->rip,
				    .rax = vmcb->rax,
				    .rsp = vmcb->rsp,
				    .cs_base = vmcb->cs.base,
				    .ss_base = vmcb->ss.base,
				    .ds_base = vmcb->ds.base,
				    .bits = is_64bit ? 64 : vmcb->cs.attributes & CS_32BIT ? 32 : 16 };
}

void svm_insn_done(struct cpu *cpu, const struct guest_insn *insn)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	vmcb->rax = insn->rax;
	vmcb->rsp = insn->rsp;
	svm_skip(cpu, insn->next_rip);
}

uint64_t svm_insn_next_of_0f(const struct cpu *cpu)
{
	struct guest_insn insn = svm_insn(cpu);

	guest_insn_skip_0f(cpu, &insn);
	return insn.next_rip;
}

/*
 * QEMU's VMRUN does not take the interrupt shadow back (15.21.5 asks it to). An interrupt between STI and HLT would then be handled
 * before the HLT, which sleeps on what it brought. After MOV SS, whose shadow is the same, the byte before is no STI, unless a
 * displacement reads like one: where interrupts are off it was none.
 */
void svm_insn_back_to_sti(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	const struct guest_insn insn = svm_insn(cpu);

	if (!(vmcb->rflags & RFLAGS_IF) || !guest_insn_is_behind_sti(cpu, &insn))
		return;
	vmcb->rip--;
	vmcb->rflags &= ~RFLAGS_IF;
	vmcb->interrupt_shadow = 0;
}
