/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides scripts: any bytes are one. They say what the OS of the simulated machine does: requests of all kinds, reads and writes,
 * CPUs going offline and coming back; and how the CPUs take turns. Every rule that is broken ends the program.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SCRIPT_TURNS 12u

/* In the first byte, which is about the machine: its CPUs. Restless ones: others run within each operation, and beside it. */
#define SCRIPT_CPUS 0x0cu
#define SCRIPT_RESTLESS 0x04u
#define SCRIPT_ONE_STAYS_OUT 0x0cu

/*
 * An operation: a byte, modulo SCRIPT_KINDS, from this one of the list to the next; a byte with the CPU (bits 0-1), whether others may
 * run within it (bit 2), and how many turns what went before has had by then (bits 3-7 less SCRIPT_TURNS; below: all); its
 * arguments.
 */
enum script_kind {
	SCRIPT_REQUEST = 0, /* an operation of the ABI, with arguments steered to what may be */
	SCRIPT_WILD = 14,   /* any registers */
	SCRIPT_ADVANCE = 16,/* what a tool would ask next */
	SCRIPT_VISITS = 32, /* all CPUs */
	SCRIPT_WRITE = 35,
	SCRIPT_FILL = 43,
	SCRIPT_READ = 47,
	SCRIPT_OFFLINE = 51,
	SCRIPT_START = 52,
	SCRIPT_ARRIVE = 54,
	SCRIPT_KEXEC = 56,
	SCRIPT_CMOS = 57,
	SCRIPT_EOI = 58,
	SCRIPT_EXIT = 60,
	SCRIPT_DEAF = 62,
	SCRIPT_TABLES = 63,
	SCRIPT_KINDS
};

/* A new machine; the script; and back to NATIVE, where every byte has to be at home. */
void script_run(const uint8_t *data, size_t bytes);

/* What scripts have done so far, for a look at what they reach. */
struct script_counts {
	uint64_t requests, accepted, beside, in_flight, writes, turns, displaced, shared, native;
	uint64_t lost_images; /* a reader was told that there were too few frames */
	uint64_t ops[32];
};

extern struct script_counts script_counts;
