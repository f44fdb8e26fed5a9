/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what Scrim needs to know to start the first module: a Linux bzImage (Linux Documentation/x86/boot, 32-bit
 * boot protocol), a bzImage that must lie at 1 MiB (memtest86+), or a multiboot 1 kernel (ELF32 or address fields).
 * Pure: looks only at the bytes given, never trusts a length in them.
 */
#pragma once

#include "boot/boot_info.h"

enum guest_kind { GUEST_LINUX, GUEST_MULTIBOOT1 };

#define GUEST_SEGMENTS_MAX 8u

/* One piece of the image to be placed: `file_bytes` from offset `file_offset`, then zeros up to `memory_bytes`. */
struct guest_segment {
	uint64_t file_offset, file_bytes;
	uint64_t address; /* where it must lie; for a relocatable Linux where it would like to lie */
	uint64_t memory_bytes;
};

struct guest_image {
	enum guest_kind kind;
	uint32_t segment_count;
	struct guest_segment segment[GUEST_SEGMENTS_MAX];
	uint64_t entry;      /* multiboot 1: entry address; Linux: offset of the 32-bit entry from the segment's address (0) */
	bool relocatable;    /* Linux: may lie at any multiple of `alignment` below 4 GiB */
	uint64_t alignment;
	uint64_t init_bytes; /* Linux: bytes it needs from its address on while it starts (init_size) */
	uint64_t initrd_max; /* Linux: highest address that the initrd's last byte may have */
	uint32_t cmdline_max;/* Linux: longest command line, without the zero */
	uint16_t protocol;   /* Linux: boot protocol version, e.g. 0x020f */
	uint32_t multiboot_flags;
};

/*
 * Returns NULL, or the line to print (truncated, not a kernel, too old a protocol, ...). A multiboot 1 ELF64 file for x86-64
 * is taken like an ELF32 one if all of it lies below 4 GiB, as GRUB does: it is entered in 32-bit mode.
 */
const char *guest_image_parse(const uint8_t *image, uint64_t bytes, struct guest_image *out) MUST_CHECK;
