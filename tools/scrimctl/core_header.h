/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the head of an ELF64 core file: program headers, and the notes that crash, gdb and drgn read. */
#pragma once

#include <stddef.h>

#include "kernel_map.h"
#include "ranges.h"

/* One CPU as IMAGE_CPU tells it. */
struct core_cpu {
	uint64_t registers[SCRIM_REG_COUNT];
};

/* What a core file is about. Lists belong to the caller. */
struct core_plan {
	struct range_list ram; /* whole pages, in the order in which they are written behind the head */
	struct kernel_map kernel;
	struct core_cpu *cpus;
	size_t cpu_count;
	const void *vmcoreinfo; /* a whole note; NULL: there is none */
	size_t vmcoreinfo_bytes;
};

/*
 * The head, a multiple of PAGE_BYTES, to be freed: the ELF header, PT_NOTE, PT_LOAD of each range with its physical address
 * and that of the direct map, where it is known, else the physical address twice; then PT_LOADs of those kernel segments
 * that lead to the same bytes of the file from elsewhere. NULL: no memory.
 */
void *core_header(const struct core_plan *plan, size_t *bytes) MUST_CHECK;
