/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Intel's side of the vendor seam, and what its files share. Sections in comments are of Intel's SDM, volume 3. */
#pragma once

#include "hw/msr.h"
#include "virt/guest_insn.h"
#include "virt/machine.h"
#include "virt/vendor.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_controls.h"

extern const struct vendor_ops vmx_vendor;

/* Pages of own_alloc() for one CPU, and for the bitmaps that all CPUs share. */
#define VMX_CPU_BYTES (2 * PAGE_SIZE)    /* VMCS, VMXON region */
#define VMX_SHARED_BYTES (6 * PAGE_SIZE) /* 24.6.4, 24.6.9 */

/* Bits of CR4 that the OS is to take for reserved. */
#define VMX_CR4_HIDDEN (CR4_VMXE | CR4_SMXE)

/* Of every CPU. */
extern struct vmx_controls vmx_controls;

/* The current VMCS: that of the calling CPU. A field that there is not is a bug: panics. */
uint64_t vmx_read(enum vmcs_field field);
void vmx_write(enum vmcs_field field, uint64_t value);

/* vmx_bitmaps.c: builds them; tells the VMCS which. */
void vmx_make_bitmaps(void);
void vmx_set_io_bitmaps(void);
void vmx_choose_msr_bitmap(const struct cpu *cpu);

/* vmx_vmcs.c: vendor operations on the control block. */
void vmx_reset_to_entry(struct cpu *cpu, const struct guest_entry *entry);
void vmx_reset_to_startup(struct cpu *cpu, uint8_t vector);
void vmx_set_backend(struct cpu *cpu, enum scrim_backend to);
void vmx_flush(struct cpu *cpu);
/* Of one linear address, whatever it is. */
void vmx_flush_address(struct cpu *cpu, uint64_t linear);
void vmx_intercept_apic_msrs(struct cpu *cpu, bool on);
void vmx_intercept_cr3_load(struct cpu *cpu, bool on);
/* What exits, by the CPU's mode and whether its CR3 loads are watched. */
void vmx_set_intercepts(struct cpu *cpu);
/* Sets or clears bits of the primary controls. */
void vmx_set_primary(uint32_t bits, bool on);

/* Behind the instruction that exited, with what else its end implies (26.3.1.5; vol. 1, 3.1.4). */
void vmx_skip(void);
void vmx_skip_to(uint64_t next_rip);
/* With an error code of 0, where it has one. */
void vmx_inject_exception(uint32_t vector, bool has_error);

/* vmx_state.c: vendor operations that read the OS's registers. */
void vmx_save_registers(struct cpu *cpu, uint64_t *to);
bool vmx_guest_access(const struct cpu *cpu, struct guest_paging *paging, struct guest_access *access);

/* vmx_entry.S: runs the guest for ever. */
void NORETURN vmx_run(struct cpu *cpu);
/* An NMI of the hardware's in Scrim: the IDT's gate. */
void vmx_idt_nmi(void);

/* vmx_exit.c: one exit; what stands between it and the next entry, again after each NMI in Scrim; and an entry that the CPU refused. */
void vmx_handle_exit(struct cpu *cpu);
void vmx_before_entry(struct cpu *cpu);
void NORETURN vmx_entry_failed(struct cpu *cpu);
/* The OS's triple fault: this CPU shuts down in its stead. */
void NORETURN vmx_shut_down(void);
/* The exit came from an IRET that had ended NMI blocking and did not complete, and is made again: with it (27.2.3). */
void vmx_block_nmis_again(bool was_unblocked);

/* General register by its number in an instruction. */
uint64_t vmx_register(const struct cpu *cpu, uint32_t number);
void vmx_set_register(struct cpu *cpu, uint32_t number, uint64_t value);
bool vmx_is_64bit_code(void);
/* The OS's paging, and its instruction at rip (virt/guest_insn.h), and what that leaves behind: registers, the next rip. */
struct guest_paging vmx_paging(const struct cpu *cpu);
struct guest_insn vmx_insn(const struct cpu *cpu);
void vmx_insn_done(struct cpu *cpu, const struct guest_insn *insn);

/* vmx_cr.c */
enum scrim_exit vmx_on_cr_access(struct cpu *cpu);
/* As the OS has them. */
uint64_t vmx_guest_cr0(void);
uint64_t vmx_guest_cr3(const struct cpu *cpu);
uint64_t vmx_guest_cr4(const struct cpu *cpu);

/* vmx_paging.c: V2M tables. */
bool vmx_is_v2m(const struct cpu *cpu);
bool vmx_can_shadow(const struct cpu *cpu);
/* The VMCS's side of going over to them and leaving them. */
void vmx_enter_v2m(struct cpu *cpu, uint32_t kept);
void vmx_leave_v2m(struct cpu *cpu);
void vmx_on_page_fault(struct cpu *cpu);
void vmx_on_invlpg(struct cpu *cpu);
/* MOV CR3 is done for the OS. */
void vmx_load_cr3(struct cpu *cpu, uint64_t value);
/* EFER.NXE has changed. */
void vmx_efer_changed(struct cpu *cpu);

/* vmx_cpuid.c */
void vmx_on_cpuid(struct cpu *cpu);
void vmx_on_xsetbv(struct cpu *cpu);

/* vmx_msr.c */
void vmx_on_msr(struct cpu *cpu, bool is_write);

/* vmx_nmi.c */
void vmx_on_nmi(struct cpu *cpu);
/* Before an entry: what waits goes in, or its window is asked for. */
void vmx_settle_nmi(struct cpu *cpu);
/* From vmx_idt_nmi; *rip is where the NMI has interrupted Scrim. */
void vmx_nmi_in_vmm(uint64_t *rip);
