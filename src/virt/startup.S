/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start-up page: real mode to 64-bit mode in one go (AMD APM vol. 2, 14.8), for a CPU that has got STARTUP. Copied to a
 * page below 1 MiB; position-independent within it. All CPUs may be here at once: nothing is written.
 * CS:IP = page >> 4 : 0. The words from startup_data on are filled in by startup_install().
 */
#define AT(label) (label - startup_code)

	.section .rodata
	.balign 16
	.globl startup_code, startup_code_end, startup_data
startup_code:
	.code16
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	movl AT(startup_cr3), %ecx
	movl %ecx, %cr3
	movl $0x20, %eax		/* CR4.PAE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	xorl %edx, %edx
	movl $0x100, %eax		/* EFER.LME */
	wrmsr
	lgdtl AT(startup_gdt_pointer)
	movl $0x80000011, %eax		/* PG, ET, PE; caches on */
	movl %eax, %cr0
	ljmpl *AT(startup_far)

	.balign 8
startup_data:
startup_cr3:
	.long 0
startup_far:
	.long 0				/* startup_entry */
	.word 8
	.word 0
startup_gdt_pointer:
	.word 15
	.long 0				/* address of startup_gdt */
	.word 0
startup_gdt:
	.quad 0
	.quad 0x00209a0000000000	/* 64-bit code */
startup_code_end:

	.text
	.code64
	.globl startup_entry
	.type startup_entry, @function
startup_entry:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	/* Which CPU is this? Its APIC id, as apic_id_by_cpuid() finds it. */
	xorl %eax, %eax
	cpuid
	cmpl $0xb, %eax
	jb 1f
	movl $0xb, %eax
	xorl %ecx, %ecx
	cpuid
	testw %bx, %bx
	jz 1f
	movl %edx, %edi
	jmp 2f
1:	movl $1, %eax
	cpuid
	shrl $24, %ebx
	movl %ebx, %edi
2:	cmpl $255, %edi			/* ACPI_CPUS_MAX; one that firmware did not list is nobody's */
	jae 3f
	leaq startup_cpu_by_apic_id(%rip), %rax
	movq (%rax, %rdi, 8), %rdi	/* struct cpu */
	testq %rdi, %rdi
	jz 3f
	movq 128(%rdi), %rsp		/* stack_top */
	xorl %ebp, %ebp
	call startup_main
	ud2
3:	cli
	hlt
	jmp 3b

	.section .note.GNU-stack, "", @progbits
