/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the finding of the machine's IOMMUs, of whatever kind, at boot. What they do from then on is struct dma_ops' (virt/dma.h). */
#pragma once

#include "base/ranges.h"
#include "hw/acpi.h"
#include "virt/dma.h"

#define IOMMU_UNITS_MAX 32u
#define IOMMU_RESERVED_MAX 64u

/* What was found, also of units that cannot be used. Points nowhere: it is found by the first half of boot and used by the second. */
struct iommu {
	enum scrim_iommu kind; /* SCRIM_IOMMU_NONE: there is none, or none that can be used */
	struct dma_limits limits;
	uint32_t unit_count;
	struct range registers[IOMMU_UNITS_MAX]; /* a unit's each */
	uint32_t reserved_count;
	struct range reserved[IOMMU_RESERVED_MAX]; /* memory that devices use at firmware's behest */
};

/*
 * Looks for IOMMUs that can translate for a machine whose RAM ends at `ram_end` and whose CPUs have so many address bits. Writes to none. NULL:
 * they can, or there is none; else why not, one line's worth.
 */
const char *iommu_find(const struct acpi_machine *machine, uint64_t ram_end, uint32_t address_bits, struct iommu *out) MUST_CHECK;

/* Of fixed memory, for iommu_take(). */
uint64_t iommu_fixed_bytes(const struct iommu *iommu);

/* Takes them over from firmware; `memory` has that many zeroed bytes. NULL: there is none, or one does not obey. */
const struct dma_ops *iommu_take(const struct iommu *iommu, void *memory);

/* Hides them from the OS, used or not: it finds no table that names one. Returns true when there was a table. */
bool iommu_hide(const struct acpi_machine *machine);
