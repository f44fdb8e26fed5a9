/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides AMD's side of the vendor seam, and what its files share. */
#pragma once

#include "svm/vmcb.h"
#include "virt/guest_insn.h"
#include "virt/machine.h"
#include "virt/vendor.h"

extern const struct vendor_ops svm_vendor;

/* Pages of own_alloc() for one CPU, and for the permission maps that all CPUs share. */
#define SVM_CPU_BYTES (2 * PAGE_SIZE)       /* VMCB, host save area */
#define SVM_IOPM_BYTES (3 * PAGE_SIZE)      /* 15.10.1 */
#define SVM_MSRPM_BYTES (2 * PAGE_SIZE)     /* 15.11 */
#define SVM_SHARED_BYTES (SVM_IOPM_BYTES + 3 * SVM_MSRPM_BYTES)

/* Builds the permission maps and every CPU's VMCB. After own_init(), before any CPU is enabled. */
void svm_init(void);

static inline struct vmcb *svm_vmcb(const struct cpu *cpu)
{
	return (struct vmcb *)(uintptr_t)cpu->control_block;
}

/* svm_vmcb.c: vendor operations on the control block. */
void svm_reset_to_entry(struct cpu *cpu, const struct guest_entry *entry);
void svm_reset_to_startup(struct cpu *cpu, uint8_t vector);
void svm_set_backend(struct cpu *cpu, enum scrim_backend to);
void svm_flush(struct cpu *cpu);
void svm_intercept_apic_msrs(struct cpu *cpu, bool on);
void svm_intercept_cr3_load(struct cpu *cpu, bool on);
/* svm_state.c: vendor operations that read the OS's registers. */
void svm_save_registers(struct cpu *cpu, uint64_t *to);
bool svm_guest_access(const struct cpu *cpu, struct guest_paging *paging, struct guest_access *access);
/* svm_vmcb.c: what exits, by the CPU's mode, whether its CR3 loads are watched, and whether it steps over an IRET. */
void svm_set_intercepts(struct cpu *cpu);

/* Behind the instruction that exited: its length, and what else its end implies (15.21.5; vol. 1, 3.1.4). */
void svm_skip(struct cpu *cpu, uint64_t next_rip);
void svm_inject_exception(struct cpu *cpu, uint32_t vector, bool has_error);

/* svm_entry.S: loads what VMRUN does not, runs the guest for ever. */
void NORETURN svm_run(struct cpu *cpu);

/* svm_exit.c: one exit; returns when the guest may go on. */
void svm_handle_exit(struct cpu *cpu);

/* The OS's triple fault: this CPU shuts down in its stead. */
void NORETURN svm_shut_down(void);

/* svm_paging.c: V2M tables. The OS's CR3 and CR4, which then are not the VMCB's. */
bool svm_is_v2m(const struct cpu *cpu);
bool svm_can_shadow(const struct cpu *cpu);
uint64_t svm_guest_cr3(const struct cpu *cpu);
uint64_t svm_guest_cr4(const struct cpu *cpu);
/* The VMCB's side of going over to them and leaving them. */
void svm_enter_v2m(struct cpu *cpu, uint32_t kept);
void svm_leave_v2m(struct cpu *cpu);
void svm_on_page_fault(struct cpu *cpu);
void svm_on_cr_read(struct cpu *cpu, uint32_t number);
void svm_on_invlpg(struct cpu *cpu);
/* MOV CR3 is done for the OS, in whatever mode. */
void svm_load_cr3(struct cpu *cpu, uint64_t value, uint64_t next_rip);
/* The OS's own instruction does it, unseen. */
void svm_let_cr3_load(struct cpu *cpu);
/* EFER.NXE has changed. */
void svm_efer_changed(struct cpu *cpu);

/* svm_msr.c */
void svm_on_msr(struct cpu *cpu);

/* svm_nmi.c */
void svm_on_nmi(struct cpu *cpu);
void svm_on_iret(struct cpu *cpu);
void svm_on_debug(struct cpu *cpu);
void svm_on_step_fault(struct cpu *cpu);

/* svm_insn.c: the OS's instruction at rip (virt/guest_insn.h), and what it leaves behind: registers, the next rip. */
struct guest_insn svm_insn(const struct cpu *cpu);
void svm_insn_done(struct cpu *cpu, const struct guest_insn *insn);
/* rip behind a two-byte instruction without operands (0F xx), any prefixes before it. */
uint64_t svm_insn_next_of_0f(const struct cpu *cpu);
/* Between an STI and the instruction behind it: back before the STI. */
void svm_insn_back_to_sti(struct cpu *cpu);
