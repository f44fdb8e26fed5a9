/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry from a multiboot loader, to 64-bit mode, to boot_main().
 *
 * Position-independent by hand: 32-bit code finds its own address once (ebp = where image_start lies now) and reaches
 * everything as ebp + (symbol - image_head). Multiboot Specification 0.6.96, 3.2; Multiboot2 2.0, 3.2: the machine is in
 * 32-bit protected mode, flat segments, paging and interrupts off, eax = magic, ebx = information structure.
 */
#define OFFSET(symbol) (symbol - image_head)
#define LINK_BASE 0x100000

#define MB1_MAGIC 0x1BADB002
/* Modules on page boundaries, memory information, video mode table, address fields valid (QEMU refuses 64-bit ELF). */
#define MB1_FLAGS 0x00010007
#define MB2_MAGIC 0xE85250D6

	.section .head, "awx"
	.code32
	.balign 8
image_head:				/* == image_start: this section comes first */
mb1_header:
	.long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
	.long OFFSET(mb1_header) + LINK_BASE	/* header_addr */
	.long LINK_BASE					/* load_addr */
	.long OFFSET(image_file_end) + LINK_BASE	/* load_end_addr */
	.long OFFSET(image_end) + LINK_BASE	/* bss_end_addr */
	.long OFFSET(entry_multiboot) + LINK_BASE	/* entry_addr */
	.long 1, 80, 25, 0				/* text mode preferred; any is taken */

	.balign 8
mb2_header:
	.long MB2_MAGIC, 0, mb2_end - mb2_header, -(MB2_MAGIC + 0 + (mb2_end - mb2_header))
	.balign 8
	.word 10, 0		/* relocatable: anywhere from 1 MiB to 4 GiB, page aligned, low preferred */
	.long 24, 0x100000, 0xffffffff, 4096, 1
	.balign 8
	.word 6, 0		/* modules on page boundaries */
	.long 8
	.balign 8
	.word 5, 1		/* framebuffer: optional, any size */
	.long 20, 0, 0, 0
	.balign 8
	.word 0, 0
	.long 8
mb2_end:

	.globl entry_multiboot
	.type entry_multiboot, @function
entry_multiboot:
	cli
	cld
	movl %eax, %esi			/* loader's magic */
	movl %ebx, %edi			/* information structure */
	/* `call` is the way to learn eip and needs one word of stack: borrow the information structure's first. */
	movl (%ebx), %edx
	leal 4(%ebx), %esp
	call 1f
1:	popl %ebp
	movl %edx, (%ebx)
	subl $OFFSET(1b), %ebp
	leal OFFSET(boot_stack_top)(%ebp), %esp

	/* Long mode is told by CPUID (APM vol. 3, E.4.2); without it there is nobody to serve. */
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb no_long_mode
	movl $0x80000001, %eax
	cpuid
	btl $29, %edx
	jnc no_long_mode

	/* Identity map of the first 4 GiB in 2 MiB pages: PML4, PDPT, 4 page directories, where later struct machine is. */
	leal OFFSET(machine)(%ebp), %ebx
	leal 0x1003(%ebx), %eax
	movl %eax, (%ebx)
	movl $4, %ecx
	leal 0x2003(%ebx), %eax
	leal 0x1000(%ebx), %edx
2:	movl %eax, (%edx)
	addl $0x1000, %eax
	addl $8, %edx
	loop 2b
	movl $2048, %ecx
	movl $0x83, %eax
	leal 0x2000(%ebx), %edx
3:	movl %eax, (%edx)
	addl $0x200000, %eax
	addl $8, %edx
	loop 3b

	movl $0x20, %eax		/* CR4.PAE */
	movl %eax, %cr4
	movl %ebx, %cr3
	movl $0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl $0x80000011, %eax		/* PG, ET, PE */
	movl %eax, %cr0

	leal OFFSET(boot_gdt)(%ebp), %eax
	movl %eax, OFFSET(boot_gdt_pointer + 2)(%ebp)
	lgdt OFFSET(boot_gdt_pointer)(%ebp)
	leal OFFSET(entry_64)(%ebp), %eax
	pushl $8
	pushl %eax
	lret

no_long_mode:
	leal OFFSET(no_long_mode_text)(%ebp), %esi
	movl $0xb8000, %edi
4:	lodsb
	testb %al, %al
	jz 5f
	movb %al, %cl
	movw $0x3f8, %dx
	outb %al, %dx
	movb $0x07, %ah
	movw %ax, (%edi)
	addl $2, %edi
	jmp 4b
5:	hlt
	jmp 5b

	.code64
entry_64:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %ebp, %ebp			/* upper halves are undefined after a mode switch */
	movl %esp, %esp
	movl %esi, %r12d
	movl %edi, %r13d
	movq %rbp, %rdi
	call image_relocate
	movl %r12d, %edi
	movl %r13d, %esi
	call boot_main
6:	hlt
	jmp 6b

/* image_relocate(rdi = where image_start lies): applies R_X86_64_RELATIVE (System V ABI x86-64, 4.4). Idempotent. */
	.globl image_relocate
	.type image_relocate, @function
image_relocate:
	leaq -LINK_BASE(%rdi), %rdx	/* added to every link-time address */
	leaq OFFSET(rela_start)(%rdi), %rsi
	leaq OFFSET(rela_end)(%rdi), %rcx
7:	cmpq %rcx, %rsi
	jae 8f
	movq (%rsi), %rax		/* r_offset */
	movq 16(%rsi), %r8		/* r_addend */
	addq %rdx, %r8
	movq %r8, (%rax, %rdx)
	addq $24, %rsi
	jmp 7b
8:	ret

/* call_on_stack(rdi = function, rsi = stack top): never returns; for the jump to the moved image. */
	.globl call_on_stack
	.type call_on_stack, @function
call_on_stack:
	movq %rsi, %rsp
	xorl %ebp, %ebp
	call *%rdi
	ud2

	.section .rodata
no_long_mode_text:
	.asciz "Scrim: this CPU has no 64-bit mode; boot the kernel without Scrim"

	.data
	.balign 16
boot_gdt:
	.quad 0
	.quad 0x00209a0000000000	/* 64-bit code */
boot_gdt_pointer:
	.word 15
	.long 0

	.bss
	.balign 4096
	.skip 16384
	.globl boot_stack_top
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
