/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot 1 header, the entry, and the code that a started CPU begins with. 32-bit, linked at 1 MiB. */
#include "kernel/entry.h"

#include "start.h"

	multiboot_header

	.text
	.globl entry
entry:
	movl $stack_top, %esp
	cld
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	load_data_selectors
	call_for_good guest_main

/* Copied to START_PAGE: in real mode, cs there. Asks Scrim, says what it was told, counts itself, and halts until the next INIT. */
	.code16
	.globl start_code, start_code_end
start_code:
	cli
	movw %cs, %ax
	movw %ax, %ds
	movl $START_REQUEST, %eax
	movw $START_PORT, %dx
	inl %dx, %eax
	movl %eax, START_ANSWER
	movl %ebx, START_RESULT
	lock incl START_COUNT
1:	hlt
	jmp 1b
start_code_end:
	.code32

	.section .rodata
	.balign 8
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.balign 16
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
