/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of Scrim's IDT. Interrupts are always off in Scrim, so only exceptions and the NMI come here. */

	.text
/* NMI: Scrim opens GIF for an instant to take one that made the guest exit; taking it is all there is to do. */
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

idt_common:
	popq %rdi			/* vector */
	popq %rsi			/* error code */
	popq %rdx			/* rip */
	andq $-16, %rsp
	call descriptors_exception
	ud2

	.section .note.GNU-stack, "", @progbits
