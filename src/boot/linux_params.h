/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides Linux's boot_params page ("zero page", Documentation/x86/zero-page) and a multiboot 1 information structure,
 * filled in for a guest exactly as a boot loader on the bare machine would fill them.
 */
#pragma once

#include "boot/boot_info.h"
#include "boot/guest_image.h"

/*
 * What the guest is to be told. `memory` is the map that the OS sees: Scrim's block and start-up page are RANGE_RESERVED.
 * `params` is the machine address of the block that is being filled, so that pointers in it can be made.
 */
struct guest_handover {
	const struct boot_info *boot;
	const struct guest_image *image;
	const uint8_t *kernel_image; /* bytes of the first module (setup header source) */
	uint64_t kernel_bytes;
	uint64_t kernel_start;
	uint64_t initrd_start, initrd_end;
	const struct range_list *memory;
	uint64_t own_start, own_end; /* to be split out of the EFI map as EfiReservedMemoryType; empty when booting natively */
	uint64_t startup_page;       /* likewise one page; 0: none */
	uint64_t rsdp;               /* machine address of the firmware's RSDP (acpi_rsdp_addr), 0 unknown */
	uint64_t params;             /* machine address of the block */
};

/*
 * Fills `block` (`bytes` long, zeroed by the callee): boot_params first, then command line, EFI map and, where the E820
 * table has more than 128 entries, a setup_data list of type SETUP_E820_EXT. Linux guests. Sets type_of_loader 0xff,
 * loadflags, code32_start, ramdisk, cmd_line_ptr, e820, efi_info ("EL64"/"EL32"), screen_info (VESA 0x23 / EFI 0x70 for a linear
 * framebuffer, EGA text otherwise 80x25 mode 3), acpi_rsdp_addr. Returns NULL, or the line to print (command line too long, ...).
 */
const char *linux_params_fill(uint8_t *block, uint32_t bytes, const struct guest_handover *handover) MUST_CHECK;

/*
 * The same for a multiboot 1 guest: information structure at offset 0 (flags 0, 2, 3, 6, 9 and what it asks for), memory map,
 * command line, one module (the second) with its string, loader name "Scrim". Returns NULL, or the line to print.
 */
const char *multiboot1_info_fill(uint8_t *block, uint32_t bytes, const struct guest_handover *handover) MUST_CHECK;
