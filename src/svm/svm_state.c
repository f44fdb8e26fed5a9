/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: the OS's registers as they stand in an exit, in the VMCB, in struct cpu, or in the CPU itself. */
#include "base/str.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm.h"

static void save_segment(uint64_t *to, enum scrim_register first, const struct vmcb_segment *segment)
{
	to[first + SCRIM_SEG_SELECTOR] = segment->selector;
	to[first + SCRIM_SEG_BASE] = segment->base;
	to[first + SCRIM_SEG_LIMIT] = segment->limit;
	to[first + SCRIM_SEG_ATTRIBUTES] = segment->attributes;
}

void svm_save_registers(struct cpu *cpu, uint64_t *to)
{
	const struct guest_registers *r = &cpu->regs;
	const struct vmcb *vmcb = svm_vmcb(cpu);
	const uint64_t general[] = { vmcb->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, vmcb->rsp, r->rbp,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
				     vmcb->rip, vmcb->rflags, vmcb->cr0, vmcb->cr2, svm_guest_cr3(cpu), svm_guest_cr4(cpu) };

	_Static_assert(SCRIM_REG_CR4 + 1 == ARRAY_SIZE(general), "in this order");
	/* FS, GS, TR, LDTR and KernelGSBase are the OS's in the CPU all the time (svm_entry.S); here they come to the VMCB (15.5.2). */
	__asm__ volatile("vmsave %0" : : "a"(cpu->control_block) : "memory");
	memcpy(to, general, sizeof(general));
	to[SCRIM_REG_KERNEL_GS_BASE] = vmcb->kernel_gs_base;
	save_segment(to, SCRIM_REG_ES, &vmcb->es);
	save_segment(to, SCRIM_REG_CS, &vmcb->cs);
	save_segment(to, SCRIM_REG_SS, &vmcb->ss);
	save_segment(to, SCRIM_REG_DS, &vmcb->ds);
	save_segment(to, SCRIM_REG_FS, &vmcb->fs);
	save_segment(to, SCRIM_REG_GS, &vmcb->gs);
	save_segment(to, SCRIM_REG_GDT, &vmcb->gdtr);
	save_segment(to, SCRIM_REG_LDT, &vmcb->ldtr);
	save_segment(to, SCRIM_REG_IDT, &vmcb->idtr);
	save_segment(to, SCRIM_REG_TR, &vmcb->tr);
}

bool svm_guest_access(const struct cpu *cpu, struct guest_paging *paging, struct guest_access *access)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);

	*paging = (struct guest_paging){ vmcb->cr0, svm_guest_cr3(cpu), svm_guest_cr4(cpu), vmcb->efer };
	access->user = vmcb->cpl == 3;
	access->smap = !access->user && !(vmcb->rflags & RFLAGS_AC);
	access->pkru = paging->cr4 & CR4_PKE ? rdpkru() : 0;
	return vmcb->cr0 & CR0_PG;
}
