/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the steps by which both multiboot parsers build a struct boot_info from values that a loader gave. */
#pragma once

#include "boot/boot_info.h"
#include "boot/multiboot1_format.h"

/* Adds one piece of the machine's memory map. False when the map has too many pieces even when joined. */
bool boot_info_add_memory(struct boot_info *info, uint64_t base, uint64_t length, uint32_t type) MUST_CHECK;

/* RAM as the two old counts give it: KiB from 0 and KiB from 1 MiB. */
bool boot_info_add_memory_counts(struct boot_info *info, uint32_t lower_kib, uint32_t upper_kib) MUST_CHECK;

/* Takes a linear VBE mode as framebuffer where none is known yet, and notes that it is VBE's; other modes change nothing. */
void boot_info_set_vbe(struct boot_info *info, const struct vbe_mode_info *mode);

/*
 * What is the same in the end: the map is normalized, file names are taken off the strings, the modules are checked to
 * lie in RAM. Returns NULL or the line to print.
 */
const char *boot_info_finish(struct boot_info *info, const char *loader_name) MUST_CHECK;

/*
 * The framebuffer's colour bytes in the order of both specifications: red position, red size, green ..., blue ....
 */
void boot_info_set_colors(struct boot_framebuffer *framebuffer, const uint8_t color[6]);
