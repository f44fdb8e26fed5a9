/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what a multiboot 1 loader hands to a kernel. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct multiboot_module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t reserved;
};

/* Multiboot Specification 0.6.96, 3.3. */
struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB */
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t map_length, map;
	uint32_t drives_length, drives;
	uint32_t config_table;
	uint32_t loader_name;
};
_Static_assert(offsetof(struct multiboot_info, loader_name) == 64, "layout of the specification");

#define MULTIBOOT_BOOT_MAGIC   0x2badb002u
#define MULTIBOOT_MEMORY       0x001u
#define MULTIBOOT_COMMAND_LINE 0x004u
#define MULTIBOOT_MODULES      0x008u
#define MULTIBOOT_MAP          0x040u
#define MULTIBOOT_LOADER_NAME  0x200u

/* `size` does not count itself. */
struct multiboot_map_entry {
	uint32_t size;
	uint64_t base;
	uint64_t length;
	uint32_t type; /* 1: RAM */
} __attribute__((packed));
