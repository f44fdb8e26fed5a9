/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides visits: this program goes to each online CPU of the OS in turn and lets that CPU switch itself, in the exit
 * of its own request. Nothing is stopped and no CPU is interrupted for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu_list.h"
#include "session.h"

/* Replaced by a fake machine in unit tests. */
struct cpu_ops {
	int (*online)(void *context, struct cpu_list *list); /* fills the empty `list`: 0 or an errno */
	int (*enter)(void *context, unsigned cpu);           /* from now on this thread runs there: 0 or an errno */
	void (*leave)(void *context);                        /* this thread may run again where it could before */
	long (*number_of)(void *context, uint32_t apic_id);  /* the OS's number of an online CPU, or -1 */
	void (*pause_ms)(void *context, unsigned milliseconds);
};

extern const struct cpu_ops linux_cpus;

enum visit_outcome {
	VISIT_DONE = 0,
	VISIT_STUCK,      /* a CPU cannot be visited; `why` is "cause; what to do" */
	VISIT_INTERRUPTED /* by a signal, between two requests */
};

/* Long enough for every `why`. */
#define VISIT_WHY 384

/* Visits each online CPU once, as far as possible, so that guards that have ended are settled. */
void visit_settle(const struct session *session);

/*
 * Finds out, changing no CPU's mode beyond that, whether every CPU that Scrim counts in the OS can be visited. Waits a
 * little for CPUs that are coming online.
 */
enum visit_outcome visit_try(const struct session *session, char why[VISIT_WHY]) MUST_CHECK;

/*
 * In COMMENCING and CEASING: visits every CPU, again in a bounded number of rounds where CPUs came online meanwhile,
 * until Scrim says that all have switched. Ends early by a signal only if `heed_signals`.
 */
enum visit_outcome visit_switch(const struct session *session, bool heed_signals, char why[VISIT_WHY]) MUST_CHECK;
