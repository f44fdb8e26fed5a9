/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the trace: a ring of events for each CPU, filled by itself in its exits and emptied by requests. Nothing is recorded while it is off, and
 * all that this costs is a look at one flag.
 */
#pragma once

#include "virt/machine.h"

/* Gives each CPU its ring, of `bytes`; 0: there is none, and nothing can be traced. Boot only. */
void trace_give_memory(struct cpu *cpu, void *memory, uint64_t bytes);

/* Rings have room for a power of two: of what trace= asks for, so much is used. */
uint64_t trace_ring_bytes(uint64_t bytes);

/* Events that a ring holds. */
uint64_t trace_events(void);

/* Machine lock held. */
void trace_start(void);
void trace_stop(void);

/* Takes the oldest event of that CPU's; false: there is none. Machine lock held. */
bool trace_take(struct cpu *cpu, struct trace_event *event) MUST_CHECK;

/* Events that did not fit since trace_start(). */
uint64_t trace_lost(const struct cpu *cpu);

void trace_record(struct cpu *self, enum scrim_trace_kind kind, uint64_t number, uint64_t start_tsc, uint64_t end_tsc);

static inline bool trace_is_on(void)
{
	return __atomic_load_n(&machine.tracing, __ATOMIC_RELAXED);
}
