/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the OS's instruction where the hardware does not say enough about it: no decode assists and no next rip in an
 * exit by MSR access, CR3 load or nested page fault (AMD APM vol. 2, 15.7.1 and 15.8.4 make both optional). Knows the few forms
 * that reach Scrim, not x86; a general decoder would be larger than all of Scrim.
 */
#include "hw/apic.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "xlat/guest_walk.h"

#include "base/str.h"

#define CS_LONG (1u << 9) /* L in the VMCB's attributes */
#define CS_32BIT (1u << 10)

/* The OS's memory by physical address: RAM through the map, firmware's first MiB as it is. */
static bool read_physical(void *context, uint64_t physical, void *to, uint32_t bytes)
{
	enum mem_access access;
	gfn_t page = gfn_of_address(physical);

	(void)context;
	if (!mem_is_ram(&machine.mem, page) && physical >= MIB(1))
		return false;
	uint64_t frame = mfn_address(mem_translate(&machine.mem, page, &access));
	memcpy(to, (const void *)(uintptr_t)(frame | (physical & PAGE_MASK)), bytes);
	return true;
}

static uint32_t fetch(const struct cpu *cpu, uint64_t linear, uint8_t *to, uint32_t bytes)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	const struct guest_paging paging = { vmcb->cr0, vmcb->cr3, vmcb->cr4, vmcb->efer };
	uint32_t done = 0;

	while (done < bytes) {
		uint64_t physical;
		uint64_t in_page = PAGE_SIZE - ((linear + done) & PAGE_MASK);
		uint32_t piece = bytes - done < in_page ? bytes - done : (uint32_t)in_page;
		if (!guest_walk(&paging, linear + done, read_physical, NULL, &physical) ||
		    !read_physical(NULL, physical, to + done, piece))
			break;
		done += piece;
	}
	return done;
}

static bool is_legacy_prefix(uint8_t byte)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	for (uint32_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (byte == prefixes[i])
			return true;
	return false;
}

bool svm_insn_fetch(const struct cpu *cpu, struct svm_insn *insn)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);

	memset(insn, 0, sizeof(*insn));
	insn->is_64bit = vmcb->efer & EFER_LMA && vmcb->cs.attributes & CS_LONG;
	insn->operand16 = !insn->is_64bit && !(vmcb->cs.attributes & CS_32BIT);
	uint64_t linear = insn->is_64bit ? vmcb->rip : (uint32_t)(vmcb->cs.base + vmcb->rip);
	insn->count = fetch(cpu, linear, insn->bytes, sizeof(insn->bytes));
	while (insn->opcode < insn->count && is_legacy_prefix(insn->bytes[insn->opcode])) {
		if (insn->bytes[insn->opcode] == 0x66)
			insn->operand16 = !insn->operand16;
		insn->opcode++;
	}
	if (insn->is_64bit && insn->opcode < insn->count && (insn->bytes[insn->opcode] & 0xf0) == 0x40)
		insn->rex = insn->bytes[insn->opcode++];
	return insn->opcode < insn->count;
}

uint64_t svm_insn_next_of_0f(const struct cpu *cpu)
{
	struct svm_insn insn;

	/* Unreadable means that the OS has unmapped the page since: the shortest form is the likely one. */
	return svm_vmcb(cpu)->rip + (svm_insn_fetch(cpu, &insn) ? insn.opcode : 0) + 2;
}

