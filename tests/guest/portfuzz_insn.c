/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the instructions: each with all registers set before it and stored after it. Registers are loaded and stored by
 * addresses relative to RIP, because between the first load and the last store none is free.
 * RSP is an operand like the others, so nothing may be pushed meanwhile: signals need a stack of their own.
 */
#include "portfuzz_insn.h"

/* Offsets in struct port_regs, for the assembly. */
#define PORT_RAX    0
#define PORT_RBX    8
#define PORT_RCX    16
#define PORT_RDX    24
#define PORT_RSI    32
#define PORT_RDI    40
#define PORT_RBP    48
#define PORT_RSP    56
#define PORT_R8     64
#define PORT_RFLAGS 128
#define PORT_XMM    144
_Static_assert(offsetof(struct port_regs, rbp) == PORT_RBP, "offset of the assembly");
_Static_assert(offsetof(struct port_regs, r8_to_r15) == PORT_R8, "offset of the assembly");
_Static_assert(offsetof(struct port_regs, rflags) == PORT_RFLAGS, "offset of the assembly");
_Static_assert(offsetof(struct port_regs, xmm) == PORT_XMM, "offset of the assembly");

struct port_regs port_in, port_out;
void (*port_code)(void);

#define PORT_DECLARE(name, bytes, out, string, rep, text) void port_code_##name(void);
PORT_INSNS(PORT_DECLARE)

#define PORT_KIND(name, bytes, out, string, rep, text) { #name, bytes, out, string, rep, port_code_##name },
const struct port_insn_kind port_insn_kinds[PORT_INSN_COUNT] = { PORT_INSNS(PORT_KIND) };

#define TEXT_OF(x)         #x
#define TEXT(x)            TEXT_OF(x)

#define LOAD(offset, reg)  "	movq port_in+" TEXT(offset) "(%rip), %" reg "\n"
#define STORE(offset, reg) "	movq %" reg ", port_out+" TEXT(offset) "(%rip)\n"
#define EACH(X)                                                                                                        \
	X(PORT_RAX, "rax")                                                                                             \
	X(PORT_RBX, "rbx")                                                                                             \
	X(PORT_RCX, "rcx")                                                                                             \
	X(PORT_RDX, "rdx")                                                                                             \
	X(PORT_RSI, "rsi")                                                                                             \
	X(PORT_RDI, "rdi")                                                                                             \
	X(PORT_RBP, "rbp")                                                                                             \
	X(PORT_RSP, "rsp")                                                                                             \
	X(PORT_R8 + 0, "r8")                                                                                           \
	X(PORT_R8 + 8, "r9")                                                                                           \
	X(PORT_R8 + 16, "r10")                                                                                         \
	X(PORT_R8 + 24, "r11")                                                                                         \
	X(PORT_R8 + 32, "r12")                                                                                         \
	X(PORT_R8 + 40, "r13")                                                                                         \
	X(PORT_R8 + 48, "r14")                                                                                         \
	X(PORT_R8 + 56, "r15")
#define PORT_STUB(name, bytes, out, string, rep, text)                                                                 \
	"	.globl port_code_" #name "\n"                                                                          \
	"port_code_" #name ":\n"                                                                                       \
	"	" text "\n"                                                                                            \
	"	jmp port_done\n"

__asm__("	.text\n"
	"	.globl port_execute\n"
	"	.type port_execute, @function\n"
	"port_execute:\n"
	"	pushq %rbx\n"
	"	pushq %rbp\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	pushfq\n"
	"	xorl %eax, %eax\n"
	"	leaq port_in+" TEXT(
		PORT_XMM) "(%rip), %rcx\n"
			  "	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
			  "	movups 16*\\n(%rcx), %xmm\\n\n"
			  "	.endr\n"
			  "	pushq port_in+" TEXT(PORT_RFLAGS) "(%rip)\n"
								  "	popfq\n"
								  "	movq %rsp, port_own_rsp(%rip)\n" EACH(LOAD) "	jmp *port_code(%rip)\n" PORT_INSNS(
									  PORT_STUB) "	.globl port_done\n"
										     "port_done:\n" EACH(
											     STORE) "	movq "
												    "port_own_rsp(%rip)"
												    ", %rsp\n"
												    "	pushfq\n"
												    "	popq "
												    "port_out+" TEXT(
													    PORT_RFLAGS) "(%rip)\n"
															 "	leaq port_out+" TEXT(
																 PORT_XMM) "(%rip), %rcx\n"
																	   "	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
																	   "	movups %xmm\\n, 16*\\n(%rcx)\n"
																	   "	.endr\n"
																	   "	popfq\n"
																	   "	popq %r15\n"
																	   "	popq %r14\n"
																	   "	popq %r13\n"
																	   "	popq %r12\n"
																	   "	popq %rbp\n"
																	   "	popq %rbx\n"
																	   "	ret\n"
																	   "	.size port_execute, . - port_execute\n"
																	   "	.local port_own_rsp\n"
																	   "	.comm port_own_rsp, 8, 8\n");
