/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into the guest and out of it. The hardware switches rip, rsp, rflags, segments, CR0, CR3, CR4, DR7 and EFER (SDM vol. 3, 26.3, 27.3);
 * the general registers are exchanged here. All else is the OS's in the CPU all the time: FPU, CR2, debug registers, the other MSRs.
 *
 * An NMI is held back by nothing while the CPU is in Scrim. One that comes between the last look at what is asked of this CPU
 * and the entry would be answered only in the next exit: so whatever it interrupts there begins again (vmx_nmi_in_vmm()). Until then nothing has
 * been changed but registers that are loaded anew.
 */
#define RCX 0
#define RDX 8
#define RBX 16
#define RBP 24
#define RSI 32
#define RDI 40
#define R8 48
#define R9 56
#define R10 64
#define R11 72
#define R12 80
#define R13 88
#define R14 96
#define R15 104
#define RAX 112
#define REQUEST 136
#define NMI_IN_VMM 140
#define ENTERED 144

#define VMCS_HOST_RSP 0x6c14
#define VMCS_HOST_RIP 0x6c16

	.text
	.globl vmx_run, vmx_window_start, vmx_window_end
	.type vmx_run, @function
vmx_run:				/* rdi = struct cpu */
	andq $-16, %rsp
	pushq %rdi
	movl $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	jbe 4f
	leaq vmx_exited(%rip), %rcx
	movl $VMCS_HOST_RIP, %eax
	vmwrite %rcx, %rax
	jbe 4f
vmx_window_start:
	movq (%rsp), %rdi
	cmpl $0, REQUEST(%rdi)
	jne 3f
	cmpl $0, NMI_IN_VMM(%rdi)
	jne 3f
	cmpl $0, ENTERED(%rdi)		/* the flags stay until the jump */
	movq RAX(%rdi), %rax
	movq RCX(%rdi), %rcx
	movq RDX(%rdi), %rdx
	movq RBX(%rdi), %rbx
	movq RBP(%rdi), %rbp
	movq RSI(%rdi), %rsi
	movq R8(%rdi), %r8
	movq R9(%rdi), %r9
	movq R10(%rdi), %r10
	movq R11(%rdi), %r11
	movq R12(%rdi), %r12
	movq R13(%rdi), %r13
	movq R14(%rdi), %r14
	movq R15(%rdi), %r15
	movq RDI(%rdi), %rdi
	je 1f
	vmresume
	jmp 2f
1:	vmlaunch
vmx_window_end:
2:	movq (%rsp), %rdi		/* it has failed: rsp is the one of here */
4:	andq $-16, %rsp
	call vmx_entry_failed
3:	subq $8, %rsp
	call vmx_before_entry
	addq $8, %rsp
	jmp vmx_window_start

	.type vmx_exited, @function
vmx_exited:
	xchgq %rdi, (%rsp)		/* rdi = struct cpu; the guest's waits on the stack */
	movq %rax, RAX(%rdi)
	movq %rcx, RCX(%rdi)
	movq %rdx, RDX(%rdi)
	movq %rbx, RBX(%rdi)
	movq %rbp, RBP(%rdi)
	movq %rsi, RSI(%rdi)
	movq %r8, R8(%rdi)
	movq %r9, R9(%rdi)
	movq %r10, R10(%rdi)
	movq %r11, R11(%rdi)
	movq %r12, R12(%rdi)
	movq %r13, R13(%rdi)
	movq %r14, R14(%rdi)
	movq %r15, R15(%rdi)
	popq %rax
	movq %rax, RDI(%rdi)
	pushq %rdi
	subq $8, %rsp
	call vmx_handle_exit
	addq $8, %rsp
	jmp vmx_window_start

/* The stack is aligned when the CPU has pushed five words (SDM vol. 3, 6.14.2), and again behind these nine. */
	.globl vmx_idt_nmi
	.type vmx_idt_nmi, @function
vmx_idt_nmi:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	leaq 72(%rsp), %rdi		/* rip */
	call vmx_nmi_in_vmm
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	iretq

	.section .note.GNU-stack, "", @progbits
