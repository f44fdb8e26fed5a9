/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the form of IVRS. Every length is bounded before it is followed. Which device is behind which unit does not matter, for all units have
 * the same tables, with the same entry for every device; so aliases do not, either. That every device is behind one does, and is for the caller to see.
 */
#include "hw/acpi_ivrs.h"

#include "base/bytes.h"
#include "base/str.h"

#define HEAD_BYTES 48u
#define AT_INFO 36u
#define INFO_PA_BITS(info) ((info) >> 8 & 0x7f)
#define INFO_VA_BITS(info) ((info) >> 15 & 0x7f)
#define BITS_NOT_SAID 64u
#define ADDRESS_BITS_MAX 52u /* of any x86 machine */

#define BLOCK_HEAD_BYTES 4u /* type, flags, and the length in 2 bytes */
#define IVHD_10 0x10u
#define IVHD_11 0x11u
#define IVHD_40 0x40u
#define IVHD_10_BYTES 24u   /* where the device entries begin */
#define IVHD_BYTES 40u      /* in the other two */
#define IVMD_ALL 0x20u
#define IVMD_ONE 0x21u
#define IVMD_RANGE 0x22u
#define IVMD_BYTES 32u

/* Device entries: type, device id in 2 bytes, settings; the length follows from the type. */
#define ENTRY_ALL 1u
#define ENTRY_ONE 2u
#define ENTRY_FROM 3u
#define ENTRY_TO 4u
#define ENTRY_ALIAS_ONE 66u
#define ENTRY_ALIAS_FROM 67u
#define ENTRY_EXTENDED_ONE 70u
#define ENTRY_EXTENDED_FROM 71u
#define ENTRY_BY_RULE 240u /* shorter types have 4, 8, 16, 32 bytes: by the upper two bits */
#define ENTRY_NAMED 240u   /* no PCI device; its id is one all the same */
#define NAMED_BYTES 22u    /* less the name, whose length stands in the last of them */

static const char broken_entry[] = "ACPI IVRS: a unit's device entries are broken";

static bool is_one(uint32_t type)
{
	return type == ENTRY_ONE || type == ENTRY_ALIAS_ONE || type == ENTRY_EXTENDED_ONE || type == ENTRY_NAMED;
}

static bool is_from(uint32_t type)
{
	return type == ENTRY_FROM || type == ENTRY_ALIAS_FROM || type == ENTRY_EXTENDED_FROM;
}

/* 0: unknown, or it does not fit into what is left of the block. */
static uint32_t entry_bytes(const uint8_t *entry, uint32_t left)
{
	uint32_t bytes = 0;

	if (entry[0] < ENTRY_BY_RULE)
		bytes = 4u << (entry[0] >> 6);
	else if (entry[0] == ENTRY_NAMED && left >= NAMED_BYTES)
		bytes = NAMED_BYTES + entry[NAMED_BYTES - 1];
	return bytes <= left ? bytes : 0;
}

static void add_devices(struct ivrs *out, uint32_t first, uint32_t last)
{
	for (uint32_t device = first; device <= last; device++)
		out->behind[device / 64] |= 1ull << device % 64;
}

/* Entries fill [at, end). A range is two of them, one after the other. Device ids of other segments than 0 are checked and forgotten. */
static const char *add_entries(const uint8_t *at, const uint8_t *end, bool keep, struct ivrs *out)
{
	const uint32_t none = IVRS_DEVICES;
	uint32_t from = none;

	for (uint32_t bytes; at < end; at += bytes) {
		bytes = entry_bytes(at, (uint32_t)(end - at));
		if (!bytes)
			return broken_entry;
		uint32_t type = at[0], device = load_u16(at + 1), first = is_from(type) || is_one(type) ? device : type == ENTRY_TO ? from : 0;
		if ((type == ENTRY_TO) != (from != none) || (type == ENTRY_TO && device < from))
			return broken_entry;
		if (keep && (type == ENTRY_ALL || type == ENTRY_TO || is_one(type)))
			add_devices(out, first, type == ENTRY_ALL ? IVRS_DEVICES - 1 : device);
		from = is_from(type) ? device : none;
	}
	return from == none ? NULL : broken_entry;
}

