/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the walk of the OS's own page tables (V2P) in every paging mode, for reading instructions of the OS's. */
#pragma once

#include "base/types.h"

struct guest_paging {
	uint64_t cr0, cr3, cr4, efer;
};

/* Reads one page-table word at a physical address of the OS's. False: not RAM. */
typedef bool (*guest_read_fn)(void *context, uint64_t physical, void *to, uint32_t bytes);

/*
 * Translates a linear address to the OS's physical address. False: not mapped (or the tables lie outside RAM). Rights are
 * not looked at and accessed bits not set: the CPU has just fetched from there itself.
 * AMD APM vol. 2, 5.2 (legacy modes) and 5.3 (long mode).
 */
bool guest_walk(const struct guest_paging *paging, uint64_t linear, guest_read_fn read, void *context, uint64_t *physical);
