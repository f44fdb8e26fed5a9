/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the reading of the few instructions whose exits say too little, from their bytes alone. */
#pragma once

#include "base/types.h"

#define SVM_CODE_BYTES_MAX 15u /* no instruction is longer */

struct svm_code {
	const uint8_t *bytes;
	uint32_t count; /* that could be read; SVM_CODE_BYTES_MAX at most */
	uint32_t bits;  /* of the code segment: 16, 32 or 64 */
};

struct svm_prefixes {
	uint32_t opcode; /* offset of the opcode's first byte, behind them */
	uint32_t address_bytes;
	uint8_t rex; /* 0: none that counts */
	bool operand16, lock;
	bool segment; /* an override that counts */
};

enum svm_operation { SVM_MOV, SVM_XCHG, SVM_ADD, SVM_OR, SVM_AND, SVM_SUB, SVM_XOR };

struct svm_store {
	enum svm_operation operation;
	bool is_immediate;  /* the operand is `immediate`, else general register number `reg` */
	uint32_t immediate; /* sign-extended */
	uint32_t reg;
	uint32_t length;    /* of the instruction, prefixes included */
};

/* False: there is no opcode among the bytes. */
bool svm_decode_prefixes(const struct svm_code *code, struct svm_prefixes *prefixes);
/* A 32-bit store to memory, or an operation on it. False: unknown form, or not all of it could be read. */
bool svm_decode_store(const struct svm_code *code, struct svm_store *store);
/* MOV CR3, reg. False: something else, or not all of it could be read. */
bool svm_decode_mov_to_cr3(const struct svm_code *code, uint32_t *reg, uint32_t *length);
/* An operand in memory, without segment overrides. */
struct svm_address {
	bool has_base, has_index, is_rip_relative;
	bool is_stack; /* its segment is SS by default */
	uint32_t base, index, scale; /* registers; scale: a shift */
	int32_t displacement;
};

/* MOV reg, CRn. INVLPG with an address of full width and no segment override. False: as above. */
bool svm_decode_mov_from_cr(const struct svm_code *code, uint32_t number, uint32_t *reg, uint32_t *length);
bool svm_decode_invlpg(const struct svm_code *code, struct svm_address *address, uint32_t *length);
/* What memory holds after the operation. */
uint32_t svm_decode_result(enum svm_operation operation, uint32_t old, uint32_t operand);
