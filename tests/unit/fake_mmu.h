/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a second walk of page tables, written from AMD APM vol. 2, 5.2 to 5.6 one mode at a time, over a flat memory. What
 * src/xlat/guest_mmu.c and the tables of src/xlat/v2m.c do is held against it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "xlat/guest_mmu.h"

/* One word of the memory: `bytes` are 4 or 8. */
typedef uint64_t (*fake_read_fn)(uint64_t physical, uint32_t bytes);
typedef void (*fake_write_fn)(uint64_t physical, uint64_t value, uint32_t bytes);

struct fake_mmu {
	struct guest_paging paging;
	struct guest_cpu cpu;
	fake_read_fn read;
	fake_write_fn write; /* NULL: accessed and dirty bits are not set */
};

struct fake_translation {
	bool ok;
	uint32_t error;    /* where not */
	uint64_t physical; /* of the byte */
	uint64_t size;     /* of the page */
	uint64_t leaf;     /* where the last entry of the way stands */
	bool may_write, may_user, may_fetch; /* by all levels together */
	bool global, dirty;
	bool accessed; /* every entry of the way was marked before this walk, or by it; PAE's root has no such bit */
	bool accessed_above; /* the same of all but the last one */
};

struct fake_translation fake_mmu_walk(const struct fake_mmu *mmu, const struct guest_access *access);

/* The access against a translation that some TLB holds: true where its rights do. */
bool fake_mmu_allows(const struct guest_paging *paging, const struct fake_translation *held, const struct guest_access *access);
