/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides to an entry.S what each kernel begins with: the multiboot 1 header, flat segments, and the call that is not to come back. */
#pragma once

#define MULTIBOOT_HEADER_MAGIC 0x1badb002
#define MULTIBOOT_HEADER_FLAGS 0x00000003 /* modules on page boundaries; memory information */

/* Selectors of the first two entries of its GDT. */
#define CODE32 0x08
#define DATA32 0x10

	.macro multiboot_header
	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER_MAGIC, MULTIBOOT_HEADER_FLAGS, -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)
	.endm

	/* Destroys eax. */
	.macro load_data_selectors
	movl $DATA32, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	.endm

	.macro call_for_good function
	call \function
9:	cli
	hlt
	jmp 9b
	.endm
