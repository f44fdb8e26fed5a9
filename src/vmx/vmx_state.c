/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: the OS's registers as they stand in an exit, in the VMCS, in struct cpu, or in the CPU itself. */
#include "base/str.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "vmx/vmx.h"

/* As a VMCB packs them: AVL, L, D/B, G follow the access byte. */
static uint64_t attributes(uint64_t rights)
{
	return (rights & 0xff) | (rights >> 4 & 0xf00);
}

static void save_segment(uint64_t *to, enum scrim_register first, enum vmcs_segment segment)
{
	to[first + SCRIM_SEG_SELECTOR] = vmx_read(VMCS_GUEST_SELECTOR(segment));
	to[first + SCRIM_SEG_BASE] = vmx_read(VMCS_GUEST_BASE(segment));
	to[first + SCRIM_SEG_LIMIT] = vmx_read(VMCS_GUEST_LIMIT(segment));
	to[first + SCRIM_SEG_ATTRIBUTES] = attributes(vmx_read(VMCS_GUEST_RIGHTS(segment)));
}

static void save_table(uint64_t *to, enum scrim_register first, enum vmcs_field base, enum vmcs_field limit)
{
	to[first + SCRIM_SEG_SELECTOR] = to[first + SCRIM_SEG_ATTRIBUTES] = 0;
	to[first + SCRIM_SEG_BASE] = vmx_read(base);
	to[first + SCRIM_SEG_LIMIT] = vmx_read(limit);
}

void vmx_save_registers(struct cpu *cpu, uint64_t *to)
{
	const struct guest_registers *r = &cpu->regs;
	const uint64_t general[] = { r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, vmx_read(VMCS_GUEST_RSP), r->rbp,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
				     vmx_read(VMCS_GUEST_RIP), vmx_read(VMCS_GUEST_RFLAGS), vmx_guest_cr0(), read_cr2(),
				     vmx_guest_cr3(cpu), vmx_guest_cr4(cpu) };

	_Static_assert(SCRIM_REG_CR4 + 1 == ARRAY_SIZE(general), "in this order");
	memcpy(to, general, sizeof(general));
	to[SCRIM_REG_KERNEL_GS_BASE] = rdmsr(MSR_KERNEL_GS_BASE);
	save_segment(to, SCRIM_REG_ES, VMCS_ES);
	save_segment(to, SCRIM_REG_CS, VMCS_CS);
	save_segment(to, SCRIM_REG_SS, VMCS_SS);
	save_segment(to, SCRIM_REG_DS, VMCS_DS);
	save_segment(to, SCRIM_REG_FS, VMCS_FS);
	save_segment(to, SCRIM_REG_GS, VMCS_GS);
	save_segment(to, SCRIM_REG_LDT, VMCS_LDTR);
	save_segment(to, SCRIM_REG_TR, VMCS_TR);
	save_table(to, SCRIM_REG_GDT, VMCS_GUEST_GDTR_BASE, VMCS_GUEST_GDTR_LIMIT);
	save_table(to, SCRIM_REG_IDT, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_IDTR_LIMIT);
}

struct guest_paging vmx_paging(const struct cpu *cpu)
{
	return (struct guest_paging){ vmx_guest_cr0(), vmx_guest_cr3(cpu), vmx_guest_cr4(cpu), vmx_read(VMCS_GUEST_EFER) };
}

bool vmx_guest_access(const struct cpu *cpu, struct guest_paging *paging, struct guest_access *access)
{
	*paging = vmx_paging(cpu);
	access->user = RIGHTS_DPL(vmx_read(VMCS_GUEST_RIGHTS(VMCS_SS))) == 3; /* 24.4.1: the CPL */
	access->smap = !access->user && !(vmx_read(VMCS_GUEST_RFLAGS) & RFLAGS_AC);
	access->pkru = paging->cr4 & CR4_PKE ? rdpkru() : 0;
	return paging->cr0 & CR0_PG;
}

uint64_t vmx_register(const struct cpu *cpu, uint32_t number)
{
	const struct guest_registers *r = &cpu->regs;
	const uint64_t value[16] = { r->rax, r->rcx, r->rdx, r->rbx, vmx_read(VMCS_GUEST_RSP), r->rbp, r->rsi, r->rdi,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	return value[number & 15];
}

void vmx_set_register(struct cpu *cpu, uint32_t number, uint64_t value)
{
	struct guest_registers *r = &cpu->regs;
	uint64_t *const place[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, NULL, &r->rbp, &r->rsi, &r->rdi,
				      &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	if (place[number & 15])
		*place[number & 15] = value;
	else
		vmx_write(VMCS_GUEST_RSP, value);
}

bool vmx_is_64bit_code(void)
{
	return vmx_read(VMCS_GUEST_EFER) & EFER_LMA && vmx_read(VMCS_GUEST_RIGHTS(VMCS_CS)) & RIGHTS_LONG;
}

struct guest_insn vmx_insn(const struct cpu *cpu)
{
	uint64_t cs = vmx_read(VMCS_GUEST_RIGHTS(VMCS_CS));

	return (struct guest_insn){ .paging = vmx_paging(cpu),
				    .rip = vmx_read(VMCS_GUEST_RIP),
				    .rax = cpu->regs.rax,
				    .rsp = vmx_read(VMCS_GUEST_RSP),
				    .cs_base = vmx_read(VMCS_GUEST_BASE(VMCS_CS)),
				    .ss_base = vmx_read(VMCS_GUEST_BASE(VMCS_SS)),
				    .ds_base = vmx_read(VMCS_GUEST_BASE(VMCS_DS)),
				    .bits = vmx_is_64bit_code() ? 64 : cs & RIGHTS_32BIT ? 32 : 16 };
}

void vmx_insn_done(struct cpu *cpu, const struct guest_insn *insn)
{
	cpu->regs.rax = insn->rax;
	vmx_write(VMCS_GUEST_RSP, insn->rsp);
	vmx_skip_to(insn->next_rip);
}
