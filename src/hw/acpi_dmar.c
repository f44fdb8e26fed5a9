/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the form of DMAR. Every length is bounded before it is followed. Which device is behind which unit does not matter, for all units get
 * the same table; that every device is behind one does, and is for the caller to see.
 */
#include "hw/acpi_dmar.h"

#include "base/bytes.h"
#include "base/str.h"

#define HEAD_BYTES 48u
#define AT_WIDTH 36u /* host address width - 1 */

#define STRUCTURE_HEAD_BYTES 4u /* type, length: 2 bytes each */
#define TYPE_UNIT 0u            /* DRHD, 8.3 */
#define TYPE_RESERVED 1u        /* RMRR, 8.4 */

#define UNIT_BYTES 16u
#define UNIT_ALL_OF_SEGMENT 1u /* every device of the PCI segment that no other unit names */
#define UNIT_SIZE 0xfu         /* log2 of the pages that its registers fill */
#define RESERVED_BYTES 24u

#define SCOPE_BYTES 6u
#define SCOPE_PATH_BYTES 2u /* one bridge, or the device: device, function */
#define SCOPE_ENDPOINT 1u
#define SCOPE_BRIDGE 2u     /* others are no PCI functions that read or write memory */

/* Device scopes fill [at, end): each a head and a path of one step or more (8.3.1). */
static bool are_scopes(const uint8_t *table, uint32_t at, uint32_t end)
{
	while (at < end) {
		uint32_t length = end - at >= SCOPE_BYTES ? table[at + 1] : 0;

		if (length < SCOPE_BYTES + SCOPE_PATH_BYTES || length > end - at || (length - SCOPE_BYTES) % SCOPE_PATH_BYTES)
			return false;
		at += length;
	}
	return true;
}

static const char *add_scope(const uint8_t *scope, struct dmar *out)
{
	uint32_t hops = (scope[1] - SCOPE_BYTES) / SCOPE_PATH_BYTES;
	struct dmar_scope *to = &out->scope[out->scope_count];

	if (scope[0] != SCOPE_ENDPOINT && scope[0] != SCOPE_BRIDGE)
		return NULL;
	if (hops > DMAR_HOPS_MAX || out->scope_count == DMAR_SCOPES_MAX)
		return "ACPI DMAR: more device scopes, or longer ones, than Scrim can keep";
	*to = (struct dmar_scope){ .all_below = scope[0] == SCOPE_BRIDGE, .bus = scope[5], .hops = (uint8_t)hops };
	for (uint32_t i = 0; i < hops; i++) {
		const uint8_t *hop = scope + SCOPE_BYTES + i * SCOPE_PATH_BYTES;
		to->function[i] = (uint8_t)(hop[0] << 3 | (hop[1] & 7));
	}
	out->scope_count++;
	return NULL;
}

/* Whose devices the unit has. */
static const char *add_scopes(const uint8_t *table, uint32_t at, uint32_t length, struct dmar *out)
{
	bool all = table[at + 4] & UNIT_ALL_OF_SEGMENT;

	if (load_u16(table + at + 6) != 0)
		return all ? NULL : "ACPI DMAR: in a PCI segment other than 0 a unit names single devices, which Scrim cannot check";
	out->covers_all |= all;
	for (uint32_t scope = at + UNIT_BYTES; scope < at + length; scope += table[scope + 1]) {
		const char *why = add_scope(table + scope, out);
		if (why)
			return why;
	}
	return NULL;
}

static const char *add_unit(const uint8_t *table, uint32_t at, uint32_t length, struct dmar *out)
{
	uint64_t registers;

	if (length < UNIT_BYTES || !are_scopes(table, at + UNIT_BYTES, at + length))
		return "ACPI DMAR: a unit's structure is broken";
	registers = load_u64(table + at + 8);
	if (!registers || registers & PAGE_MASK)
		return "ACPI DMAR: a unit's registers do not begin at a page";
	for (uint32_t i = 0; i < out->unit_count; i++)
		if (out->unit[i].registers == registers)
			return "ACPI DMAR: two units have the same registers";
	if (out->unit_count == DMAR_UNITS_MAX)
		return "ACPI DMAR: more units than Scrim can drive";
	out->unit[out->unit_count++] = (struct dmar_unit){ registers, PAGE_SIZE << (table[at + 5] & UNIT_SIZE) };
	return add_scopes(table, at, length, out);
}

static const char *add_reserved(const uint8_t *table, uint32_t at, uint32_t length, struct dmar *out)
{
	uint64_t start, last;

	if (length < RESERVED_BYTES || !are_scopes(table, at + RESERVED_BYTES, at + length))
		return "ACPI DMAR: a reserved range's structure is broken";
	start = load_u64(table + at + 8);
	last = load_u64(table + at + 16);
	if (start & PAGE_MASK || ~last & PAGE_MASK || last <= start || last == UINT64_MAX)
		return "ACPI DMAR: a reserved range is not of whole pages";
	if (out->reserved_count == DMAR_RESERVED_MAX)
		return "ACPI DMAR: more reserved ranges than Scrim can keep";
	out->reserved[out->reserved_count++] = (struct range){ start, last + 1, RANGE_RESERVED };
	return NULL;
}

static const char *add_structure(const uint8_t *table, uint32_t at, uint32_t length, struct dmar *out)
{
	uint32_t type = load_u16(table + at);

	if (type == TYPE_RESERVED)
		return add_reserved(table, at, length, out);
	return type == TYPE_UNIT ? add_unit(table, at, length, out) : NULL;
}

const char *acpi_dmar_parse(const uint8_t *table, uint32_t bytes, struct dmar *out)
{
	memset(out, 0, sizeof(*out));
	if (bytes < HEAD_BYTES || sum_u8(table, bytes))
		return "ACPI DMAR: too short, or its checksum is wrong";
	out->address_bits = table[AT_WIDTH] + 1u;
	for (uint32_t at = HEAD_BYTES; at < bytes;) {
		uint32_t length = bytes - at >= STRUCTURE_HEAD_BYTES ? load_u16(table + at + 2) : 0;

		if (length < STRUCTURE_HEAD_BYTES || length > bytes - at)
			return "ACPI DMAR: a structure runs past the table's end";
		const char *why = add_structure(table, at, length, out);
		if (why)
			return why;
		at += length;
	}
	return out->unit_count ? NULL : "ACPI DMAR: it names no unit";
}
