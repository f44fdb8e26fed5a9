/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the finding of the machine's IOMMUs, of whatever kind, at boot. What they do from then on is struct dma_ops' (virt/dma.h). */
#pragma once

#include "hw/acpi.h"
#include "hw/acpi_dmar.h"
#include "virt/dma.h"

/* What was found. Points nowhere: it is found by the first half of boot and used by the second. */
struct iommu {
	enum scrim_iommu kind; /* SCRIM_IOMMU_NONE: there is none, or none that can be used */
	struct dma_limits limits;
	struct dmar dmar;      /* of VT-d; units and reserved ranges, also of units that cannot be used */
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
