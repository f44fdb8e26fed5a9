/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot 1 header, the entry, and the code that a started CPU begins with. 32-bit, linked at 1 MiB. */
#define MULTIBOOT_HEADER_MAGIC 0x1badb002
#define MULTIBOOT_HEADER_FLAGS 0x00000003 /* modules on page boundaries; memory information */

#define CODE32 0x08
#define DATA32 0x10

#include "start.h"

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER_MAGIC, MULTIBOOT_HEADER_FLAGS, -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)

	.text
	.globl entry
entry:
	movl $stack_top, %esp
	cld
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	movl $DATA32, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	call guest_main
2:	cli
	hlt
	jmp 2b

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
