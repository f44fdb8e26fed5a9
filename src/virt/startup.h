/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the start of CPUs: Scrim's page below 1 MiB, where every STARTUP IPI lands - Scrim's own at boot, and the OS's,
 * whose vector the guard has replaced.
 */
#pragma once

#include "virt/machine.h"

/* Puts the real-mode code into the start-up page. Scrim's page tables are at `cr3`, below 4 GiB. */
void startup_install(uint64_t page, uint64_t cr3);

/* Bytes that one CPU takes of own_alloc(). */
uint64_t startup_cpu_bytes(void);

/* Gives `cpu` its stack. */
void startup_prepare_cpu(struct cpu *cpu);

/* NULL: firmware does not list it. */
struct cpu *startup_find_cpu(uint32_t apic_id);

/*
 * Starts every other CPU that firmware lists, one after another, and lets it find out whether it can be virtualized; those that can
 * wait, halted, for the OS's INIT. NULL, or the line to print: which CPU did not start, or cannot serve and why.
 */
const char *startup_all_cpus(char *line, size_t size);

/* Puts every CPU that has been started back to where INIT leaves it: Scrim's memory will not be its own any more. */
void startup_stop_cpus(void);

/* Called from startup.S on the new CPU's own stack. */
void NORETURN startup_main(struct cpu *cpu);
