/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides work on an EFI memory map (UEFI 2.10, 7.2.3), an array of descriptors whose stride the firmware chooses.
 * Page numbers are used throughout: they do not overflow.
 */
#pragma once

#include "boot/boot_info.h"

enum efi_memory_type {
	EFI_RESERVED = 0,
	EFI_LOADER_DATA = 2,
	EFI_BOOT_SERVICES_CODE = 3,
	EFI_BOOT_SERVICES_DATA = 4,
};

struct efi_map {
	uint8_t *at;
	uint32_t bytes;    /* in use */
	uint32_t capacity; /* bytes */
	uint32_t descriptor_bytes;
};

/*
 * Makes the described parts of the pages that [start, end) touches be of `type`, splitting descriptors where needed and
 * keeping all else that they say. False when the map would not fit; it may then be changed in part.
 */
bool efi_map_set_type(struct efi_map *map, uint64_t start, uint64_t end, uint32_t type) MUST_CHECK;

/*
 * The first descriptor of boot services code or data that [start, end) touches, as a range of bytes. Free by the book
 * after ExitBootServices, but firmware exists that still uses it until SetVirtualAddressMap, so it is better let alone.
 */
bool efi_map_find_boot_services(const struct boot_efi *efi, uint64_t start, uint64_t end, uint64_t *found_start,
				uint64_t *found_end);
