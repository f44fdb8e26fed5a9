/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing. What the bytes mean is insn_decode.c's; here they are fetched, and registers read. */
#include "virt/guest_insn.h"

#include "base/str.h"
#include "hw/apic.h"
#include "virt/insn_decode.h"
#include "virt/machine.h"
#include "virt/shadow.h"

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
	__builtin_memcpy(&last, from + INSN_BYTES_MAX - 8, 8);
	__builtin_memcpy(to, &first, 8);
	__builtin_memcpy(to + INSN_BYTES_MAX - 8, &last, 8);
}

static uint32_t fetch(const struct cpu *cpu, const struct guest_paging *paging, uint64_t linear, uint8_t to[INSN_BYTES_MAX])
{
	uint32_t done = 0;
	uint64_t physical;

	/* Where the CPU has just fetched it from, if it is in one page. */
	if (shadow_is_v2m(cpu->mode) && PAGE_SIZE - (linear & PAGE_MASK) >= INSN_BYTES_MAX && v2m_find(cpu->v2m, linear, &physical)) {
		copy_code(to, (const uint8_t *)(uintptr_t)physical);
		return INSN_BYTES_MAX;
	}
	while (done < INSN_BYTES_MAX) {
		uint64_t in_page = PAGE_SIZE - ((linear + done) & PAGE_MASK);
		uint32_t piece = INSN_BYTES_MAX - done < in_page ? INSN_BYTES_MAX - done : (uint32_t)in_page;
		if (!guest_walk(paging, linear + done, read_physical, NULL, &physical) ||
		    !read_physical(NULL, physical, to + done, piece))
			break;
		done += piece;
	}
	return done;
}

uint64_t guest_insn_linear(const struct guest_insn *insn)
{
	return insn->bits == 64 ? insn->rip : (uint32_t)(insn->cs_base + insn->rip);
}

/* Reads what it can of the instruction into `bytes`. */
static struct insn_code fetch_code(const struct cpu *cpu, const struct guest_insn *insn, uint8_t bytes[INSN_BYTES_MAX])
{
	return (struct insn_code){ .bytes = bytes,
				   .count = fetch(cpu, &insn->paging, guest_insn_linear(insn), bytes),
				   .bits = insn->bits };
}

void guest_insn_skip_0f(const struct cpu *cpu, struct guest_insn *insn)
{
	uint8_t bytes[INSN_BYTES_MAX];
	const struct insn_code code = fetch_code(cpu, insn, bytes);
	struct insn_prefixes prefixes;

	/* Unreadable means that the OS has unmapped the page since: the shortest form is the likely one. */
	insn->next_rip = insn->rip + (insn_decode_prefixes(&code, &prefixes) ? prefixes.opcode : 0) + 2;
}

bool guest_insn_is_behind_sti(const struct cpu *cpu, const struct guest_insn *insn)
{
	uint8_t bytes[INSN_BYTES_MAX];

	return fetch(cpu, &insn->paging, guest_insn_linear(insn) - 1, bytes) && bytes[0] == OPCODE_STI;
}

/* General register by its number in an instruction. */
static uint64_t read_register(const struct cpu *cpu, const struct guest_insn *insn, uint32_t number)
{
	const struct guest_registers *r = &cpu->regs;
	const uint64_t value[16] = { insn->rax, r->rcx, r->rdx, r->rbx, insn->rsp, r->rbp, r->rsi, r->rdi,
				     r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
	return value[number & 15];
}

static void write_register(struct cpu *cpu, struct guest_insn *insn, uint32_t number, uint64_t value)
{
	struct guest_registers *r = &cpu->regs;
	uint64_t *const place[16] = { &insn->rax, &r->rcx, &r->rdx, &r->rbx, &insn->rsp, &r->rbp, &r->rsi, &r->rdi,
				      &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };
	*place[number & 15] = value;
}

bool guest_insn_mov_to_cr3(const struct cpu *cpu, struct guest_insn *insn, uint64_t *value)
{
	uint8_t bytes[INSN_BYTES_MAX];
	const struct insn_code code = fetch_code(cpu, insn, bytes);
	uint32_t reg, length;

	if (!insn_decode_mov_to_cr3(&code, &reg, &length))
		return false;
	*value = read_register(cpu, insn, reg);
	if (code.bits != 64)
		*value = (uint32_t)*value;
	insn->next_rip = insn->rip + length;
	return true;
}

bool guest_insn_mov_from_cr(struct cpu *cpu, struct guest_insn *insn, uint32_t number, uint64_t value)
{
	uint8_t bytes[INSN_BYTES_MAX];
	const struct insn_code code = fetch_code(cpu, insn, bytes);
	uint32_t reg, length;

	if (!insn_decode_mov_from_cr(&code, number, &reg, &length))
		return false;
	write_register(cpu, insn, reg, code.bits == 64 ? value : (uint32_t)value);
	insn->next_rip = insn->rip + length;
	return true;
}

bool guest_insn_invlpg(const struct cpu *cpu, struct guest_insn *insn, uint64_t *linear)
{
	uint8_t bytes[INSN_BYTES_MAX];
	const struct insn_code code = fetch_code(cpu, insn, bytes);
	struct insn_address address;
	uint32_t length;

	if (!insn_decode_invlpg(&code, &address, &length))
		return false;
	insn->next_rip = insn->rip + length;
	uint64_t value = (uint64_t)(int64_t)address.displacement;
	if (address.is_rip_relative)
		value += insn->next_rip;
	if (address.has_base)
		value += read_register(cpu, insn, address.base);
	if (address.has_index)
		value += read_register(cpu, insn, address.index) << address.scale;
	if (code.bits != 64)
		value = (uint32_t)(value + (address.is_stack ? insn->ss_base : insn->ds_base));
	*linear = value;
	return true;
}

/* Flags are not set: nobody looks at them after a store to the APIC. */
bool guest_insn_store(struct cpu *cpu, struct guest_insn *insn, uint32_t apic_reg, uint32_t *value)
{
	uint8_t bytes[INSN_BYTES_MAX];
	const struct insn_code code = fetch_code(cpu, insn, bytes);
	struct insn_store store;

	if (!insn_decode_store(&code, &store))
		return false;
	uint32_t operand = store.is_immediate ? store.immediate : (uint32_t)read_register(cpu, insn, store.reg);
	uint32_t old = store.operation == INSN_MOV ? 0 : apic_read(apic_reg);
	*value = insn_decode_result(store.operation, old, operand);
	if (store.operation == INSN_XCHG)
		write_register(cpu, insn, store.reg, old);
	insn->next_rip = insn->rip + store.length;
	return true;
}
