/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which kind of IOMMU the firmware's tables name: DMAR is Intel's, IVRS AMD's. */
#include "iommu/iommu.h"

#include "base/str.h"
#include "hw/acpi_dmar.h"
#include "hw/acpi_ivrs.h"
#include "iommu/amdvi.h"
#include "iommu/vtd.h"

_Static_assert(DMAR_UNITS_MAX <= IOMMU_UNITS_MAX && IVRS_UNITS_MAX <= IOMMU_UNITS_MAX, "all are kept");
_Static_assert(DMAR_RESERVED_MAX <= IOMMU_RESERVED_MAX && IVRS_RESERVED_MAX <= IOMMU_RESERVED_MAX, "all are kept");

static const char *const signatures[] = { "DMAR", "IVRS" };
static union { /* too large for the stack */
	struct dmar dmar;
	struct ivrs ivrs;
} parsed BOOT_ONLY;
static char line[120];

static const char *find_vtd(const uint8_t *table, uint32_t bytes, uint64_t ram_end, uint32_t address_bits, struct iommu *out)
{
	struct dmar *dmar = &parsed.dmar;
	const char *why = acpi_dmar_parse(table, bytes, dmar);

	out->unit_count = dmar->unit_count;
	for (uint32_t i = 0; i < dmar->unit_count; i++)
		out->registers[i] = (struct range){ dmar->unit[i].registers, dmar->unit[i].registers + dmar->unit[i].bytes, RANGE_RESERVED };
	out->reserved_count = dmar->reserved_count;
	memcpy(out->reserved, dmar->reserved, sizeof(dmar->reserved));
	if (!why)
		why = vtd_probe(dmar, ram_end, address_bits, &out->limits, line);
	out->kind = why ? SCRIM_IOMMU_NONE : SCRIM_IOMMU_VTD;
	return why;
}

static const char *find_amdvi(const uint8_t *table, uint32_t bytes, uint64_t ram_end, uint32_t address_bits, struct iommu *out)
{
	struct ivrs *ivrs = &parsed.ivrs;
	const char *why = acpi_ivrs_parse(table, bytes, ivrs);

	out->unit_count = ivrs->unit_count;
	for (uint32_t i = 0; i < ivrs->unit_count; i++)
		out->registers[i] = (struct range){ ivrs->unit[i].registers, ivrs->unit[i].registers + AMDVI_REGISTERS_BYTES, RANGE_RESERVED };
	out->reserved_count = ivrs->reserved_count;
	memcpy(out->reserved, ivrs->reserved, sizeof(ivrs->reserved));
	if (!why)
		why = amdvi_probe(ivrs, ram_end, address_bits, &out->limits, line);
	out->kind = why ? SCRIM_IOMMU_NONE : SCRIM_IOMMU_AMDVI;
	return why;
}

const char *iommu_find(const struct acpi_machine *machine, uint64_t ram_end, uint32_t address_bits, struct iommu *out)
{
	uint32_t bytes;
	const uint8_t *table;

	memset(out, 0, sizeof(*out));
	if ((table = acpi_find_table(machine, "DMAR", &bytes)) != NULL)
		return find_vtd(table, bytes, ram_end, address_bits, out);
	if ((table = acpi_find_table(machine, "IVRS", &bytes)) != NULL)
		return find_amdvi(table, bytes, ram_end, address_bits, out);
	return NULL;
}

uint64_t iommu_fixed_bytes(const struct iommu *iommu)
{
	switch (iommu->kind) {
	case SCRIM_IOMMU_VTD:
		return VTD_FIXED_BYTES(iommu->limits.units);
	case SCRIM_IOMMU_AMDVI:
		return AMDVI_FIXED_BYTES(iommu->limits.units);
	default:
		return 0;
	}
}

const struct dma_ops *iommu_take(const struct iommu *iommu, void *memory)
{
	switch (iommu->kind) {
	case SCRIM_IOMMU_VTD:
		return vtd_take(memory);
	case SCRIM_IOMMU_AMDVI:
		return amdvi_take(memory);
	default:
		return NULL;
	}
}

bool iommu_hide(const struct acpi_machine *machine)
{
	bool any = false;

	for (uint32_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		uint32_t bytes;
		uint8_t *table = acpi_find_table(machine, signatures[i], &bytes);

		if (table)
			acpi_hide_table(table);
		any |= table != NULL;
	}
	return any;
}
