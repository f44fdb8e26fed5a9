/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/entry.h"

/*
 * The multiboot 1 header, the entry, interrupt stubs for 32-bit and for long mode, and the probes: one access each, whose
 * outcome the stubs write down. The C code is 32-bit throughout: in long mode it runs in compatibility mode, and a probe goes to
 * 64-bit mode and comes back.
 *
 *     probe_run --- access ---> page fault ---> stub: seen_* ---> back behind probe_run
 *                      |                          ^
 *                      +---> int $VECTOR_DONE ----+
 *
 * The access ends in an interrupt in any case, so nothing has to be undone: the stub drops its frame and takes probe_run's stack.
 */
#define CODE64      0x18
#define USER_CODE32 0x23
#define USER_DATA   0x2b
#define USER_CODE64 0x33
#define LDT_FIRST   0x07 /* entry 0 of the LDT, as asked for by a user */

#define EFLAGS_AC   0x40000
#define EFLAGS_NONE 0x2
#define VECTOR_DONE 0x81
#define STUBS       33 /* exceptions, and VECTOR_DONE */

	multiboot_header

	.text
	.globl entry
entry:
	movl $stack_top, %esp
	movl %ebx, entry_ebx
	cld
	call modes_load_gdt
	ljmp $CODE32, $1f
1:	call load_data_segments
	call_for_good paging_main

load_data_segments:
	load_data_selectors
	ret

/* --- 32-bit: probes ------------------------------------------------------------------------------------------------ */

	.globl probe_run32
probe_run32:
	pushal
	pushfl
	movl %esp, probe_esp
	movl $1, probe_active
	movl probe_kind, %edx
	movl probe_address, %eax
	movl probe_value, %ecx
	jmp *probes32(,%edx,4)

with_ac32:
	pushfl
	orl $EFLAGS_AC, (%esp)
	popfl
	jmp *%edx
read_ac32:
	movl $site_read32, %edx
	jmp with_ac32
write_ac32:
	movl $site_write32, %edx
	jmp with_ac32
site_read32:
	movl (%eax), %ecx
	int $VECTOR_DONE
site_write32:
	movl %ecx, (%eax)
	int $VECTOR_DONE
load_cr3_32:
	movl %ecx, %cr3
	int $VECTOR_DONE
invpcid32:
	invpcid (%eax), %ecx
	int $VECTOR_DONE
fetch32:
	jmp *%eax
user_fetch32:
	movl %eax, %edx
	jmp to_user32
user_read32:
	movl $site_user_read32, %edx
	jmp to_user32
user_write32:
	movl $site_user_write32, %edx
	jmp to_user32
user_implicit32:
	movl $site_user_implicit32, %edx
to_user32:
	movl $USER_DATA, %ebx
	movl %ebx, %ds
	pushl $USER_DATA
	pushl $0
	pushl $EFLAGS_NONE
	pushl $USER_CODE32
	pushl %edx
	movl $LDT_FIRST, %ebx
	iretl

/* --- 32-bit: stubs ------------------------------------------------------------------------------------------------- */

	.altmacro
	.macro has_error number
	.set error_pushed, 0
	.irp one, 8, 10, 11, 12, 13, 14, 17, 21, 29, 30
	.if \number == \one
	.set error_pushed, 1
	.endif
	.endr
	.endm

	.macro stub32 number
stub32_\number:
	has_error \number
	.if error_pushed == 0
	pushl $0
	.endif
	pushl $\number
	jmp interrupt32
	.endm
	.set i, 0
	.rept STUBS
	stub32 %i
	.set i, i + 1
	.endr

interrupt32:
	popl seen_vector
	popl seen_error
	popl seen_rip
	movl $0, seen_rip + 4
	movl %ecx, seen_value
	movl %cr2, %eax
	movl %eax, seen_cr2
	movl $0, seen_cr2 + 4
interrupt_back:
	movl $DATA32, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	cmpl $0, probe_active
	je 1f
	movl $0, probe_active
	movl probe_esp, %esp
	popfl
	popal
	ret
1:	movl $stack_top, %esp
	call probe_unexpected
2:	cli
	hlt
	jmp 2b

/* --- long mode: probes --------------------------------------------------------------------------------------------- */

	.globl probe_run64
probe_run64:
	pushal
	pushfl
	movl %esp, probe_esp
	movl $1, probe_active
	ljmp $CODE64, $1f
	.code64
1:	movl %esp, %esp
	movl probe_kind(%rip), %edx
	movq probe_address(%rip), %rax
	movl probe_value(%rip), %ecx
	movl $probes64, %ebx
	movl (%rbx,%rdx,4), %edx
	jmp *%rdx

with_ac64:
	pushfq
	orl $EFLAGS_AC, (%rsp)
	popfq
	jmp *%rdx
read_ac64:
	movl $site_read64, %edx
	jmp with_ac64
write_ac64:
	movl $site_write64, %edx
	jmp with_ac64
site_read64:
	movl (%rax), %ecx
	int $VECTOR_DONE
site_write64:
	movl %ecx, (%rax)
	int $VECTOR_DONE
load_cr3_64:
	movq %rcx, %cr3
	int $VECTOR_DONE
invpcid64:
	movl $5, %ebx
	invpcid -0x28(%rax,%rbx,8), %rcx
	int $VECTOR_DONE
