/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's map. The direct map is the largest part of it by far; what leads to the same memory from elsewhere is the
 * kernel's text and data. Both have a constant difference between virtual and physical address.
 */
#include "kernel_map.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_PHYSICAL  UINT64_MAX /* p_paddr of what is not one piece of physical memory */
#define SEGMENTS_MAX 4096u      /* a bound on what a wrong file could make this program allocate */

const struct kernel_files linux_files = {
	.kcore = "/proc/kcore",
	.vmcoreinfo = "/sys/kernel/vmcoreinfo",
};

static bool read_segments(FILE *file, struct kernel_map *map)
{
	Elf64_Ehdr header;
	Elf64_Phdr entry;

	if (fread(&header, sizeof(header), 1, file) != 1 || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(entry) ||
	    header.e_phnum > SEGMENTS_MAX || fseek(file, (long)header.e_phoff, SEEK_SET) != 0)
		return false;
	map->segments = calloc((size_t)header.e_phnum + 1, sizeof(*map->segments));
	if (map->segments == NULL)
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		if (fread(&entry, sizeof(entry), 1, file) != 1)
			return false;
		if (entry.p_type == PT_LOAD && entry.p_paddr != NO_PHYSICAL)
			map->segments[map->count++] =
				(struct kernel_segment){ entry.p_paddr, entry.p_vaddr, entry.p_memsz };
	}
	return true;
}

void kernel_map_read(const struct kernel_files *files, struct kernel_map *map)
{
	FILE *file = fopen(files->kcore, "re");

	if (file == NULL)
		return;
	if (!read_segments(file, map))
		map->count = 0;
	fclose(file);
}

void kernel_map_free(struct kernel_map *map)
{
	free(map->segments);
	*map = (struct kernel_map){ 0 };
}

bool kernel_map_direct(const struct kernel_map *map, uint64_t *offset)
{
	uint64_t most = 0;

	for (size_t i = 0; i < map->count; i++) {
		if (map->segments[i].bytes <= most)
			continue;
		most = map->segments[i].bytes;
		*offset = map->segments[i].linear - map->segments[i].physical;
	}
	return most != 0;
}

bool kernel_vmcoreinfo(const struct kernel_files *files, uint64_t *address, uint64_t *bytes)
{
	FILE *file = fopen(files->vmcoreinfo, "re");
	bool read;

	if (file == NULL)
		return false;
	read = fscanf(file, "%" SCNx64 " %" SCNx64, address, bytes) == 2;
	fclose(file);
	return read;
}
