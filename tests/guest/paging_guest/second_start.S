/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the second CPU begins: in real mode on a page below 1 MiB, to which this is copied; then with the guest's own two-level tables. */
#define CODE32 0x08
#define DATA32 0x10
#define CR0_PE 0x1
#define CR0_PG 0x80000000

	.section .rodata
	.balign 16
	.globl second_code, second_code_end
	.code16
second_code:
	cli
	movw %cs, %ax
	movw %ax, %ds
	lgdtl second_gdt_pointer - second_code
	movl %cr0, %eax
	orl $CR0_PE, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $second_entry32
	.balign 8
	.globl second_gdt_pointer
second_gdt_pointer:
	.word 0
	.long 0
second_code_end:

	.text
	.code32
second_entry32:
	movl $DATA32, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $second_stack_top, %esp
	movl second_root, %eax
	movl %eax, %cr3
	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	/* Once more with paging on: so a CPU arrives in its OS. */
	movl %cr3, %eax
	movl %eax, %cr3
	call second_main
1:	cli
	hlt
	jmp 1b

	.bss
	.balign 16
	.skip 4096
second_stack_top:
	.globl second_root
second_root:
	.skip 4

	.section .note.GNU-stack, "", @progbits
