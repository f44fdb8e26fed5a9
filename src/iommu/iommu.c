/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which kind of IOMMU the firmware's tables name: DMAR is Intel's. */
#include "iommu/iommu.h"

#include "base/str.h"
#include "iommu/vtd.h"

static char line[120];

const char *iommu_find(const struct acpi_machine *machine, uint64_t ram_end, uint32_t address_bits, struct iommu *out)
{
	uint32_t bytes;
	const uint8_t *table = acpi_find_table(machine, "DMAR", &bytes);

	memset(out, 0, sizeof(*out));
	if (!table)
		return NULL;
	const char *why = acpi_dmar_parse(table, bytes, &out->dmar);
	if (!why)
		why = vtd_probe(&out->dmar, ram_end, address_bits, &out->limits, line);
	if (!why)
		out->kind = SCRIM_IOMMU_VTD;
	return why;
}

uint64_t iommu_fixed_bytes(const struct iommu *iommu)
{
	return iommu->kind == SCRIM_IOMMU_VTD ? VTD_FIXED_BYTES(iommu->limits.units) : 0;
}

const struct dma_ops *iommu_take(const struct iommu *iommu, void *memory)
{
	return iommu->kind == SCRIM_IOMMU_VTD ? vtd_take(memory) : NULL;
}

bool iommu_hide(const struct acpi_machine *machine)
{
	uint32_t bytes;
	uint8_t *table = acpi_find_table(machine, "DMAR", &bytes);

	if (table)
		acpi_hide_table(table);
	return table;
}