/* General register by its number in an instruction; rsp is not asked for here. */
static uint64_t read_register(const struct cpu *cpu, uint32_t number)
{
	const struct guest_registers *r = &cpu->regs;
	const uint64_t value[16] = { svm_vmcb(cpu)->rax, r->rcx, r->rdx, r->rbx, svm_vmcb(cpu)->rsp, r->rbp, r->rsi, r->rdi,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
	return value[number & 15];
}

static void write_register32(struct cpu *cpu, uint32_t number, uint32_t value)
{
	struct guest_registers *r = &cpu->regs;
	uint64_t *const place[16] = { NULL, &r->rcx, &r->rdx, &r->rbx, NULL, &r->rbp, &r->rsi, &r->rdi,
				      &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	if ((number & 15) == 0)
		svm_vmcb(cpu)->rax = value;
	else if ((number & 15) == 4)
		svm_vmcb(cpu)->rsp = value;
	else
		*place[number & 15] = value;
}

bool svm_insn_mov_to_cr3(const struct cpu *cpu, uint64_t *value, uint64_t *next_rip)
{
	struct svm_insn insn;

	/* 0F 22 /3, register form whatever the mod bits say (APM vol. 3, MOV CRn). */
	if (!svm_insn_fetch(cpu, &insn) || insn.opcode + 3 > insn.count || insn.bytes[insn.opcode] != 0x0f ||
	    insn.bytes[insn.opcode + 1] != 0x22 || (insn.bytes[insn.opcode + 2] & 0x38) != 0x18)
		return false;
	*value = read_register(cpu, (insn.bytes[insn.opcode + 2] & 7u) | (insn.rex & 1u) << 3);
	if (!insn.is_64bit)
		*value = (uint32_t)*value;
	*next_rip = svm_vmcb(cpu)->rip + insn.opcode + 3;
	return true;
}

/* Bytes of ModRM, SIB and displacement with 32-bit or 64-bit addressing (APM vol. 3, 1.4). */
static uint32_t modrm_bytes(const uint8_t *modrm)
{
	uint32_t mod = *modrm >> 6, rm = *modrm & 7;
	uint32_t bytes = 1;

	if (mod != 3 && rm == 4) {
		if (mod == 0 && (modrm[1] & 7) == 5)
			bytes += 4;
		bytes++;
	}
	if (mod == 1)
		bytes += 1;
	else if (mod == 2 || (mod == 0 && rm == 5))
		bytes += 4;
	return bytes;
}

static bool combine(uint8_t operation, uint32_t old, uint32_t operand, uint32_t *value)
{
	switch (operation) { /* bits 5-3 of the opcode, or of ModRM in the immediate group */
	case 0:
		*value = old + operand;
		return true;
	case 1:
		*value = old | operand;
		return true;
	case 4:
		*value = old & operand;
		return true;
	case 5:
		*value = old - operand;
		return true;
	case 6:
		*value = old ^ operand;
		return true;
	default:
		return false;
	}
}

bool svm_insn_store(struct cpu *cpu, uint32_t apic_reg, uint32_t *value, uint64_t *next_rip)
{
	struct svm_insn insn;

	if (!svm_insn_fetch(cpu, &insn) || insn.operand16)
		return false;
	const uint8_t *op = insn.bytes + insn.opcode; /* what could not be fetched is zero, and found out below */
	uint32_t reg = (op[1] >> 3 & 7u) | (insn.rex & 4u) << 1;
	uint32_t tail = modrm_bytes(op + 1), length = 1 + tail, immediate = 0;
	bool known = true;

	memcpy(&immediate, op + 1 + tail, insn.opcode + 1 + tail + 4 <= sizeof(insn.bytes) ? 4 : 1);
	switch (*op) {
	case 0x89: /* MOV r/m32, r32 */
		*value = (uint32_t)read_register(cpu, reg);
		break;
	case 0xc7: /* MOV r/m32, imm32 */
		*value = immediate;
		length += 4;
		break;
	case 0xa3: /* MOV moffs32, eax */
		*value = (uint32_t)svm_vmcb(cpu)->rax;
		length = insn.is_64bit ? 9 : 5;
		break;
	case 0x87: /* XCHG r/m32, r32 */
		*value = (uint32_t)read_register(cpu, reg);
		write_register32(cpu, reg, apic_read(apic_reg));
		break;
	case 0x01: case 0x09: case 0x21: case 0x29: case 0x31: /* ADD, OR, AND, SUB, XOR r/m32, r32 */
		known = combine(*op >> 3, apic_read(apic_reg), (uint32_t)read_register(cpu, reg), value);
		break;
	case 0x81: /* the same with imm32; flags are not set: nobody looks at them after a store to the APIC */
		known = combine(op[1] >> 3 & 7, apic_read(apic_reg), immediate, value);
		length += 4;
		break;
	case 0x83: /* with imm8, sign-extended */
		known = combine(op[1] >> 3 & 7, apic_read(apic_reg), (uint32_t)(int32_t)(int8_t)immediate, value);
		length += 1;
		break;
	default:
		return false;
	}
	*next_rip = svm_vmcb(cpu)->rip + insn.opcode + length;
	return known && insn.opcode + length <= insn.count;
}
