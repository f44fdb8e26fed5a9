/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what Scrim needs of the firmware's ACPI tables (ACPI 6.5, chapter 5): which CPUs there are, S3, a table by its name. */
#pragma once

#include "base/types.h"

#define ACPI_CPUS_MAX 255u

struct acpi_machine {
	uint64_t rsdp;     /* machine address of the root pointer, 0: none found */
	uint32_t cpu_count;
	uint32_t apic_id[ACPI_CPUS_MAX]; /* CPUs that the MADT lists as enabled, in its order */
	bool id_too_large; /* one of them has an APIC id of 255 or more */
};

/*
 * `rsdp_copy` is the loader's copy of the root pointer (`bytes` long), or bytes == 0 to search the BIOS areas. Where there
 * is no MADT, the calling CPU is the only one. Reads machine memory below 4 GiB only.
 */
void acpi_read(const uint8_t *rsdp_copy, uint32_t bytes, struct acpi_machine *out);

/*
 * Renames the firmware's _S3_ object, so that the OS offers suspend-to-idle where it would offer suspend to RAM: a machine
 * that wakes from S3 starts in firmware, outside Scrim. Returns true when there was one. The table's checksum is kept right.
 */
bool acpi_hide_s3(const struct acpi_machine *machine);

/* The first table with this signature of four letters, or NULL; *bytes: its length. The firmware's own, below 4 GiB. */
uint8_t *acpi_find_table(const struct acpi_machine *machine, const char *signature, uint32_t *bytes);

/* Gives a table another signature, that no OS looks for. Its checksum is kept right. */
void acpi_hide_table(uint8_t *table);
