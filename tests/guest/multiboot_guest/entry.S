/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/entry.h"

/*
 * The multiboot 1 header, the entry that keeps the machine state as the loader left it, interrupt stubs, and the way
 * into long mode and back. 32-bit, linked at 1 MiB.
 */
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define CODE64 0x18

	multiboot_header

	.text
	.globl entry
entry:
	/* Nothing but MOV before the flags are saved: they are part of what is looked at. */
	movl %eax, entry_eax
	movl %ebx, entry_ebx
	movl $stack_top, %esp
	pushfl
	popl entry_eflags
	movl %cr0, %eax
	movl %eax, entry_cr0
	movl %cr4, %eax
	movl %eax, entry_cr4
	cld
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	load_data_selectors
	call_for_good guest_main

/* Stubs: the number, then the common part. Exceptions with an error code are not survived, only told. */
	.altmacro
	.macro interrupt_stub number
interrupt_stub_\number:
	pushl $\number
	jmp interrupt_common
	.endm
	.set i, 0
	.rept 48
	interrupt_stub %i
	.set i, i + 1
	.endr

interrupt_common:
	pushal
	pushl 32(%esp)
	call guest_interrupt
	addl $4, %esp
	popal
	addl $4, %esp
	iretl

	.section .rodata
	.globl interrupt_stubs
	.balign 4
	.macro interrupt_entry number
	.long interrupt_stub_\number
	.endm
interrupt_stubs:
	.set i, 0
	.rept 48
	interrupt_entry %i
	.set i, i + 1
	.endr

	.text
/*
 * uint64_t long_mode_visit(uint32_t cr3, uint64_t value): with paging off, enters 64-bit mode with the 4-level tables at
 * cr3, computes something there that takes 64-bit registers, and comes back with paging off. Returns
 * (value * 0x9e3779b97f4a7c15 + r15) with r15 = 0x0123456789abcdef; 0 if EFER.LMA was not set.
 */
	.globl long_mode_visit
long_mode_visit:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl 20(%esp), %eax
	movl %eax, %cr3
	movl 24(%esp), %esi
	movl 28(%esp), %edi
	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	ljmp $CODE64, $1f
	.code64
1:	movabsq $0x0123456789abcdef, %r15
	movabsq $0x9e3779b97f4a7c15, %r14
	movl %esi, %eax
	shlq $32, %rdi
	orq %rdi, %rax
	imulq %r14, %rax
	addq %r15, %rax
	movq %rax, %rbx
	movl $MSR_EFER, %ecx
	rdmsr
	btl $10, %eax
	jc 2f
	xorl %ebx, %ebx
2:	movl %ebx, %esi
	shrq $32, %rbx
	ljmpl *compatibility_pointer(%rip)
	.code32
3:	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0
	movl $MSR_EFER, %ecx
	rdmsr
	andl $~EFER_LME, %eax
	wrmsr
	movl %cr4, %eax
	andl $~CR4_PAE, %eax
	movl %eax, %cr4
	movl %esi, %eax
	movl %ebx, %edx
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	.section .rodata
	.balign 8
compatibility_pointer:
	.long 3b
	.word CODE32
	.balign 8
/* Not writable: descriptors carry the accessed bit already, so the CPU never writes to them. */
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* 32-bit code */
	.quad 0x00cf93000000ffff /* data */
	.quad 0x00af9b000000ffff /* 64-bit code */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.bss
	.balign 16
	.skip 16384
stack_top:
	.globl entry_eax, entry_ebx, entry_eflags, entry_cr0, entry_cr4
entry_eax:
	.skip 4
entry_ebx:
	.skip 4
entry_eflags:
	.skip 4
entry_cr0:
	.skip 4
entry_cr4:
	.skip 4

	.section .note.GNU-stack, "", @progbits