invpcid_rip64:
	invpcid invpcid_descriptor(%rip), %rcx
	int $VECTOR_DONE
fetch64:
	jmp *%rax
user_fetch64:
	movq %rax, %rdx
	jmp to_user64
user_read64:
	movl $site_user_read64, %edx
	jmp to_user64
user_write64:
	movl $site_user_write64, %edx
	jmp to_user64
user_implicit64:
	movl $site_user_implicit64, %edx
to_user64:
	pushq $USER_DATA
	pushq $0
	pushq $EFLAGS_NONE
	pushq $USER_CODE64
	pushq %rdx
	movl $LDT_FIRST, %ebx
	iretq

/* --- long mode: stubs ---------------------------------------------------------------------------------------------- */

	.macro stub64 number
stub64_\number:
	has_error \number
	.if error_pushed == 0
	pushq $0
	.endif
	pushq $\number
	jmp interrupt64
	.endm
	.set i, 0
	.rept STUBS
	stub64 %i
	.set i, i + 1
	.endr

interrupt64:
	popq %rax
	movl %eax, seen_vector(%rip)
	popq %rax
	movl %eax, seen_error(%rip)
	popq %rax
	movq %rax, seen_rip(%rip)
	movl %ecx, seen_value(%rip)
	movq %cr2, %rax
	movq %rax, seen_cr2(%rip)
	ljmpl *back_pointer(%rip)

/* void invlpg64(void): INVLPG of probe_address(%rip); 32-bit code cannot name it. */
	.code32
	.globl invlpg64
invlpg64:
	ljmp $CODE64, $1f
	.code64
1:	movq probe_address(%rip), %rax
	invlpg (%rax)
	ljmpl *invlpg_pointer(%rip)
	.code32
2:	ret

/* void cr3_load64(void): MOV CR3 of all 64 bits of probe_address(%rip). */
	.globl cr3_load64
cr3_load64:
	ljmp $CODE64, $1f
	.code64
1:	movq probe_address(%rip), %rax
	movq %rax, %cr3
	ljmpl *cr3_load_pointer(%rip)
	.code32
3:	ret

/* --- what a user executes: a page of its own ----------------------------------------------------------------------- */

	.section .user, "ax"
	.balign 4096
	.globl user_page
user_page:
site_user_read32:
	movl (%eax), %ecx
	int $VECTOR_DONE
site_user_write32:
	movl %ecx, (%eax)
	int $VECTOR_DONE
/* The CPU reads the descriptor in the LDT for its user, with the rights of a supervisor (APM vol. 2, 5.6). */
site_user_implicit32:
	larl %ebx, %ecx
	int $VECTOR_DONE
	.code64
site_user_read64:
	movl (%rax), %ecx
	int $VECTOR_DONE
site_user_write64:
	movl %ecx, (%rax)
	int $VECTOR_DONE
site_user_implicit64:
	larl %ebx, %ecx
	int $VECTOR_DONE
	.code32
	.balign 4096

/* --- tables -------------------------------------------------------------------------------------------------------- */

	.section .rodata
	.balign 8
back_pointer:
	.long interrupt_back
	.word CODE32
	.balign 8
invlpg_pointer:
	.long 2b
	.word CODE32
	.balign 8
cr3_load_pointer:
	.long 3b
	.word CODE32
	.balign 4
	.globl interrupt_stubs32, interrupt_stubs64
	.macro stub_entry bits number
	.long stub\bits\()_\number
	.endm
interrupt_stubs32:
	.set i, 0
	.rept STUBS
	stub_entry 32 %i
	.set i, i + 1
	.endr
interrupt_stubs64:
	.set i, 0
	.rept STUBS
	stub_entry 64 %i
	.set i, i + 1
	.endr
/* In the order of enum probe_kind. A site of 0: the address itself is where the access is made. */
	.globl probe_sites32, probe_sites64
probes32:
	.long site_read32, site_write32, fetch32, read_ac32, write_ac32
	.long user_read32, user_write32, user_fetch32, user_implicit32, load_cr3_32, invpcid32, invpcid32
probes64:
	.long site_read64, site_write64, fetch64, read_ac64, write_ac64
	.long user_read64, user_write64, user_fetch64, user_implicit64, load_cr3_64, invpcid64, invpcid_rip64
probe_sites32:
	.long site_read32, site_write32, 0, site_read32, site_write32
	.long site_user_read32, site_user_write32, 0, site_user_implicit32
probe_sites64:
	.long site_read64, site_write64, 0, site_read64, site_write64
	.long site_user_read64, site_user_write64, 0, site_user_implicit64

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 4096
	.globl interrupt_stack_top
interrupt_stack_top:
	.globl entry_ebx
entry_ebx:
	.skip 4
probe_esp:
	.skip 4
probe_active:
	.skip 4
	.globl probe_kind, probe_value, probe_address
probe_kind:
	.skip 4
probe_value:
	.skip 4
	.balign 8
probe_address:
	.skip 8
	.globl invpcid_descriptor
invpcid_descriptor:
	.skip 16
	.globl seen_vector, seen_error, seen_rip, seen_cr2, seen_value
seen_rip:
	.skip 8
seen_cr2:
	.skip 8
seen_vector:
	.skip 4
seen_error:
	.skip 4
seen_value:
	.skip 4

	.section .note.GNU-stack, "", @progbits
