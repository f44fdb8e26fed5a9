/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the OS's instruction where the hardware does not say enough about it: no decode assists and no next rip in an
 * exit by MSR access, CR3 load or nested page fault (AMD APM vol. 2, 15.7.1 and 15.8.4 make both optional). What its bytes
 * mean is svm_decode.c's; here they are fetched, and its registers read.
 */
#include "hw/apic.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "svm/svm_decode.h"
#include "xlat/guest_walk.h"
#include "xlat/v2m.h"

#include "base/str.h"

#define CS_LONG (1u << 9) /* L in the VMCB's attributes */
#define CS_32BIT (1u << 10)
#define OPCODE_STI 0xfbu

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

static void copy_code(uint8_t *to, const uint8_t *from)
{
	uint64_t first, last;

	/* 15 bytes in two words that overlap. */
	__builtin_memcpy(&first, from, 8);
	__builtin_memcpy(&last, from + SVM_CODE_BYTES_MAX - 8, 8);
	__builtin_memcpy(to, &first, 8);
	__builtin_memcpy(to + SVM_CODE_BYTES_MAX - 8, &last, 8);
}

static uint32_t fetch(const struct cpu *cpu, uint64_t linear, uint8_t *to, uint32_t bytes)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	const struct guest_paging paging = { vmcb->cr0, svm_guest_cr3(cpu), svm_guest_cr4(cpu), vmcb->efer };
	uint32_t done = 0;
	uint64_t physical;

	/* Where the CPU has just fetched it from, if it is in one page. */
	if (svm_is_v2m(cpu) && PAGE_SIZE - (linear & PAGE_MASK) >= bytes && v2m_find(cpu->v2m, linear, &physical)) {
		copy_code(to, (const uint8_t *)(uintptr_t)physical);
		return bytes;
	}
	while (done < bytes) {
		uint64_t in_page = PAGE_SIZE - ((linear + done) & PAGE_MASK);
		uint32_t piece = bytes - done < in_page ? bytes - done : (uint32_t)in_page;
		if (!guest_walk(&paging, linear + done, read_physical, NULL, &physical) ||
		    !read_physical(NULL, physical, to + done, piece))
			break;
		done += piece;
	}
	return done;
}

static bool is_64bit_code(const struct vmcb *vmcb)
{
	return vmcb->efer & EFER_LMA && vmcb->cs.attributes & CS_LONG;
}

uint64_t svm_insn_linear(const struct cpu *cpu)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);

	return is_64bit_code(vmcb) ? vmcb->rip : (uint32_t)(vmcb->cs.base + vmcb->rip);
}

/* Reads what it can of the instruction at rip into `bytes`, and tells how the CPU takes it. */
static struct svm_code fetch_code(const struct cpu *cpu, uint8_t bytes[SVM_CODE_BYTES_MAX])
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	bool is_64bit = is_64bit_code(vmcb);

	return (struct svm_code){ .bytes = bytes,
				  .count = fetch(cpu, svm_insn_linear(cpu), bytes, SVM_CODE_BYTES_MAX),
				  .bits = is_64bit ? 64 : vmcb->cs.attributes & CS_32BIT ? 32 : 16 };
}

uint64_t svm_insn_next_of_0f(const struct cpu *cpu)
{
	uint8_t bytes[SVM_CODE_BYTES_MAX];
	const struct svm_code code = fetch_code(cpu, bytes);
	struct svm_prefixes prefixes;

	/* Unreadable means that the OS has unmapped the page since: the shortest form is the likely one. */
	return svm_vmcb(cpu)->rip + (svm_decode_prefixes(&code, &prefixes) ? prefixes.opcode : 0) + 2;
}

/*
 * QEMU's VMRUN does not take the interrupt shadow back (15.21.5 asks it to). An interrupt between STI and HLT would then be handled
 * before the HLT, which sleeps on what it brought. After MOV SS, whose shadow is the same, the byte before is no STI, unless a
 * displacement reads like one: where interrupts are off it was none.
 */
