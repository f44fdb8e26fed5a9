/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the guard of CPU start-up (state GUARDED): while a CPU that firmware lists is not in the OS, every CPU that is
 * translates through the map with the local APIC's page read-only, so that INIT and STARTUP come past Scrim.
 *
 * Life of a CPU:  waiting --INIT,STARTUP--> starting --first CR3 load with paging on--> arrived --WBINVD with its APIC
 * off--> parked --INIT,STARTUP--> starting ...; a CR3 load with an empty IDT (kexec) parks all the others at once. The guard also
 * stands from the CMOS's shutdown code, which an OS sets before it starts a CPU, until it is cleared.
 */
#pragma once

#include "virt/machine.h"

/* The CMOS's data; its address port is not looked at. */
#define CMOS_DATA_PORT 0x71u

/* In an exit of this CPU: it takes on what guard and memory state ask of it. The one place where a CPU switches. */
void guard_apply(struct cpu *self);

/* The APIC page's entry in the map follows state and guard. Machine lock held; the caller flushes where rights shrink. */
void guard_trap_apic(void);
/* `page` is the APIC's, and writes to it are the guard's. Machine lock held, or for a first look. */
bool guard_traps_apic(gfn_t page);

/*
 * A write to the APIC's page, or to x2APIC's ICR or EOI (`reg` is the xAPIC's offset), which Scrim does for the OS. False: the
 * CPU refuses it with #GP.
 */
bool guard_apic_write(struct cpu *self, uint32_t reg, uint64_t value);

/*
 * Exits of this CPU, all before the instruction: a CR3 load with paging on; LIDT; WBINVD. None of them does the
 * instruction's work.
 */
void guard_on_cr3_load(struct cpu *self);
void guard_on_lidt(struct cpu *self);
void guard_on_wbinvd(struct cpu *self);

/* Exit of this CPU before it switches its paging off, which it can do behind the map alone: it executes there. */
void guard_on_paging_off(struct cpu *self);

/* Exit of this CPU before it writes `value` to the CMOS: from Linux's do_boot_cpu, the first and the last thing it does. */
void guard_on_cmos_write(struct cpu *self, uint8_t value);

/* This CPU begins its life in the OS, from Scrim's start-up code. */
void guard_on_start(struct cpu *self);

/* In an exit of this CPU, where virtualization holds INIT back: it switches that off and halts, until INIT comes. */
void NORETURN guard_leave(struct cpu *self);

/* Beginning of an exit: waits while another CPU is about to send this one INIT. */
void guard_wait_held_off(struct cpu *self);

/* As `status` shows them. */
enum scrim_cpu_mode guard_cpu_mode(const struct cpu *cpu);
enum scrim_state guard_machine_state(void);
