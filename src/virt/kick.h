/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides kicks: the way one CPU makes the others do something at once, by NMI. Four things need it: a CPU that parks or is
 * about to start (the others must guard it), pages being moved, links of V2M tables, a meeting. Switching memory virtualization never kicks.
 */
#pragma once

#include "virt/machine.h"

enum kick_request {
	KICK_FLUSH = 1, /* forget every translation */
	KICK_APPLY = 2, /* take on what the machine's state asks */
	KICK_MEET = 4,  /* come to the meeting (meet.h) */
};

#define KICK_EVERYBODY (~0ull)

/*
 * Every other CPU that may execute the OS's code does what `request` says before it executes any more of it; returns when
 * all have. Machine lock held by `self`. A CPU that does not answer a KICK_APPLY for 10 s is outside Scrim: it is counted as
 * lost, never waited for again, and from then on no page is moved.
 */
void kick_others(struct cpu *self, enum kick_request request);

/* The same of those of `who`, by their numbers modulo 64. */
void kick_those(struct cpu *self, enum kick_request request, uint64_t who);

/* Asks the same and does not wait. Returns how many CPUs were asked. Machine lock held. */
uint32_t kick_call_others(struct cpu *self, enum kick_request request);

/* Makes a CPU exit, for no request. The calling one: before it executes any more of the OS's code, behind what its VMRUN delivers. */
void kick_out(struct cpu *target);

/* Does what others have asked of this CPU. In every exit, and wherever a CPU waits. */
void kick_serve(struct cpu *self);

/* An NMI has been taken by this CPU: true if it was a kick. */
bool kick_took_nmi(struct cpu *self);
