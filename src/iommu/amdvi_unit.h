/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides one AMD IOMMU: its commands, its caches, its event log. What may fail waits a second for the hardware. Calls for one unit are
 * serialized by the caller.
 */
#pragma once

#include "base/addr.h"
#include "hw/acpi_ivrs.h"
#include "iommu/amdvi_registers.h"
#include "virt/dma.h"

#define AMDVI_DOMAIN 1u /* all devices are in this one */

struct amdvi_unit {
	uint64_t at;      /* machine address of its registers */
	uint64_t control; /* what stays set, on or off */
	bool has_all;     /* INVALIDATE_IOMMU_ALL */
	struct amdvi_command *commands; /* a page each */
	struct amdvi_event *events;
	uint32_t tail;    /* where the next command goes */
	uint32_t head;    /* the oldest event that has not been read */
	uint64_t done;    /* written by the unit */
};

/* Reads what the unit can do. NULL, or why Scrim cannot use it. Writes nothing. */
const char *amdvi_unit_probe(struct amdvi_unit *unit, const struct ivrs_unit *told) MUST_CHECK;

/*
 * Switches off what firmware left on, and gives the unit this device table (machine address; DEVICE_TABLE_BYTES). Once on with it, and every
 * cache emptied; then off. False: it does not obey, and is off as far as it can be.
 */
bool amdvi_unit_take(struct amdvi_unit *unit, uint64_t device_table) MUST_CHECK;

/* From here on transactions are processed as the device table says; as if there were no unit. Nothing of the table is in a cache but what was read while it was on. */
bool amdvi_unit_start(struct amdvi_unit *unit) MUST_CHECK;
bool amdvi_unit_stop(struct amdvi_unit *unit) MUST_CHECK;
bool amdvi_unit_is_on(const struct amdvi_unit *unit);

/* Forgets every entry of the device table, and every translation; drained. For a unit that is on. False: it does not end it. */
bool amdvi_unit_forget(struct amdvi_unit *unit) MUST_CHECK;

/* Forgets every translation; drained. For a unit that is on. */
bool amdvi_unit_invalidate(struct amdvi_unit *unit) MUST_CHECK;

/* Reads its event log: how many events; and one more where it had no room for some. */
uint64_t amdvi_unit_take_faults(struct amdvi_unit *unit, struct dma_fault *last);
