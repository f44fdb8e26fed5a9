/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what Linux tells about where it lies: where its virtual addresses lead to in physical memory (/proc/kcore's
 * headers), and where its note for readers of core files is (/sys/kernel/vmcoreinfo).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Paths; replaced in unit tests. */
struct kernel_files {
	const char *kcore, *vmcoreinfo;
};

extern const struct kernel_files linux_files;

/* A piece of physical memory that the kernel sees at a virtual address. */
struct kernel_segment {
	uint64_t physical, linear, bytes;
};

/* Zeroed: nothing is known. */
struct kernel_map {
	struct kernel_segment *segments;
	size_t count;
};

/* Reads the map, to be freed in every case. What cannot be read, or is of a 32-bit kernel, is an empty map. */
void kernel_map_read(const struct kernel_files *files, struct kernel_map *map);
void kernel_map_free(struct kernel_map *map);

/* The direct map's virtual address less the physical one; false where it is not known. */
bool kernel_map_direct(const struct kernel_map *map, uint64_t *offset);

/* Physical address and size of the note VMCOREINFO; false where the kernel tells none. */
bool kernel_vmcoreinfo(const struct kernel_files *files, uint64_t *address, uint64_t *bytes);
