/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a fake machine for tests of scrimctl: a Scrim that behaves as abi/scrim_abi.h says, on an OS whose CPUs can
 * be offline or out of reach, and faults at any request. It fails the test where the tool breaks the interface's rules.
 */
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_memory.h"
#include "fake_watch.h"
#include "request.h"
#include "visit.h"

#define FAKE_CPUS 6

/* How the fake leaves the test's process when the tool is "killed". */
#define FAKE_KILLED 99

struct fake_cpu {
	uint32_t apic_id;
	enum scrim_cpu_mode mode;
	unsigned os_number;
	bool online;             /* as the OS lists it */
	unsigned blocked_states; /* bit per scrim_state: sched_setaffinity fails then */
	bool switched;
	bool guard_over;
	unsigned visits;
	uint64_t stalls;
	unsigned events; /* of the trace, that have yet to be taken */
	uint64_t backend;
	uint64_t exits[SCRIM_EXIT_COUNT];
};

struct fake {
	/* The OS */
	int open_error;
	bool root;
	const char *lockdown; /* NULL: cannot be read */
	int online_error;
	int blocks_error;
	unsigned block_changes;    /* blocks put on- or offline */
	unsigned kill_at_block;    /* the tool dies before its n-th such change; 0: never */
	unsigned signal_at_block;  /* a signal cuts the n-th */
	unsigned os_cpu_at; /* index of the CPU that runs the tool */
	bool pinned;
	unsigned columns;
	bool terminal;
	unsigned pauses;
	unsigned online_at_pause; /* 1 + CPU index that comes online in the first pause */

	/* Scrim */
	bool absent;
	uint32_t absent_reads; /* what the port reads then */
	uint64_t abi;
	enum scrim_state state; /* of the memory: never GUARDED */
	uint64_t backend;       /* enum scrim_backend: as it was asked for */
	bool no_shadow;         /* there is no memory for V2M tables */
	struct fake_cpu cpus[FAKE_CPUS];
	unsigned cpu_count;
	struct fake_memory memory;
	struct fake_watch watch;
	uint64_t pause_us; /* the estimate */
	uint64_t tsc_hz;
	enum scrim_iommu iommu;
	uint64_t iommu_faults;
	uint64_t last_op;
	uint64_t batches;
	bool tracing;
	unsigned trace_events; /* of each CPU, at START */
	uint64_t trace_ring, trace_lost;
	enum scrim_violation violation;

	/* Faults */
	unsigned requests;
	unsigned kill_at;   /* the tool dies before its n-th request; 0: never */
	unsigned signal_at; /* a signal comes at its n-th request */
	volatile sig_atomic_t interrupted;
	bool refuse;
	enum scrim_op refuse_op;
	uint32_t refuse_status;
	uint64_t refuse_result0;
	bool never_zero; /* VISIT always says that one CPU is left */
	bool flicker;    /* another program undoes each change */
	bool beaten;     /* another program virtualizes just before this one asks for it */
};

extern const struct port_ops fake_port;
extern const struct cpu_ops fake_cpu_ops;
extern const struct block_ops fake_block_ops;

/* NATIVE, four CPUs in the OS, one never started, no page displaced. */
void fake_reset(struct fake *fake);

/* What SCRIM_INFO_STATE reads: NATIVE is GUARDED while a CPU is behind a guard. */
enum scrim_state fake_state(const struct fake *fake);

/* Puts the machine into VIRTUALIZED, all RAM managed, with that many pages from FAKE_DMA_FREE_START on displaced. */
void fake_virtualize(struct fake *fake, unsigned displaced);
void fake_begin(struct fake *fake, enum scrim_state state);
