/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the OS's instruction that exited, where the hardware does not say enough about it. Read before the exit waits for anything: a CPU
 * that waits answers flushes, and behind a flush the page with the instruction may be on its way elsewhere.
 */
#pragma once

#include "virt/cpu.h"
#include "xlat/guest_walk.h"

/* The CPU as it stands at the instruction; from the vendor's control block. */
struct guest_insn {
	struct guest_paging paging; /* the OS's own */
	uint64_t rip, rax, rsp;     /* rax and rsp are written where the instruction does: the vendor takes them back */
	uint64_t cs_base, ss_base, ds_base;
	uint32_t bits;              /* of its code: 16, 32, 64 */
	uint64_t next_rip;          /* set by what follows, where it succeeds */
};

/* Linear address of the instruction. */
uint64_t guest_insn_linear(const struct guest_insn *insn);
/* A two-byte instruction without operands (0F xx), any prefixes before it. */
void guest_insn_skip_0f(const struct cpu *cpu, struct guest_insn *insn);
/* The byte before it could be read, and is an STI's. */
bool guest_insn_is_behind_sti(const struct cpu *cpu, const struct guest_insn *insn);
/* MOV CR3, reg: the value. MOV reg, CRn: does it. INVLPG: its address. False: unknown form. */
bool guest_insn_mov_to_cr3(const struct cpu *cpu, struct guest_insn *insn, uint64_t *value);
bool guest_insn_mov_from_cr(struct cpu *cpu, struct guest_insn *insn, uint32_t number, uint64_t value);
bool guest_insn_invlpg(const struct cpu *cpu, struct guest_insn *insn, uint64_t *linear);
/* A 32-bit store to a register of the APIC's page: the new value. False: unknown form. */
bool guest_insn_store(struct cpu *cpu, struct guest_insn *insn, uint32_t apic_reg, uint32_t *value);
