/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the real header's lock, in whose place it is compiled: other CPUs may run before it is taken, and after it is free. */
#pragma once

#include "hw/insn.h"

struct lock {
	uint32_t taken;
};

bool lock_try(struct lock *lock);
void lock_release(struct lock *lock);