void svm_insn_back_to_sti(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint8_t bytes[SVM_CODE_BYTES_MAX];

	if (!(vmcb->rflags & RFLAGS_IF) || !fetch(cpu, svm_insn_linear(cpu) - 1, bytes, SVM_CODE_BYTES_MAX) ||
	    bytes[0] != OPCODE_STI)
		return;
	vmcb->rip--;
	vmcb->rflags &= ~RFLAGS_IF;
	vmcb->interrupt_shadow = 0;
}

/* General register by its number in an instruction; rsp is not asked for here. */
static uint64_t read_register(const struct cpu *cpu, uint32_t number)
{
	const struct guest_registers *r = &cpu->regs;
	const uint64_t value[16] = { svm_vmcb(cpu)->rax, r->rcx, r->rdx, r->rbx, svm_vmcb(cpu)->rsp, r->rbp, r->rsi, r->rdi,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
	return value[number & 15];
}

static void write_register(struct cpu *cpu, uint32_t number, uint64_t value)
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
	uint8_t bytes[SVM_CODE_BYTES_MAX];
	const struct svm_code code = fetch_code(cpu, bytes);
	uint32_t reg, length;

	if (!svm_decode_mov_to_cr3(&code, &reg, &length))
		return false;
	*value = read_register(cpu, reg);
	if (code.bits != 64)
		*value = (uint32_t)*value;
	*next_rip = svm_vmcb(cpu)->rip + length;
	return true;
}

bool svm_insn_mov_from_cr(struct cpu *cpu, uint32_t number, uint64_t value, uint64_t *next_rip)
{
	uint8_t bytes[SVM_CODE_BYTES_MAX];
	const struct svm_code code = fetch_code(cpu, bytes);
	uint32_t reg, length;

	if (!svm_decode_mov_from_cr(&code, number, &reg, &length))
		return false;
	write_register(cpu, reg, code.bits == 64 ? value : (uint32_t)value);
	*next_rip = svm_vmcb(cpu)->rip + length;
	return true;
}

bool svm_insn_invlpg(const struct cpu *cpu, uint64_t *linear, uint64_t *next_rip)
{
	const struct vmcb *vmcb = svm_vmcb(cpu);
	uint8_t bytes[SVM_CODE_BYTES_MAX];
	const struct svm_code code = fetch_code(cpu, bytes);
	struct svm_address address;
	uint32_t length;

	if (!svm_decode_invlpg(&code, &address, &length))
		return false;
	*next_rip = vmcb->rip + length;
	uint64_t value = (uint64_t)(int64_t)address.displacement;
	if (address.is_rip_relative)
		value += *next_rip;
	if (address.has_base)
		value += read_register(cpu, address.base);
	if (address.has_index)
		value += read_register(cpu, address.index) << address.scale;
	if (code.bits != 64)
		value = (uint32_t)(value + (address.is_stack ? vmcb->ss.base : vmcb->ds.base));
	*linear = value;
	return true;
}

/* Flags are not set: nobody looks at them after a store to the APIC. */
bool svm_insn_store(struct cpu *cpu, uint32_t apic_reg, uint32_t *value, uint64_t *next_rip)
{
	uint8_t bytes[SVM_CODE_BYTES_MAX];
	const struct svm_code code = fetch_code(cpu, bytes);
	struct svm_store store;

	if (!svm_decode_store(&code, &store))
		return false;
	uint32_t operand = store.is_immediate ? store.immediate : (uint32_t)read_register(cpu, store.reg);
	uint32_t old = store.operation == SVM_MOV ? 0 : apic_read(apic_reg);
	*value = svm_decode_result(store.operation, old, operand);
	if (store.operation == SVM_XCHG)
		write_register(cpu, store.reg, old);
	*next_rip = svm_vmcb(cpu)->rip + store.length;
	return true;
}
