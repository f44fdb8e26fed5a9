/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the byte layouts of Linux's x86 boot protocol (Documentation/x86/boot.rst and zero-page.rst), as far as a
 * boot loader reads or writes them.
 */
#pragma once

#include "base/types.h"

#define LINUX_HEADER_OFFSET 0x1f1u /* in the image and in boot_params alike */
#define LINUX_BOOT_FLAG 0xaa55u
#define LINUX_MAGIC 0x53726448u /* "HdrS" */
#define LINUX_SECTOR_BYTES 512u

#define LINUX_PROTOCOL_CMDLINE_SIZE 0x0206u
#define LINUX_PROTOCOL_SETUP_DATA 0x0209u
#define LINUX_PROTOCOL_INIT_SIZE 0x020au

#define LINUX_LOADED_HIGH (1u << 0)
#define LINUX_LOADER_UNKNOWN 0xffu
#define LINUX_VIDEO_NORMAL 0xffffu

struct linux_setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize; /* of the protected-mode code, in 16 bytes */
	uint16_t ram_size, vid_mode, root_dev, boot_flag;
	uint8_t jump, jump_bytes; /* a short jump at 0x200 over the rest of the header */
	uint32_t magic;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg, kernel_version;
	uint8_t type_of_loader, loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver, ext_loader_type;
	uint32_t cmd_line_ptr, initrd_addr_max;
	uint32_t kernel_alignment;   /* 2.05 */
	uint8_t relocatable_kernel;  /* 2.05 */
	uint8_t min_alignment;       /* 2.10 */
	uint16_t xloadflags;         /* 2.12 */
	uint32_t cmdline_size;       /* 2.06 */
	uint32_t hardware_subarch;   /* 2.07 */
	uint64_t hardware_subarch_data;
	uint32_t payload_offset, payload_length; /* 2.08 */
	uint64_t setup_data;         /* 2.09 */
	uint64_t pref_address;       /* 2.10 */
	uint32_t init_size;          /* 2.10 */
	uint32_t handover_offset;    /* 2.11 */
	uint32_t kernel_info_offset; /* 2.15 */
} PACKED;

struct linux_screen_info {
	uint8_t orig_x, orig_y;
	uint16_t ext_mem_k, orig_video_page;
	uint8_t orig_video_mode, orig_video_cols, flags, unused2;
	uint16_t orig_video_ega_bx, unused3;
	uint8_t orig_video_lines, orig_video_is_vga;
	uint16_t orig_video_points;
	uint16_t lfb_width, lfb_height, lfb_depth;
	uint32_t lfb_base, lfb_size;
	uint16_t cl_magic, cl_offset, lfb_linelength;
	uint8_t red_size, red_pos, green_size, green_pos, blue_size, blue_pos, rsvd_size, rsvd_pos;
	uint16_t vesapm_seg, vesapm_off, pages, vesa_attributes;
	uint32_t capabilities, ext_lfb_base;
	uint8_t reserved[2];
} PACKED;

#define LINUX_VIDEO_VGA_TEXT 0x01u
#define LINUX_VIDEO_VLFB 0x23u
#define LINUX_VIDEO_EFI 0x70u
#define LINUX_VIDEO_64BIT_BASE (1u << 1)

struct linux_efi_info {
	uint32_t loader_signature, systab, memdesc_size, memdesc_version, memmap, memmap_size, systab_hi, memmap_hi;
} PACKED;

#define LINUX_EFI_32 0x32334c45u /* "EL32" */
#define LINUX_EFI_64 0x34364c45u /* "EL64" */

struct linux_e820_entry {
	uint64_t address, size;
	uint32_t type;
} PACKED;

#define LINUX_E820_MAX 128u

struct linux_boot_params {
	struct linux_screen_info screen_info;
	uint8_t unused_040[0x70 - 0x40];
	uint64_t acpi_rsdp_addr;
	uint8_t unused_078[0xc0 - 0x78];
	uint32_t ext_ramdisk_image, ext_ramdisk_size, ext_cmd_line_ptr;
	uint8_t unused_0cc[0x1c0 - 0xcc];
	struct linux_efi_info efi_info;
	uint32_t alt_mem_k, scratch;
	uint8_t e820_entries;
	uint8_t unused_1e9[0x1ef - 0x1e9];
	uint8_t sentinel, unused_1f0;
	struct linux_setup_header header;
	uint8_t unused_26c[0x2d0 - 0x26c];
	struct linux_e820_entry e820_table[LINUX_E820_MAX];
	uint8_t unused_cd0[0x1000 - 0xcd0];
} PACKED;

#define LINUX_HEADER_END_MAX 0x290u /* where boot_params has the next thing */

struct linux_setup_data {
	uint64_t next;
	uint32_t type, bytes;
} PACKED;

#define LINUX_SETUP_E820_EXT 1u

_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, jump) == 0x200, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, magic) == 0x202, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, code32_start) == 0x214, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, cmd_line_ptr) == 0x228, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, cmdline_size) == 0x238, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, setup_data) == 0x250, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + offsetof(struct linux_setup_header, init_size) == 0x260, "boot.rst");
_Static_assert(LINUX_HEADER_OFFSET + sizeof(struct linux_setup_header) == 0x26c, "boot.rst");
_Static_assert(sizeof(struct linux_screen_info) == 0x40, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, orig_video_is_vga) == 0x0f, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, lfb_base) == 0x18, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, lfb_linelength) == 0x24, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, ext_lfb_base) == 0x3a, "zero-page.rst");
_Static_assert(sizeof(struct linux_efi_info) == 0x20, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, acpi_rsdp_addr) == 0x70, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, ext_ramdisk_image) == 0xc0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, efi_info) == 0x1c0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, alt_mem_k) == 0x1e0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_entries) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, sentinel) == 0x1ef, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, header) == LINUX_HEADER_OFFSET, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_table) == 0x2d0, "zero-page.rst");
_Static_assert(sizeof(struct linux_boot_params) == 0x1000, "zero-page.rst");
_Static_assert(sizeof(struct linux_setup_data) == 16, "boot.rst");
