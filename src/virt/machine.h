/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the one machine: its CPUs, its memory's state, the lock that serializes every change. */
#pragma once

#include "hw/acpi.h"
#include "hw/lock.h"
#include "mem/mem.h"
#include "mem/scatter.h"
#include "mem/share.h"
#include "mem/watch.h"
#include "virt/cpu.h"
#include "virt/dma.h"
#include "xlat/xlat.h"

struct machine_memory {
	uint64_t own_start, own_end;       /* all that is reserved */
	uint64_t image_bytes;
	uint64_t frames_start, frames_end; /* boot reserve of free frames, at the end of it */
	uint64_t startup_page;
	uint64_t reserve_bytes;            /* of it, what reserve= asked for: tables and frames */
	uint64_t v2m_bytes;                /* of it, what shadow= asked for, of all CPUs */
};

struct machine_counters {
	uint64_t switches, kicks, flushes, cpus_lost;
	uint64_t kicks_out; /* atomic */
	uint64_t batches; /* and single pages, which are a batch of one */
	struct mem_moved unshared; /* by writes */
};

/* The operation that last changed something, for `status`. */
struct machine_operation {
	enum scrim_op op;
	struct mem_moved moved;
	uint64_t moved_before; /* pages, by all operations before it */
	uint64_t start_tsc, end_tsc, longest_exit_tsc;
	bool running;
};

struct machine_homecoming {
	bool whole;
	struct range portion; /* else */
};

struct machine {
	struct lock lock; /* taken by machine_lock() and machine_lock_first() only */
	uint32_t lock_urgent; /* CPUs that want it before all others */
	const struct vendor_ops *vendor;
	uint32_t cpu_count;
	struct cpu *cpu;  /* cpu_count of them */
	uint32_t arrived; /* CPUs that have arrived */
	bool guard;       /* CPU start-up is guarded: not every CPU that firmware lists has arrived, or one is about to start */
	bool starting;    /* the OS has written the CMOS's shutdown code and not cleared it: it is about to send INIT */
	enum scrim_state state; /* the memory's, never GUARDED */
	enum scrim_backend backend; /* how CPUs translate for the memory's sake, once visited */
	bool is_tcg;      /* the CPUs are emulated by QEMU */
	uint32_t waiting_for_batches; /* CPUs; no batch begins meanwhile */
	bool tracing;     /* written under the lock, read without it */
	bool map_late;    /* the Identity root lives only while it is needed */
	struct xlat xlat;
	struct machine_dma dma;
	struct mem mem;
	struct watch watch;
	struct machine_homecoming homecoming; /* REMAPPING: what it is about */
	struct range aim;           /* what the next scatter or share is about; empty: nothing is */
	struct mem_scatter scatter; /* none is under way while it has no pages */
	uint64_t scattered;         /* pages it has moved */
	struct mem_share share;     /* none is under way while next is last */
	uint64_t *share_slots;      /* its memory, share_slot_count of them, a power of two */
	uint64_t share_slot_count;
	struct range_list os_ram;   /* normalized, RAM only */
	struct range_list dma_free; /* normalized */
	struct machine_memory memory;
	struct machine_counters count;
	struct machine_operation last;
};

extern struct machine machine;

/*
 * Takes the machine lock; while it waits, `self` serves the kicks of the CPU that holds it. Not a ticket lock: a waiter may
 * be taken away by INIT, and its ticket would never be called.
 */
void machine_lock(struct cpu *self);
/* Only where it is free. */
bool machine_try_lock(void) MUST_CHECK;
/* The same, before all CPUs that wait in machine_lock(). */
void machine_lock_first(struct cpu *self);
void machine_unlock(void);
