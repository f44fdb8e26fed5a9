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

#include "request.h"
#include "visit.h"

#define FAKE_CPUS           6
#define FAKE_PAGES          400
#define FAKE_RAM_START      0x100000u
#define FAKE_RAM_END        0x240000000ull
#define FAKE_DMA_FREE_START 0x20000000u
#define FAKE_FRAME          0x7f000000u

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
	uint64_t exits[SCRIM_EXIT_COUNT];
};

struct fake {
	/* The OS */
	int open_error;
	bool root;
	const char *lockdown; /* NULL: cannot be read */
	int online_error;
	unsigned os_cpu_at; /* index of the CPU that runs the tool */
	bool pinned;
	unsigned pauses;
	unsigned online_at_pause; /* 1 + CPU index that comes online in the first pause */

	/* Scrim */
	bool absent;
	uint32_t absent_reads; /* what the port reads then */
	uint64_t abi;
	enum scrim_state state; /* of the memory: never GUARDED */
	struct fake_cpu cpus[FAKE_CPUS];
	unsigned cpu_count;
	uint64_t pages[FAKE_PAGES]; /* displaced */
	uint64_t displaced;
	uint64_t frames_free;
	uint64_t tsc_hz;
	uint64_t last_op;
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

/* NATIVE, four CPUs in the OS, one never started, no page displaced. */
void fake_reset(struct fake *fake);

/* What SCRIM_INFO_STATE reads: NATIVE is GUARDED while a CPU is behind a guard. */
enum scrim_state fake_state(const struct fake *fake);

/* Puts the machine into VIRTUALIZED with that many pages displaced. */
void fake_virtualize(struct fake *fake, unsigned displaced);
void fake_begin(struct fake *fake, enum scrim_state state);
