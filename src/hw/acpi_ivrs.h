/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what Scrim needs of ACPI's IVRS table (AMD I/O Virtualization Technology Specification, rev. 3.00, 5.2): where the IOMMUs are, what they translate for, what must not move. */
#pragma once

#include "base/ranges.h"

#define IVRS_UNITS_MAX 32u
#define IVRS_RESERVED_MAX 64u
#define IVRS_DEVICES 0x10000u

/* One IOMMU, told of by one block or several (IVHD, types 10h, 11h, 40h). */
struct ivrs_unit {
	uint64_t registers; /* machine address */
	uint16_t segment;   /* of PCI */
	uint16_t function;  /* the PCI function that it is, and where in it its capability block begins */
	uint16_t capability;
	uint8_t flags;      /* IVRS_*: of the block of the highest type */
	uint8_t type;
};

/* How firmware wants a unit's control register. */
#define IVRS_HT_TUN_EN (1u << 0)
#define IVRS_PASS_PW (1u << 1)
#define IVRS_RES_PASS_PW (1u << 2)
#define IVRS_ISOC (1u << 3)
#define IVRS_COHERENT (1u << 5)

struct ivrs {
	uint32_t address_bits; /* no device addresses more; 64: not said */
	uint32_t unit_count;
	struct ivrs_unit unit[IVRS_UNITS_MAX];
	uint64_t behind[IVRS_DEVICES / 64]; /* a bit for each device id of PCI segment 0: some unit translates for it */
	uint32_t reserved_count;
	struct range reserved[IVRS_RESERVED_MAX]; /* memory that devices use at firmware's behest (IVMD), whole pages */
};

/*
 * Pure: `table` has `bytes` bytes, as many as its head says. NULL, or one line's worth of why it cannot be used. Blocks of other types
 * are passed over by their length, and so are device entries that name no device.
 */
const char *acpi_ivrs_parse(const uint8_t *table, uint32_t bytes, struct ivrs *out) MUST_CHECK;

/* `device`: bus << 8 | device << 3 | function. */
static inline bool ivrs_is_behind(const struct ivrs *ivrs, uint32_t device)
{
	return ivrs->behind[device / 64] >> device % 64 & 1;
}
