/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the parts of the multiboot test guest to each other. A guest in the manner of the loader's simplest client:
 * 32-bit, flat, no paging, one CPU.
 *
 * Its log on COM1 is the same with Scrim and without, but for lines that begin with "map:", "loader:" or "mem:".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernel/console.h"
#include "../kernel/insn.h"
#include "../kernel/multiboot.h"

/* entry.S */
extern uint32_t entry_eax, entry_ebx, entry_eflags, entry_cr0, entry_cr4;
extern const uint32_t interrupt_stubs[48];
extern uint8_t image_start[], image_end[];
uint64_t long_mode_visit(uint32_t cr3, uint64_t value);

/* loader.c: what the loader gave */
void loader_check(const struct multiboot_info *info);

/* cpu.c: modes, MSRs, CPUID, APIC */
void cpu_check_entry(void);
void cpu_check_paging(void);
void cpu_check_long_mode(void);
void cpu_check_efer(void);
void cpu_check_apic(void);
/* Twice: the second call compares with the first. */
void cpu_check_cpuid(bool again);

/* ram.c: every RAM page of the map but this image and the modules is written and read */
void ram_check(const struct multiboot_info *info);

/* timer.c: the PIT through the PIC and an IDT of its own */
/* From here on an exception ends the guest with a word, not in a reset. */
void timer_load_idt(void);
void timer_check(void);
void guest_interrupt(uint32_t number);
void guest_main(void);
