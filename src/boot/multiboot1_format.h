/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the byte layouts of the Multiboot Specification 0.6.96 ("multiboot 1"), as loader and as loaded see them. */
#pragma once

#include "base/types.h"

#define MB1_HEADER_MAGIC 0x1badb002u
#define MB1_HEADER_SEARCH 8192u /* 3.1: the header lies wholly in the first 8192 bytes, 4-byte aligned */

/* 3.1.1: flags of the header. Of bits 0 to 15 a loader must understand each one that is set. */
#define MB1_HEADER_PAGE_ALIGN (1u << 0)
#define MB1_HEADER_MEMORY (1u << 1)
#define MB1_HEADER_VIDEO (1u << 2)
#define MB1_HEADER_REQUIRED 0xffffu
#define MB1_HEADER_ADDRESSES (1u << 16)

struct mb1_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; /* MB1_HEADER_ADDRESSES */
} PACKED;

/* 3.3: flags of the information structure. */
#define MB1_INFO_MEMORY (1u << 0)
#define MB1_INFO_CMDLINE (1u << 2)
#define MB1_INFO_MODULES (1u << 3)
#define MB1_INFO_MMAP (1u << 6)
#define MB1_INFO_LOADER_NAME (1u << 9)
#define MB1_INFO_VBE (1u << 11)
#define MB1_INFO_FRAMEBUFFER (1u << 12)

struct mb1_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB from 0 and from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe_control_info, vbe_mode_info;
	uint16_t vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
	uint64_t framebuffer_addr;
	uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bpp, framebuffer_type;
	uint8_t color_info[6]; /* type 1: red position, red size, green ..., blue ... */
} PACKED;

struct mb1_module {
	uint32_t start, end, string, reserved;
} PACKED;

struct mb1_mmap_entry {
	uint32_t size; /* of the rest: 20 or more */
	uint64_t base, length;
	uint32_t type; /* 1 RAM, 3 ACPI, 4 NVS, 5 defective; all else reserved */
} PACKED;

#define MB1_MMAP_ENTRY_MIN 20u

/* VBE Core Standard 3.0, 4.4: the part of ModeInfoBlock that describes a linear framebuffer. */
struct vbe_mode_info {
	uint16_t mode_attributes;
	uint8_t unused_windows[14];
	uint16_t bytes_per_line;
	uint16_t width, height;
	uint8_t unused_characters[3];
	uint8_t bits_per_pixel;
	uint8_t unused_banks;
	uint8_t memory_model;
	uint8_t unused_pages[3];
	uint8_t red_size, red_position, green_size, green_position, blue_size, blue_position;
	uint8_t unused_reserved[3];
	uint32_t framebuffer;
} PACKED;

#define VBE_MODE_GRAPHICS (1u << 4)
#define VBE_MODE_LINEAR (1u << 7)
#define VBE_MODEL_PACKED 4u
#define VBE_MODEL_DIRECT 6u

_Static_assert(sizeof(struct mb1_header) == 32, "multiboot 1, 3.1.1");
_Static_assert(sizeof(struct mb1_info) == 116, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, mods_count) == 20, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, mmap_length) == 44, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, boot_loader_name) == 64, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, vbe_mode_info) == 76, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, framebuffer_addr) == 88, "multiboot 1, 3.3");
_Static_assert(offsetof(struct mb1_info, color_info) == 110, "multiboot 1, 3.3");
_Static_assert(sizeof(struct mb1_module) == 16, "multiboot 1, 3.3");
_Static_assert(sizeof(struct mb1_mmap_entry) == 24, "multiboot 1, 3.3");
_Static_assert(offsetof(struct vbe_mode_info, bytes_per_line) == 0x10, "VBE 3.0, 4.4");
_Static_assert(offsetof(struct vbe_mode_info, bits_per_pixel) == 0x19, "VBE 3.0, 4.4");
_Static_assert(offsetof(struct vbe_mode_info, red_size) == 0x1f, "VBE 3.0, 4.4");
_Static_assert(offsetof(struct vbe_mode_info, framebuffer) == 0x28, "VBE 3.0, 4.4");
