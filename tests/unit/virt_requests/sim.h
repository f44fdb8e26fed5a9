/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a machine for src/virt on the host: 16 MiB at their own low addresses, since Scrim takes a machine address for a pointer;
 * three CPUs, each with a TLB, which take turns whenever one waits, or locks, or unlocks; their APICs; pages for tables.
 */
#pragma once

#include "virt/machine.h"

#define SIM_CPUS 3u
#define SIM_START KIB(64) /* lower is not for programs */
#define SIM_END MIB(16)
#define SIM_PAGES (SIM_END >> PAGE_SHIFT)
#define SIM_TLB_ENTRIES 32u
#define SIM_APIC 0xfee00000ull
#define SIM_TABLES_MAX 320u

struct sim_config {
	bool has_1g, map_late;
	bool has_iommu;      /* and a device behind it (sim_dma.h) */
	bool last_stays_out; /* the last CPU is not started: the guard stands */
	bool holds_init;     /* virtualization that INIT does not get past */
	uint32_t reserve_frames, tables; /* beyond those of the Identity root */
};

/* What a program on a CPU, or something that happens to it, leads to. */
struct sim_task {
	void (*run)(struct cpu *cpu, struct sim_task *task);
	uint64_t argument[3];
	uint32_t op;     /* of a request: eax */
	bool preempted;  /* others may run at each lock and unlock of it */
};

struct sim_translation {
	bool present, writable;
	uint64_t start, bytes, frame;
};

/* Makes the memory, once; false: the host does not give these addresses. */
bool sim_map_memory(void);

/* A machine as Scrim has booted it: all CPUs that are to be started have arrived in the OS. */
void sim_start(const struct sim_config *config);

/* Stops the program, saying why; calls this before. */
extern void (*sim_at_failure)(void);
void NORETURN sim_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* --- CPUs --- */

bool sim_is_busy(const struct cpu *cpu);

/* True when it executes the OS's code: started, neither parked nor waiting for a STARTUP. */
bool sim_runs_os(const struct cpu *cpu);

/* The CPU is idle and begins with it at its next turn. */
void sim_give(struct cpu *cpu, const struct sim_task *task);

/* So many turns; all of them until every CPU is idle. */
void sim_turns(uint32_t turns);
void sim_finish(void);

/* Counts turns given to CPUs: nobody else has run if it is one more than before. */
uint64_t sim_turn_count(void);

/* The CPU answers nothing for so many turns: it is in firmware (SMM). */
void sim_make_deaf(struct cpu *cpu, uint32_t turns);

/* An exit of this CPU begins; ends as svm_handle_exit() does. */
void sim_exit_begin(struct cpu *cpu);
void sim_exit_end(struct cpu *cpu);

/* By the CPU's TLB, or a walk that it keeps. */
struct sim_translation sim_translate(struct cpu *cpu, uint64_t address);

/* What a CPU does with its entry for an address at a fault there. */
void sim_forget(struct cpu *cpu, uint64_t address);

/* No TLB holds a translation of another size than the tables have now. While the lock is free. */
void sim_check_tlbs(void);

/* A walk as the hardware would, kept by nobody. */
struct sim_translation sim_walk(uint64_t address);

/* Tasks: the OS on this CPU takes it offline; writes INIT and STARTUP for CPU argument[0]; hands the machine to another kernel; ... */
void sim_task_offline(struct cpu *cpu, struct sim_task *task);
void sim_task_start_cpu(struct cpu *cpu, struct sim_task *task);
void sim_task_kexec(struct cpu *cpu, struct sim_task *task);
/* ... loads CR3, which is how a CPU arrives; writes argument[0] to the CMOS; writes its EOI register; exits for nothing. */
void sim_task_arrive(struct cpu *cpu, struct sim_task *task);
void sim_task_cmos(struct cpu *cpu, struct sim_task *task);
void sim_task_eoi(struct cpu *cpu, struct sim_task *task);
void sim_task_exit(struct cpu *cpu, struct sim_task *task);

/* --- tables --- */

/* So many own_table_alloc()s succeed yet, but for those of the Identity root; UINT32_MAX: as many as there are. */
void sim_limit_tables(uint32_t count);

/* Where each CPU's program has IMAGE_READ write: linear addresses from 0 on, in no page of the OS's. */
extern uint8_t sim_buffer[SIM_CPUS][SCRIM_IMAGE_READ_MAX * PAGE_SIZE];
uint32_t sim_tables_out(void);

/* The frame is written to, by the engine or by the OS. Dirty: in this script; fresh: since the last look at all memory. */
void sim_mark_dirty(uint64_t frame_address);
bool sim_is_dirty(uint64_t frame_address);
bool sim_is_fresh(uint64_t frame_address);
void sim_clear_dirty(void);
void sim_clear_fresh(void);
