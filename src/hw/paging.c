/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds Scrim's own page tables (AMD APM vol. 2, 5.3). Owns nothing after that. */
#include "hw/apic.h"
#include "hw/descriptors.h"
#include "hw/insn.h"

#define ENTRIES 512u
#define TABLE 0x3ull  /* present, writable */
#define LEAF 0x83ull  /* present, writable, large */
#define UNCACHED 0x18ull /* PWT, PCD: PAT entry 3, uncached by reset default and by every OS's choice */
#define CPUID_1G (1u << 26)

static bool has_1g(void)
{
	return cpuid(0x80000000, 0).eax >= 0x80000001 && cpuid(0x80000001, 0).edx & CPUID_1G;
}

static uint64_t gib_count(uint64_t end)
{
	uint64_t count = (end + GIB(1) - 1) / GIB(1);
	return count < 4 ? 4 : count;
}

static uint64_t directory_count(uint64_t end)
{
	return has_1g() ? 4 : gib_count(end);
}

uint64_t paging_bytes(uint64_t end)
{
	uint64_t pointer_tables = (gib_count(end) + ENTRIES - 1) / ENTRIES;
	return (1 + pointer_tables + directory_count(end)) * PAGE_SIZE;
}

uint64_t paging_build(void *tables, uint64_t end)
{
	uint64_t gibs = gib_count(end), pointer_tables = (gibs + ENTRIES - 1) / ENTRIES, directories = directory_count(end);
	uint64_t *top = tables, *pointers = top + ENTRIES, *directory = pointers + pointer_tables * ENTRIES;

	for (uint64_t i = 0; i < pointer_tables; i++)
		top[i] = (uint64_t)(uintptr_t)(pointers + i * ENTRIES) | TABLE;
	for (uint64_t i = 0; i < gibs; i++)
		pointers[i] = i < directories ? (uint64_t)(uintptr_t)(directory + i * ENTRIES) | TABLE : GIB(i) | LEAF;
	for (uint64_t i = 0; i < directories * ENTRIES; i++)
		directory[i] = MIB(2 * i) | LEAF;
	directory[APIC_PAGE / MIB(2)] |= UNCACHED;
	return (uint64_t)(uintptr_t)top;
}
