/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzes the parsers of ACPI's tables of IOMMUs; the first byte says which. */
#include "fuzz.h"
#include "base/bytes.h"
#include "hw/acpi_dmar.h"
#include "hw/acpi_ivrs.h"

#define AT_SUM 9u

static struct dmar dmar;
static struct ivrs ivrs;

static void check_reserved(const struct range *reserved, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		FUZZ_CHECK(reserved[i].start < reserved[i].end);
		FUZZ_CHECK(!(reserved[i].start & PAGE_MASK) && !(reserved[i].end & PAGE_MASK));
	}
}

static const char *parse_dmar(const uint8_t *table, uint32_t bytes)
{
	const char *line = acpi_dmar_parse(table, bytes, &dmar);

	FUZZ_CHECK(dmar.unit_count <= DMAR_UNITS_MAX && dmar.scope_count <= DMAR_SCOPES_MAX && dmar.reserved_count <= DMAR_RESERVED_MAX);
	check_reserved(dmar.reserved, dmar.reserved_count);
	return line;
}

static const char *parse_ivrs(const uint8_t *table, uint32_t bytes)
{
	const char *line = acpi_ivrs_parse(table, bytes, &ivrs);

	FUZZ_CHECK(ivrs.unit_count <= IVRS_UNITS_MAX && ivrs.reserved_count <= IVRS_RESERVED_MAX);
	check_reserved(ivrs.reserved, ivrs.reserved_count);
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *line;
	uint8_t *copy;

	if (bytes < 1)
		return 0;
	/* The checksum is right: all else comes after that check. */
	copy = malloc(bytes);
	memcpy(copy, data + 1, bytes - 1);
	if (bytes - 1 > AT_SUM)
		copy[AT_SUM] = (uint8_t)(copy[AT_SUM] - sum_u8(copy, bytes - 1));
	line = data[0] & 1 ? parse_ivrs(copy, (uint32_t)bytes - 1) : parse_dmar(copy, (uint32_t)bytes - 1);
	free(copy);
	if (line != NULL)
		fuzz_check_line(line);
	return 0;
}
