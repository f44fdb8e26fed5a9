/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the OS of the simulated machine: programs that read and write its memory through the CPUs' TLBs, and a shadow of all that
 * they wrote. Pages that it has lent it leaves alone.
 */
#pragma once

#include "sim.h"

/* Memory as at the start of every script. */
void os_reset(void);

/* RAM that it has not lent. */
bool os_uses(uint64_t address);

/* Compares what a CPU behind the map would see with the shadow; only while the lock is free. `at_rest`: nothing may be absent. */
void os_check(bool at_rest);

/* The same of the machine's memory itself: nothing is in the access path. */
void os_check_native(void);

/* Programs: argument[0] is an address in a page that the OS uses. Write 8 bytes; fill the page with one of a few patterns; read. */
void os_task_write(struct cpu *cpu, struct sim_task *task);
void os_task_fill(struct cpu *cpu, struct sim_task *task);
void os_task_read(struct cpu *cpu, struct sim_task *task);

/* A device's write: every byte becomes another, in memory at `at` and in what is known of the page; its read, of 8 bytes. */
void os_device_write(uint64_t address, uint64_t at, uint32_t bytes);
void os_device_reads(uint64_t address, uint64_t at);

/* Puts pages offline before it asks to lend them. What was offline by then is remembered until the answer. */
void os_begin_lending(uint64_t start, uint64_t end);
void os_end_lending(bool lent);

/* Now is a watch's instant, or will be before anybody writes. */
void os_note_instant(void);
/* Whether `bytes` are the page's as they were then; true where nobody can know: a device has written to it since, or it was let go. */
bool os_was(uint64_t address, const uint8_t *bytes);
/* Scrim need not know any more. */
void os_let_go(uint64_t address);
/* A CPU has written to it since. */
bool os_is_written(uint64_t address);
/* Counts instants. */
uint64_t os_instants(void);

/* [start, end) is back: whatever stands there now is its contents. All that is lent, after a kexec. */
void os_take_back(uint64_t start, uint64_t end);
