/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into the guest and out of it. VMRUN switches rip, rsp, rax, rflags, CS-SS, CR0-CR4 and EFER (AMD APM vol. 2, 15.5); the other
 * general registers are exchanged here. FS, GS, TR, LDTR and the system call MSRs are loaded once, at the guest's
 * start, and then left alone: Scrim uses none of them, so the OS's are in the CPU all the time, and so are its FPU and
 * debug registers.
 */
#define CONTROL_BLOCK 120
#define RCX 0
#define RDX 8
#define RBX 16
#define RBP 24
#define RSI 32
#define RDI 40
#define R8 48
#define R9 56
#define R10 64
#define R11 72
#define R12 80
#define R13 88
#define R14 96
#define R15 104

	.text
	.globl svm_run
	.type svm_run, @function
svm_run:				/* rdi = struct cpu, on a stack aligned to 16 */
	movq CONTROL_BLOCK(%rdi), %rax
	vmload %rax
	andq $-16, %rsp
	pushq %rdi
1:	movq CONTROL_BLOCK(%rdi), %rax
	movq RCX(%rdi), %rcx
	movq RDX(%rdi), %rdx
	movq RBX(%rdi), %rbx
	movq RBP(%rdi), %rbp
	movq RSI(%rdi), %rsi
	movq R8(%rdi), %r8
	movq R9(%rdi), %r9
	movq R10(%rdi), %r10
	movq R11(%rdi), %r11
	movq R12(%rdi), %r12
	movq R13(%rdi), %r13
	movq R14(%rdi), %r14
	movq R15(%rdi), %r15
	movq RDI(%rdi), %rdi
	vmrun %rax
	xchgq %rdi, (%rsp)		/* rdi = struct cpu; the guest's waits on the stack */
	movq %rcx, RCX(%rdi)
	movq %rdx, RDX(%rdi)
	movq %rbx, RBX(%rdi)
	movq %rbp, RBP(%rdi)
	movq %rsi, RSI(%rdi)
	movq %r8, R8(%rdi)
	movq %r9, R9(%rdi)
	movq %r10, R10(%rdi)
	movq %r11, R11(%rdi)
	movq %r12, R12(%rdi)
	movq %r13, R13(%rdi)
	movq %r14, R14(%rdi)
	movq %r15, R15(%rdi)
	popq %rax
	movq %rax, RDI(%rdi)
	pushq %rdi
	subq $8, %rsp
	cld
	call svm_handle_exit
	addq $8, %rsp
	movq (%rsp), %rdi
	jmp 1b

	.section .note.GNU-stack, "", @progbits