/* The one at these registers, or a new one; NULL: there is no room for it. */
static struct ivrs_unit *unit_at(struct ivrs *out, uint64_t registers)
{
	for (uint32_t i = 0; i < out->unit_count; i++)
		if (out->unit[i].registers == registers)
			return &out->unit[i];
	if (out->unit_count == IVRS_UNITS_MAX)
		return NULL;
	out->unit[out->unit_count].registers = registers;
	return &out->unit[out->unit_count++];
}

static const char *add_unit(const uint8_t *block, uint32_t length, struct ivrs *out)
{
	uint32_t head = block[0] == IVHD_10 ? IVHD_10_BYTES : IVHD_BYTES;

	if (length < head)
		return "ACPI IVRS: a unit's block is broken";
	uint64_t registers = load_u64(block + 8);
	uint16_t segment = load_u16(block + 16);
	if (!registers || registers & PAGE_MASK || registers >> ADDRESS_BITS_MAX)
		return "ACPI IVRS: a unit's registers do not begin at a page";
	struct ivrs_unit *unit = unit_at(out, registers);
	if (!unit)
		return "ACPI IVRS: more units than Scrim can drive";
	if (unit->type && unit->segment != segment)
		return "ACPI IVRS: two units have the same registers";
	if (block[0] > unit->type) {
		unit->type = block[0];
		unit->flags = block[1];
		unit->segment = segment;
		unit->function = load_u16(block + 4);
		unit->capability = load_u16(block + 6);
	}
	return add_entries(block + head, block + length, segment == 0, out);
}

/* Whatever its devices may do there, and whichever they are: nothing of it moves, and they may read and write it. */
static const char *add_reserved(const uint8_t *block, uint32_t length, struct ivrs *out)
{
	if (length < IVMD_BYTES)
		return "ACPI IVRS: a memory block is broken";
	uint64_t start = load_u64(block + 16), size = load_u64(block + 24);
	if (!size || start >> ADDRESS_BITS_MAX || size > (1ull << ADDRESS_BITS_MAX) - start)
		return "ACPI IVRS: a memory block is empty, or is no machine's";
	if (out->reserved_count == IVRS_RESERVED_MAX)
		return "ACPI IVRS: more memory blocks than Scrim can keep";
	out->reserved[out->reserved_count++] =
		(struct range){ align_down(start, PAGE_SIZE), align_up(start + size, PAGE_SIZE), RANGE_RESERVED };
	return NULL;
}

static const char *add_block(const uint8_t *block, uint32_t length, struct ivrs *out)
{
	switch (block[0]) {
	case IVHD_10:
	case IVHD_11:
	case IVHD_40:
		return add_unit(block, length, out);
	case IVMD_ALL:
	case IVMD_ONE:
	case IVMD_RANGE:
		return add_reserved(block, length, out);
	default:
		return NULL;
	}
}

static uint32_t address_bits(uint32_t info)
{
	uint32_t physical = INFO_PA_BITS(info), virtual = INFO_VA_BITS(info), bits = BITS_NOT_SAID;

	if (physical && physical < bits)
		bits = physical;
	if (virtual && virtual < bits)
		bits = virtual;
	return bits;
}

const char *acpi_ivrs_parse(const uint8_t *table, uint32_t bytes, struct ivrs *out)
{
	memset(out, 0, sizeof(*out));
	if (bytes < HEAD_BYTES || sum_u8(table, bytes))
		return "ACPI IVRS: too short, or its checksum is wrong";
	out->address_bits = address_bits(load_u32(table + AT_INFO));
	for (uint32_t at = HEAD_BYTES; at < bytes;) {
		uint32_t length = bytes - at >= BLOCK_HEAD_BYTES ? load_u16(table + at + 2) : 0;

		if (length < BLOCK_HEAD_BYTES || length > bytes - at)
			return "ACPI IVRS: a block runs past the table's end";
		const char *why = add_block(table + at, length, out);
		if (why)
			return why;
		at += length;
	}
	return out->unit_count ? NULL : "ACPI IVRS: it names no unit";
}
