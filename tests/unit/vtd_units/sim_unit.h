/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides simulated units of VT-d behind mmio_*(). They complain of an access in another width than the register's, of a command that drops
 * what is on or asks for two things at once, of registers used for invalidation while the queue is on, of reserved bits in descriptors, of
 * translation switched on with something stale in a cache, and of tables that are not in memory yet when they are handed over.
 */
#pragma once

#include "boot_bytes.h"
#include "iommu/vtd_registers.h"

#define SIM_UNITS 3u
#define SIM_AT 0xfed90000ull
#define SIM_STRIDE 0x10000ull
#define SIM_IOTLB 0xf0u
#define SIM_FAULTS 0x220u
#define SIM_LOG 16u

struct sim_invalidation {
	uint64_t address;
	uint32_t granularity; /* 1: all, 2: domain, 3: page */
	uint32_t domain;
	bool drains;
};

struct sim_unit {
	const char *fault;
	uint64_t cap, ecap;
	uint32_t gsts, fsts, fectl, pmen;
	uint64_t root, ccmd, iva, iotlb, iqh, iqt, iqa;
	uint32_t record[4][4];
	bool stale;             /* something older may be cached */
	bool buffered;          /* what was written may be in the chipset's buffer */
	uint32_t deaf;          /* these commands are never carried out */
	bool deaf_queue;
	uint32_t invalidations; /* since the last look */
	struct sim_invalidation log[SIM_LOG];
};

extern struct sim_unit sim[SIM_UNITS];

/* All good: four levels, 1 GiB, drain, pages one by one, a queue, not coherent. */
void sim_start(void);
void sim_assert_no_fault(void);

/* The log is empty from here on. */
void sim_look(struct sim_unit *unit);

/* One more fault, as the unit records it; the oldest is at `first`. */
void sim_record(struct sim_unit *unit, uint32_t place, uint16_t source, uint8_t reason, uint64_t address);

/* A line of memory that has not been flushed since it was written is not seen by units: what they walk must have been. */
bool sim_is_flushed(const void *page);
void sim_forget_flushes(void);

/* PCI functions that are there: bus << 8 | function; `behind`: the bus behind a bridge. */
struct sim_function {
	uint16_t function;
	uint8_t behind;
};

extern const struct sim_function *sim_functions;
extern uint32_t sim_function_count;

/* panic() comes back here. */
extern jmp_buf sim_panicked;
extern char sim_panic_line[200];
