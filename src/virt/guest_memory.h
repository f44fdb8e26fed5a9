/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the OS's memory to Scrim where a CPU's tables would lead it: through the map, with what CPUs may do there. */
#pragma once

#include "virt/machine.h"
#include "xlat/guest_mmu.h"

/* At boot. `mapped_end`: where Scrim's own view of the machine ends. */
void guest_memory_init(uint64_t mapped_end);

/* The frame of any page, and what CPUs may do with it now. Without the lock under mem_translate()'s condition. */
mfn_t guest_memory_frame(void *context, gfn_t page, enum mem_access *access);

/* Its bytes; NULL: Scrim does not see it. The OS's tables may lie anywhere; where Scrim maps nothing there is no memory. */
uint8_t *guest_memory_page(void *context, gfn_t page, enum mem_access *access);

/*
 * In an exit of this CPU: pages of a buffer at `linear`, page-aligned, of the program that exited. Returns how many of the first
 * `count`, at most SCRIM_IMAGE_READ_MAX, it may write
 * as it runs; at the next it would meet a fault, the OS's or Scrim's. page[]: their bytes, good until the CPU waits.
 */
uint32_t guest_memory_buffer(const struct cpu *self, uint64_t linear, uint32_t count, uint8_t **page);

/* The same: the bytes from `linear` on to the end of its page, which the program may read. NULL: a fault. */
const uint8_t *guest_memory_readable(const struct cpu *self, uint64_t linear);

/* The same: a number for the address space that it runs in, the same in user mode and in the kernel (KPTI); and which of the two it is. */
uint64_t guest_memory_space(const struct cpu *self, bool *is_user);
