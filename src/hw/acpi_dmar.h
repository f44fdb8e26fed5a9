/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what Scrim needs of ACPI's DMAR table (Intel VT-d specification, chapter 8): where the IOMMUs are, and what must not move. */
#pragma once

#include "base/ranges.h"

#define DMAR_UNITS_MAX 32u
#define DMAR_RESERVED_MAX 64u
#define DMAR_SCOPES_MAX 128u
#define DMAR_HOPS_MAX 5u

struct dmar_unit {
	uint64_t registers; /* machine address */
	uint64_t bytes;     /* that they fill: whole pages */
};

/* A device that a unit names: by the bus where the way begins, and the bridges and at last the device on it. PCI segment 0. */
struct dmar_scope {
	bool all_below;                  /* a bridge: with everything behind it */
	uint8_t bus, hops;
	uint8_t function[DMAR_HOPS_MAX]; /* device << 3 | function; `hops` of them */
};

struct dmar {
	uint32_t address_bits; /* no device addresses more (host address width) */
	uint32_t unit_count;
	struct dmar_unit unit[DMAR_UNITS_MAX];
	bool covers_all;        /* one of them has every device of PCI segment 0 that no other names */
	uint32_t scope_count;   /* else: those that are named */
	struct dmar_scope scope[DMAR_SCOPES_MAX];
	uint32_t reserved_count;
	struct range reserved[DMAR_RESERVED_MAX]; /* memory that devices use at firmware's behest (RMRR), whole pages */
};

/*
 * Pure: `table` has `bytes` bytes, as many as its head says. NULL, or one line's worth of why it cannot be used. Structures of kinds that
 * concern no translation (root ports with ATS, NUMA, names) are passed over by their length.
 */
const char *acpi_dmar_parse(const uint8_t *table, uint32_t bytes, struct dmar *out) MUST_CHECK;
