/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what Scrim knows of one CPU. A CPU's own fields are written by that CPU alone, in its exits; the fields that
 * others write are marked, and say under what.
 */
#pragma once

#include "base/types.h"
#include "scrim_abi.h"

struct mem_batch;
struct v2m;

/* The OS's registers that the hardware does not switch; rsp is in the vendor's control block, and with AMD rax as well. */
struct guest_registers {
	uint64_t rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rax;
};

/* Where the OS's NMI handling stands (svm_nmi.c). */
struct nmi_state {
	bool masked;        /* the OS is in its NMI handler: next IRET ends it */
	bool waiting;       /* one more has come meanwhile: the single pending bit of the hardware */
	bool stepping;      /* that IRET is being stepped over */
	bool iret_let_go;   /* the IRET's exit has been taken; it may not have executed yet */
	uint64_t iret_rip, iret_rsp;
	uint64_t saved_dr6;
};

/* abi/scrim_abi.h has the two words. */
struct trace_event {
	uint64_t start_tsc, what;
};

/* trace.c says who writes what. */
struct trace_ring {
	struct trace_event *event; /* `size` of them, a power of two or 0 */
	uint64_t size, written, taken;
	uint64_t lost, lost_before;
};

/* Waits for a page of a batch, since boot. */
struct stalls {
	uint64_t count, tsc, longest_tsc;
};

struct cpu {
	/* Offsets down to nmi_in_vmm are known to assembly. */
	struct guest_registers regs; /* first */
	uint64_t control_block;      /* machine address of the VMCB or VMCS */
	uint64_t stack_top;
	/* Written by others, atomically: kicks (kick.c). */
	uint32_t request;    /* enum kick_request bits */
	/* With Intel, where no NMI waits for the OS to run again: one of the OS's has come while the CPU was in Scrim (vmx_nmi.c). */
	uint32_t nmi_in_vmm;
	uint32_t entered;    /* the hardware has run this control block before */

	uint32_t index, apic_id;

	/* How far it is in its life. Written by itself, or by the CPU that sends it INIT or STARTUP, under the machine lock. */
	bool ready;     /* Scrim has started it and found that it can serve */
	bool started;   /* the OS has started it: it may execute the OS's code */
	bool arrived;   /* it is in the OS's own paging: start-up needs no guard any more */
	bool parked;    /* it was, and the OS has taken it offline or handed the machine to another kernel */
	uint8_t start_vector;
	/* The memory state asks it to translate. Written by itself, or under the machine lock while it has not arrived. */
	bool memory_on;
	enum scrim_backend backend; /* how it is to translate then; of these two the latter is what its control block does now */
	enum scrim_backend mode;
	bool translating; /* mode is not NATIVE */
	bool step_aside;  /* till the end of this exit: the next instruction is one for the hardware alone */
	bool guarded_msrs;/* x2APIC's ICR is intercepted */
	bool watching_cr3;/* LIDT was executed: the next CR3 load tells whether the OS gives the machine up (kexec) */

	/* Written by others, atomically: kicks (kick.c) and INIT. */
	uint32_t in_vmm;
	uint32_t nmi_sent;/* a kick's NMI is on its way and has not been taken */
	uint32_t held_off;/* INIT is about to be sent to it: enum held_off (guard.c) */

	struct v2m *v2m;        /* its tables of the back-ends shadow and vtlb; NULL: no memory for them */
	bool heeds_links;       /* it uses them and goes on to: no link is made while a CPU in the OS does not. Atomic */
	uint64_t guest_cr4;     /* while they are in use: the OS's own */
	bool cr3_watched;       /* vendor's: the next CR3 load exits for the guard */
	struct mem_batch *batch; /* the pages that this CPU is moving */
	uint64_t pat_at_switch; /* the PAT MSR when it began to translate (svm_vmcb.c) */
	struct nmi_state nmi;
	uint64_t exits[SCRIM_EXIT_COUNT];
	uint64_t nmis_passed;
	uint64_t exit_start_tsc;
	struct stalls stalls;   /* by itself; others read: a count may be a moment old */
	struct trace_ring trace;
	bool untraced;          /* this exit is no event: it takes events out of a ring */
	uint64_t saved[SCRIM_REG_COUNT]; /* at the last instant that asked for it (meet.h) */
	bool has_saved;
};

_Static_assert(offsetof(struct cpu, regs) == 0, "svm_entry.S, vmx_entry.S");
_Static_assert(offsetof(struct guest_registers, rax) == 112, "vmx_entry.S");
_Static_assert(offsetof(struct cpu, control_block) == 120, "svm_entry.S");
_Static_assert(offsetof(struct cpu, stack_top) == 128, "startup.S");
_Static_assert(offsetof(struct cpu, request) == 136, "vmx_entry.S");
_Static_assert(offsetof(struct cpu, nmi_in_vmm) == 140, "vmx_entry.S");
_Static_assert(offsetof(struct cpu, entered) == 144, "vmx_entry.S");
