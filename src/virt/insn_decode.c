/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. Knows the few forms that reach Scrim, not x86 (docs/decisions/0009-no-instruction-decoder.md), and refuses what
 * it does not know for certain: a length that is wrong would have the OS go on in the middle of an instruction. Reads no byte
 * beyond those given. The format of instructions: AMD APM vol. 3, 1.1 to 1.5.
 */
#include "virt/insn_decode.h"

#include "base/bytes.h"

#define REX_B 1u
#define REX_R 4u
#define REX_W 8u
#define REX_HIGH(rex, bit) ((rex) & (bit) ? 8u : 0u) /* what the bit adds to a register's number */

#define OPERAND_SIZE 0x66
#define ADDRESS_SIZE 0x67
#define LOCK 0xf0

static bool is_legacy_prefix(uint8_t byte)
{
	static const uint8_t prefixes[] = { OPERAND_SIZE, ADDRESS_SIZE, LOCK, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	if (byte < 0x26) /* most opcodes that are met here */
		return false;
	for (uint32_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (byte == prefixes[i])
			return true;
	return false;
}

static bool is_segment(uint8_t byte)
{
	return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 || byte == 0x65;
}

bool insn_decode_prefixes(const struct insn_code *code, struct insn_prefixes *prefixes)
{
	bool operand = false, address = false; /* a prefix that is repeated counts once */

	*prefixes = (struct insn_prefixes){ .opcode = 0 };
	for (; prefixes->opcode < code->count; prefixes->opcode++) {
		uint8_t byte = code->bytes[prefixes->opcode];
		if (is_legacy_prefix(byte)) {
			prefixes->rex = 0; /* ignored when another prefix follows it (1.2.7) */
			prefixes->lock |= byte == LOCK;
			prefixes->segment |= is_segment(byte) && (code->bits != 64 || byte >= 0x64);
			operand |= byte == OPERAND_SIZE;
			address |= byte == ADDRESS_SIZE;
		} else if (code->bits == 64 && (byte & 0xf0) == 0x40) {
			prefixes->rex = byte;
		} else {
			break;
		}
	}
	prefixes->operand16 = operand != (code->bits == 16);
	if (code->bits == 64)
		prefixes->address_bytes = address ? 4 : 8;
	else
		prefixes->address_bytes = address != (code->bits == 16) ? 2 : 4;
	return prefixes->opcode < code->count;
}

/* Bytes of ModRM, SIB and displacement with 32-bit or 64-bit addressing (1.4). 0: no memory operand, or cut short. */
static uint32_t memory_bytes(const uint8_t *modrm, uint32_t left)
{
	if (!left || *modrm >> 6 == 3)
		return 0;
	uint32_t mod = *modrm >> 6, base = *modrm & 7, bytes = 1;
	if (base == 4) {
		if (left < 2)
			return 0;
		base = modrm[1] & 7;
		bytes = 2;
	}
	if (mod == 1)
		return bytes + 1;
	return mod == 2 || base == 5 ? bytes + 4 : bytes;
}

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP: bits 5-3 of the opcode, or of ModRM in the immediate group. */
static bool find_arithmetic(uint32_t number, enum insn_operation *operation)
{
	static const uint8_t operations[8] = { INSN_ADD, INSN_OR, 0, 0, INSN_AND, INSN_SUB, INSN_XOR, 0 };

	*operation = operations[number];
	return operations[number] != 0;
}

/* What an opcode that is followed by ModRM does, by it and by ModRM's middle field. False: unknown. */
static bool find_operation(uint8_t opcode, uint32_t field, enum insn_operation *operation, uint32_t *immediate_bytes)
{
	*immediate_bytes = 0;
	*operation = INSN_MOV;
	switch (opcode) {
	case 0x89: /* MOV r/m32, r32 */
		return true;
	case 0xc7: /* MOV r/m32, imm32 */
		*immediate_bytes = 4;
		return field == 0;
	case 0x87: /* XCHG r/m32, r32 */
		*operation = INSN_XCHG;
		return true;
	case 0x01: case 0x09: case 0x21: case 0x29: case 0x31: /* ADD, OR, AND, SUB, XOR r/m32, r32 */
		return find_arithmetic(opcode >> 3, operation);
	case 0x81: case 0x83: /* the same with imm32, and with imm8 */
		*immediate_bytes = opcode == 0x81 ? 4 : 1;
		return find_arithmetic(field, operation);
	default:
		return false;
	}
}

bool insn_decode_store(const struct insn_code *code, struct insn_store *store)
{
	struct insn_prefixes prefixes;
	uint32_t immediate_bytes;

	*store = (struct insn_store){ .operation = INSN_MOV };
	/* REX.W makes it a 64-bit store, which no register of the APIC takes. */
	if (!insn_decode_prefixes(code, &prefixes) || prefixes.operand16 || prefixes.rex & REX_W || prefixes.address_bytes == 2)
		return false;
	uint8_t opcode = code->bytes[prefixes.opcode];
	uint32_t at = prefixes.opcode + 1;
	if (opcode == 0xa3) { /* MOV moffs32, eax */
		store->length = at + prefixes.address_bytes;
		return !prefixes.lock && store->length <= code->count;
	}
	uint32_t bytes = memory_bytes(code->bytes + at, code->count - at);
	if (!bytes)
		return false;
	uint32_t field = code->bytes[at] >> 3 & 7;
	if (!find_operation(opcode, field, &store->operation, &immediate_bytes))
		return false;
	store->length = at + bytes + immediate_bytes;
	if (store->length > code->count || (prefixes.lock && store->operation == INSN_MOV))
		return false;
	store->reg = field | REX_HIGH(prefixes.rex, REX_R);
	store->is_immediate = immediate_bytes != 0;
	if (immediate_bytes == 4)
		store->immediate = load_u32(code->bytes + at + bytes);
	else if (immediate_bytes == 1)
		store->immediate = (uint32_t)(int32_t)(int8_t)code->bytes[at + bytes];
	return true;
}

bool insn_decode_mov_to_cr3(const struct insn_code *code, uint32_t *reg, uint32_t *length)
{
	struct insn_prefixes prefixes;

	/* 0F 22 /3, register form whatever the mod bits say (MOV CRn). REX.R or LOCK would make it another CR. */
	if (!insn_decode_prefixes(code, &prefixes) || code->count - prefixes.opcode < 3 || prefixes.lock || prefixes.rex & REX_R)
		return false;
	const uint8_t *op = code->bytes + prefixes.opcode;
	*reg = (op[2] & 7u) | REX_HIGH(prefixes.rex, REX_B);
	*length = prefixes.opcode + 3;
	return op[0] == 0x0f && op[1] == 0x22 && (op[2] & 0x38) == 0x18;
}

bool insn_decode_mov_from_cr(const struct insn_code *code, uint32_t number, uint32_t *reg, uint32_t *length)
{
	struct insn_prefixes prefixes;

	/* 0F 20 /n, as above. */
	if (!insn_decode_prefixes(code, &prefixes) || code->count - prefixes.opcode < 3 || prefixes.lock || prefixes.rex & REX_R)
		return false;
	const uint8_t *op = code->bytes + prefixes.opcode;
	*reg = (op[2] & 7u) | REX_HIGH(prefixes.rex, REX_B);
	*length = prefixes.opcode + 3;
	return op[0] == 0x0f && op[1] == 0x20 && (op[2] >> 3 & 7u) == number;
}

/* ModRM and what follows it, all of it there (1.4). */
static void read_address(const uint8_t *modrm, const struct insn_prefixes *prefixes, bool is_64bit, struct insn_address *address)
{
	uint32_t mod = *modrm >> 6, base = *modrm & 7u;
	const uint8_t *displacement = modrm + 1;
	bool has_sib = base == 4;

	if (has_sib) {
		uint32_t sib = *displacement++;
		base = sib & 7u;
		address->index = (sib >> 3 & 7u) | REX_HIGH(prefixes->rex, 2u);
		address->has_index = address->index != 4;
		address->scale = sib >> 6;
	}
	address->has_base = mod != 0 || base != 5;
	address->is_rip_relative = is_64bit && !has_sib && !address->has_base;
	address->is_stack = address->has_base && (base == 4 || base == 5);
	address->base = base | REX_HIGH(prefixes->rex, REX_B);
	if (mod == 1)
		address->displacement = (int8_t)*displacement;
	else if (mod == 2 || !address->has_base)
		address->displacement = (int32_t)load_u32(displacement);
}

bool insn_decode_invlpg(const struct insn_code *code, struct insn_address *address, uint32_t *length)
{
	struct insn_prefixes prefixes;

	*address = (struct insn_address){ .has_base = false };
	/* 0F 01 /7 with an operand in memory. */
	if (!insn_decode_prefixes(code, &prefixes) || code->count - prefixes.opcode < 3 || prefixes.lock || prefixes.segment ||
	    prefixes.address_bytes != (code->bits == 64 ? 8 : 4))
		return false;
	const uint8_t *op = code->bytes + prefixes.opcode;
	uint32_t bytes = memory_bytes(op + 2, code->count - prefixes.opcode - 2);
	*length = prefixes.opcode + 2 + bytes;
	if (op[0] != 0x0f || op[1] != 0x01 || (op[2] & 0x38) != 0x38 || !bytes || *length > code->count)
		return false;
	read_address(op + 2, &prefixes, code->bits == 64, address);
	return true;
}

uint32_t insn_decode_result(enum insn_operation operation, uint32_t old, uint32_t operand)
{
	switch (operation) {
	case INSN_ADD:
		return old + operand;
	case INSN_OR:
		return old | operand;
	case INSN_AND:
		return old & operand;
	case INSN_SUB:
		return old - operand;
	case INSN_XOR:
		return old ^ operand;
	default: /* INSN_MOV, INSN_XCHG */
		return operand;
	}
}
