/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides AMD's side of the vendor seam, and what its files share. */
#pragma once

#include "svm/vmcb.h"
#include "virt/machine.h"
#include "virt/vendor.h"

extern const struct vendor_ops svm_vendor;

/* Pages of own_alloc() for one CPU, and for the permission maps that all CPUs share. */
#define SVM_CPU_BYTES (2 * PAGE_SIZE)       /* VMCB, host save area */
#define SVM_IOPM_BYTES (3 * PAGE_SIZE)      /* 15.10.1 */
#define SVM_MSRPM_BYTES (2 * PAGE_SIZE)     /* 15.11 */
#define SVM_SHARED_BYTES (SVM_IOPM_BYTES + 2 * SVM_MSRPM_BYTES)

/* Builds the permission maps and every CPU's VMCB. After own_init(), before any CPU is enabled. */
void svm_init(void);

static inline struct vmcb *svm_vmcb(const struct cpu *cpu)
{
	return (struct vmcb *)(uintptr_t)cpu->control_block;
}

/* svm_vmcb.c: vendor operations on the control block. */
void svm_reset_to_entry(struct cpu *cpu, const struct guest_entry *entry);
void svm_reset_to_startup(struct cpu *cpu, uint8_t vector);
void svm_set_translating(struct cpu *cpu, bool on);
void svm_flush(struct cpu *cpu);
void svm_intercept_apic_msrs(struct cpu *cpu, bool on);
void svm_intercept_cr3_load(struct cpu *cpu, bool on);

/* Behind the instruction that exited: its length, and what else its end implies (15.21.5; vol. 1, 3.1.4). */
void svm_skip(struct cpu *cpu, uint64_t next_rip);
void svm_inject_exception(struct cpu *cpu, uint32_t vector, bool has_error);

/* svm_entry.S: loads what VMRUN does not, runs the guest for ever. */
void NORETURN svm_run(struct cpu *cpu);

/* svm_exit.c: one exit; returns when the guest may go on. */
void svm_handle_exit(struct cpu *cpu);

/* svm_msr.c */
void svm_on_msr(struct cpu *cpu);

/* svm_nmi.c */
void svm_on_nmi(struct cpu *cpu);
void svm_on_iret(struct cpu *cpu);
void svm_on_debug(struct cpu *cpu);
void svm_on_step_fault(struct cpu *cpu);

/*
 * svm_insn.c: the OS's instruction at rip. Read before this exit waits for anything: a CPU that waits answers flushes, and behind a
 * flush the page with the instruction may be on its way elsewhere.
 */
/* rip behind a two-byte instruction without operands (0F xx), any prefixes before it. */
uint64_t svm_insn_next_of_0f(const struct cpu *cpu);
/* MOV CR3, reg: the value and the next rip. */
bool svm_insn_mov_to_cr3(const struct cpu *cpu, uint64_t *value, uint64_t *next_rip);
/* A 32-bit store to a register of the APIC's page: the new value and the next rip. False: unknown form. */
bool svm_insn_store(struct cpu *cpu, uint32_t apic_reg, uint32_t *value, uint64_t *next_rip);
