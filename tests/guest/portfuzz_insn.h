/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides one port instruction executed with every register known before and seen after.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NAME, bytes moved, out, string, rep, text of the instruction */
#define PORT_INSNS(X)                                                                                                  \
	X(in4, 4, 0, 0, 0, "inl %dx, %eax")                                                                            \
	X(in4_rexw, 4, 0, 0, 0, ".byte 0x48, 0xed")                                                                    \
	X(in4_rep, 4, 0, 0, 0, ".byte 0xf3, 0xed")                                                                     \
	X(in4_segment, 4, 0, 0, 0, ".byte 0x65, 0x2e, 0xed")                                                           \
	X(in2, 2, 0, 0, 0, "inw %dx, %ax")                                                                             \
	X(in1, 1, 0, 0, 0, "inb %dx, %al")                                                                             \
	X(out4, 4, 1, 0, 0, "outl %eax, %dx")                                                                          \
	X(out2, 2, 1, 0, 0, "outw %ax, %dx")                                                                           \
	X(out1, 1, 1, 0, 0, "outb %al, %dx")                                                                           \
	X(ins1, 1, 0, 1, 0, "insb")                                                                                    \
	X(ins2, 2, 0, 1, 0, "insw")                                                                                    \
	X(ins4, 4, 0, 1, 0, "insl")                                                                                    \
	X(outs1, 1, 1, 1, 0, "outsb")                                                                                  \
	X(outs2, 2, 1, 1, 0, "outsw")                                                                                  \
	X(outs4, 4, 1, 1, 0, "outsl")                                                                                  \
	X(rep_ins1, 1, 0, 1, 1, "rep insb")                                                                            \
	X(rep_ins2, 2, 0, 1, 1, "rep insw")                                                                            \
	X(rep_ins4, 4, 0, 1, 1, "rep insl")                                                                            \
	X(rep_outs1, 1, 1, 1, 1, "rep outsb")                                                                          \
	X(rep_outs2, 2, 1, 1, 1, "rep outsw")                                                                          \
	X(rep_outs4, 4, 1, 1, 1, "rep outsl")

struct port_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8_to_r15[8];
	uint64_t rflags, padding;
	uint8_t xmm[16][16];
};
/* Flags that a program may set freely and that nothing but the instruction itself would change. */
#define PORT_FLAGS_FREE  0x200cd5u /* ID OF DF SF ZF AF PF CF */
#define PORT_FLAGS_FIXED 0x202u    /* IF, and bit 1 */

enum port_insn {
#define PORT_INSN_NAME(name, bytes, out, string, rep, text) PORT_INSN_##name,
	PORT_INSNS(PORT_INSN_NAME)
#undef PORT_INSN_NAME
		PORT_INSN_COUNT
};
#define PORT_INSN_FIRST_OTHER  PORT_INSN_in2
#define PORT_INSN_FIRST_STRING PORT_INSN_ins1

struct port_insn_kind {
	const char *name;
	unsigned bytes;
	bool out, string, rep;
	void (*code)(void); /* where the instruction lies; not to be called */
};
extern const struct port_insn_kind port_insn_kinds[PORT_INSN_COUNT];

/* Inputs and outputs of port_execute; static, since no register is left to point to them. */
extern struct port_regs port_in, port_out;
extern void (*port_code)(void);
/* Behind every instruction; where a handler of SIGSEGV goes on. */
extern const char port_done[];

/* Executes the instruction at port_code with the registers of port_in (rsp too), fills port_out. */
void port_execute(void);
