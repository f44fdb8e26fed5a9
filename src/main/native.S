/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * enter_natively(edi = entry, esi = GDT pointer, edx = eax for the guest, ecx = ebx, r8d = esi): leaves 64-bit mode and
 * Scrim for good, and enters a kernel in 32-bit protected mode, flat, paging off, as its own boot loader would.
 */
	.text
	.code64
	.globl enter_natively
	.type enter_natively, @function
enter_natively:
	cli
	lgdt (%rsi)
	movl %edi, %ebp
	movl %ecx, %ebx
	movl %r8d, %esi
	leaq 1f(%rip), %rax
	pushq $0x10
	pushq %rax
	lretq
	.code32
1:	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movl $0x11, %eax		/* PE, ET: paging off */
	movl %eax, %cr0
	xorl %eax, %eax
	movl %eax, %cr4
	movl %edx, %edi			/* edx still holds the guest's eax */
	movl $0xc0000080, %ecx
	xorl %edx, %edx
	wrmsr				/* EFER = 0 */
	movl %edi, %eax
	xorl %edi, %edi
	movl %ebp, %ecx
	xorl %ebp, %ebp
	jmp *%ecx

	.section .note.GNU-stack, "", @progbits
