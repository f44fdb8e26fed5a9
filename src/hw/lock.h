/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides a spin lock for code that runs with interrupts off and never sleeps. */
#pragma once

#include "hw/insn.h"

struct lock {
	uint32_t taken;
};

static inline bool lock_try(struct lock *lock)
{
	return !__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE);
}

static inline void lock_take(struct lock *lock)
{
	while (!lock_try(lock))
		cpu_pause();
}

static inline void lock_release(struct lock *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}
