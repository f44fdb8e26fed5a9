/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the one function that checks every invariant of the map; tests call it after every step, `check` on demand. */
#pragma once

#include "mem/mem.h"

struct mem_view {
	enum scrim_state state;     /* of the memory: never GUARDED */
	bool all_cpus_translate;    /* every CPU that runs the OS is behind the map */
	bool devices_bypass;        /* a device that may write where pages may be displaced is not */
};

/*
 * Also while batches are in flight: their pages are absent then. Costs a sweep over P2M for each 128 MiB of frames.
 * SCRIM_HOLDS, or which invariant does not hold and an address (bytes) where.
 */
enum scrim_violation mem_check(struct mem *mem, const struct mem_view *view, uint64_t *where) MUST_CHECK;
