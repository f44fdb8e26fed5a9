/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the plan of who lies where at boot: Scrim's own block, its start-up page, the kernel, the initrd.
 * Pure arithmetic over the memory map; nothing is copied here. All fits, or a line says why not and nothing happens.
 */
#pragma once

#include "boot/boot_info.h"
#include "boot/guest_image.h"

struct placement {
	uint64_t own_start, own_end;       /* Scrim's block: 2 MiB aligned at both ends, highest below 4 GiB that fits */
	uint64_t startup_page;             /* 4 KiB page below 1 MiB (not page 0) for the CPUs' real-mode start */
	uint64_t kernel_start, kernel_end; /* Linux: [address, address + init_bytes); multiboot 1: hull of the segments */
	uint64_t initrd_start, initrd_end; /* page aligned start; empty when there is no second module */
	uint64_t kernel_file;              /* where the kernel's module must lie while its segments are taken from it: moved
					      there first when several segments would overwrite it, else where it lies */
	uint64_t params_start, params_end; /* boot_params or multiboot information, command line, module list, for the guest */
};

#define PLACEMENT_PARAMS_BYTES KIB(128)

/*
 * Chooses all addresses. `own_bytes` is what Scrim needs in all; `image_start`/`image_end` is where Scrim lies now. The rules:
 *  - own block: RAM below 4 GiB, above 1 MiB, disjoint from both modules' bytes where they lie now and from where Scrim
 *    lies now (Scrim copies itself there first), and from where a kernel that cannot be relocated must lie; where a
 *    relocatable one would like to lie is kept free too if there is another place;
 *  - start-up page: RAM in [4 KiB, 636 KiB), the highest that is free, no firmware area;
 *  - kernel: at its wished address if that is RAM not in the own block; else, if relocatable, the lowest fitting aligned
 *    address above its wish (below it Linux unpacks itself at the wish all the same) below 4 GiB; may overlap its own module and (Scrim having moved away) Scrim's
 *    old place. It may overlap the initrd's module only because the initrd is moved first.
 *  - initrd: RAM, highest fitting page-aligned address <= initrd_max, disjoint from own block, kernel's new place and
 *    *kernel's module*; may overlap its own module (it is moved with memmove before the kernel is).
 *  - params: RAM below 4 GiB, above 1 MiB where possible, disjoint from everything above and from both modules' bytes;
 *  - kernel_file: disjoint from everything above, where the module has to be moved;
 *  - UEFI boot services memory is used only where there is no other way.
 * Apply in this order: own block, initrd, (kernel's module to kernel_file), params, kernel.
 * `memory` is normalized and as firmware gave it. Returns NULL, or the line to print.
 */
const char *placement_plan(const struct range_list *memory, const struct boot_info *boot, const struct guest_image *image,
			   uint64_t own_bytes, uint64_t image_start, uint64_t image_end, struct placement *out) MUST_CHECK;
