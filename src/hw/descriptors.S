/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of Scrim's IDT. Interrupts are always off in Scrim, so only exceptions and the NMI come here. */

	.text
/* NMI: taking it is all there is to do. With AMD, Scrim opens GIF for an instant to take one that made the guest exit. */
	.globl idt_nmi
	.type idt_nmi, @function
idt_nmi:
	iretq

	/* One stub of 16 bytes a vector; those with an error code (APM vol. 2, table 8-1) have it on the stack already. */
	.balign 16
	.globl idt_stubs
idt_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	pushq $0
	.endif
	pushq $vector
	jmp idt_common
	.set vector, vector + 1
	.endr

/* bool rdmsr_safe(edi = msr, rsi = value), bool wrmsr_safe(edi = msr, rsi = value), bool xsetbv_safe(edi = index, rsi = value): see insn.h */
	.globl rdmsr_safe, wrmsr_safe, xsetbv_safe
	.type xsetbv_safe, @function
	.type rdmsr_safe, @function
	.type wrmsr_safe, @function
rdmsr_safe:
	movl %edi, %ecx
rdmsr_may_fault:
	rdmsr
	shlq $32, %rdx
	orq %rdx, %rax
	movq %rax, (%rsi)
	movl $1, %eax
	ret
wrmsr_safe:
	movl %edi, %ecx
	movl %esi, %eax
	movq %rsi, %rdx
	shrq $32, %rdx
wrmsr_may_fault:
	wrmsr
	movl $1, %eax
	ret
xsetbv_safe:
	movl %edi, %ecx
	movl %esi, %eax
	movq %rsi, %rdx
	shrq $32, %rdx
xsetbv_may_fault:
	xsetbv
	movl $1, %eax
	ret
msr_has_faulted:
	xorl %eax, %eax
	ret

idt_common:
	cmpl $13, (%rsp)		/* #GP of one of these goes on behind it */
	jne 1f
	leaq rdmsr_may_fault(%rip), %rax
	cmpq %rax, 16(%rsp)
	je 2f
	leaq wrmsr_may_fault(%rip), %rax
	cmpq %rax, 16(%rsp)
	je 2f
	leaq xsetbv_may_fault(%rip), %rax
	cmpq %rax, 16(%rsp)
	jne 1f
2:	leaq msr_has_faulted(%rip), %rax
	movq %rax, 16(%rsp)
	addq $16, %rsp
	iretq
1:	popq %rdi			/* vector */
	popq %rsi			/* error code */
	popq %rdx			/* rip */
	andq $-16, %rsp
	call descriptors_exception
	ud2

	.section .note.GNU-stack, "", @progbits
