/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the reading of the few instructions whose exits say too little, from their bytes alone. */
#pragma once

#include "base/types.h"

#define INSN_BYTES_MAX 15u /* no instruction is longer */

struct insn_code {
	const uint8_t *bytes;
	uint32_t count; /* that could be read; INSN_BYTES_MAX at most */
	uint32_t bits;  /* of the code segment: 16, 32 or 64 */
};

struct insn_prefixes {
	uint32_t opcode; /* offset of the opcode's first byte, behind them */
	uint32_t address_bytes;
	uint8_t rex; /* 0: none that counts */
	bool operand16, lock;
	bool segment; /* an override that counts */
};

enum insn_operation { INSN_MOV, INSN_XCHG, INSN_ADD, INSN_OR, INSN_AND, INSN_SUB, INSN_XOR };

struct insn_store {
	enum insn_operation operation;
	bool is_immediate;  /* the operand is `immediate`, else general register number `reg` */
	uint32_t immediate; /* sign-extended */
	uint32_t reg;
	uint32_t length;    /* of the instruction, prefixes included */
};

/* False: there is no opcode among the bytes. */
bool insn_decode_prefixes(const struct insn_code *code, struct insn_prefixes *prefixes);
/* A 32-bit store to memory, or an operation on it. False: unknown form, or not all of it could be read. */
bool insn_decode_store(const struct insn_code *code, struct insn_store *store);
/* MOV CR3, reg. False: something else, or not all of it could be read. */
bool insn_decode_mov_to_cr3(const struct insn_code *code, uint32_t *reg, uint32_t *length);
/* An operand in memory, without segment overrides. */
struct insn_address {
	bool has_base, has_index, is_rip_relative;
	bool is_stack; /* its segment is SS by default */
	uint32_t base, index, scale; /* registers; scale: a shift */
	int32_t displacement;
};

/* MOV reg, CRn. INVLPG with an address of full width and no segment override. False: as above. */
bool insn_decode_mov_from_cr(const struct insn_code *code, uint32_t number, uint32_t *reg, uint32_t *length);
bool insn_decode_invlpg(const struct insn_code *code, struct insn_address *address, uint32_t *length);
/* What memory holds after the operation. */
uint32_t insn_decode_result(enum insn_operation operation, uint32_t old, uint32_t operand);
