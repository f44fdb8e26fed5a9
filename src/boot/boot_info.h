/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what a boot loader told Scrim, in one form for multiboot 1 and multiboot 2.
 * Everything is copied: nothing here points into memory that a loader owns, except the modules' own bytes.
 */
#pragma once

#include "base/ranges.h"

#define BOOT_CMDLINE_MAX 2048u
#define BOOT_EFI_MAP_MAX 32768u

struct boot_module {
	uint64_t start; /* machine address of the first byte */
	uint64_t end;   /* excluded; == start: absent */
	char cmdline[BOOT_CMDLINE_MAX];
};

/* As multiboot 2 tag 8 / multiboot 1 offsets 88-115 give it, and as Linux's struct screen_info wants it. */
struct boot_framebuffer {
	uint64_t address; /* 0: none */
	uint32_t pitch;   /* bytes a line */
	uint32_t width, height;
	uint8_t bpp;
	uint8_t type; /* 0 indexed, 1 RGB, 2 EGA text */
	uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size;
};

struct boot_efi {
	uint64_t system_table; /* 0: not booted by UEFI */
	bool is_64bit;
	uint32_t map_bytes;
	uint32_t descriptor_bytes;
	uint32_t descriptor_version;
	uint8_t map[BOOT_EFI_MAP_MAX];
};

struct boot_info {
	char cmdline[BOOT_CMDLINE_MAX]; /* options, the program's own name stripped where the loader put it there */
	struct range_list memory;       /* normalized */
	struct boot_module kernel;      /* first module */
	struct boot_module initrd;      /* second module */
	uint32_t module_count;          /* as the loader said; more than two are ignored with a warning by the caller */
	struct boot_framebuffer framebuffer;
	bool vbe;                       /* the framebuffer was set up by the BIOS's VBE, not by a driver of the loader's */
	struct boot_efi efi;
	uint8_t rsdp[36]; /* copy of the ACPI root pointer from multiboot 2 tag 14 or 15 */
	uint32_t rsdp_bytes; /* 0: the caller searches the BIOS areas */
};

/*
 * Reads a multiboot 1 (or 2) information structure. `info` is the bytes at its address, `limit` how many bytes may be read
 * there. Multiboot 1 points elsewhere (strings, memory map, module list): `read` copies `bytes` bytes from a machine
 * address into `to`, and returns false where there is no memory. Every length and address of the loader's is checked.
 * Both return NULL, or the line to print: what is wrong, why, what to do.
 */
typedef bool (*boot_read_fn)(void *context, uint64_t machine, void *to, uint32_t bytes);

const char *multiboot1_parse(const uint8_t *info, uint32_t limit, boot_read_fn read, void *context,
			     struct boot_info *out) MUST_CHECK;
const char *multiboot2_parse(const uint8_t *info, uint32_t limit, struct boot_info *out) MUST_CHECK;
