/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the seam between Scrim's logic and the CPU vendor's virtualization: all that src/virt asks of src/svm or src/vmx. */
#pragma once

#include "virt/cpu.h"
#include "xlat/guest_mmu.h"
#include "xlat/xlat.h"

/* The OS's registers at its entry, 32-bit protected mode, flat, paging off. */
struct guest_entry {
	uint32_t rip, rax, rbx, rsi, rsp;
	uint64_t gdt;       /* machine address of a GDT with flat 0x10 (code) and 0x18 (data) */
	uint16_t gdt_bytes;
};

struct vendor_ops {
	enum scrim_vendor id;
	/* Pages of own_alloc() for one CPU's control block, and for what all share. */
	uint64_t cpu_bytes, shared_bytes;
	const struct xlat_format *nested_format; /* of the tables that the hardware walks for SCRIM_BACKEND_NESTED */
	enum memory_type (*memory_type)(void *context, uint64_t start, uint64_t bytes); /* xlat.h; where that format asks for it */
	bool unpaged_needs_map; /* a CPU whose paging is off runs behind the map alone */
	/* The calling CPU is this vendor's, as far as virtualization goes. */
	bool (*is_there)(void);
	/* NULL, or why the calling CPU cannot be virtualized (one line's worth). Changes nothing. */
	const char *(*probe)(void);
	/* The nested tables may have leaves of 1 GiB. */
	bool (*has_1g)(void);
	/* Builds what all CPUs share, and the control blocks. Behind own_init(), before any CPU is enabled. */
	void (*init)(void);
	/* Turns virtualization on for the calling CPU. */
	void (*enable)(struct cpu *cpu);
	/* Turns it off, in an exit, where INIT does not take effect before that. NULL: it does. */
	void (*disable)(struct cpu *cpu);
	/* Sets the calling CPU's guest to the OS's entry; to the state after INIT and STARTUP(vector). */
	void (*reset_to_entry)(struct cpu *cpu, const struct guest_entry *entry);
	void (*reset_to_startup)(struct cpu *cpu, uint8_t vector);
	/* Runs the guest; never returns. */
	void NORETURN (*run)(struct cpu *cpu);
	/* In an exit of this CPU: what stands in its access path from now on, with the flush that this needs. Sets cpu->mode. */
	void (*set_backend)(struct cpu *cpu, enum scrim_backend to);
	/* The OS's registers are such that V2M tables can do: paging on, CR0.WP set, no shadow stacks. In an exit of this CPU. */
	bool (*can_shadow)(const struct cpu *cpu);
	/* In an exit of this CPU: it keeps no translation of any kind past its next entry. */
	void (*flush)(struct cpu *cpu);
	/* In an exit of this CPU: x2APIC's ICR and EOI writes exit (guard), sets cpu->guarded_msrs; the next CR3 load exits. */
	void (*intercept_apic_msrs)(struct cpu *cpu, bool on);
	void (*intercept_cr3_load)(struct cpu *cpu, bool on);
	/* In an exit of this CPU: the OS's registers, SCRIM_REG_COUNT of them. */
	void (*save_registers)(struct cpu *cpu, uint64_t *to);
	/* The same: its paging, and how a data access of the code that exited is made. False: it has no paging. */
	bool (*guest_access)(const struct cpu *cpu, struct guest_paging *paging, struct guest_access *access);
	/* Paging on in the OS on this CPU; limit of its IDT. In an exit of this CPU. */
	bool (*guest_is_paging)(const struct cpu *cpu);
	uint32_t (*guest_idt_limit)(const struct cpu *cpu);
};
