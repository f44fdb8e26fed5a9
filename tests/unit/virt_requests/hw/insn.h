/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what src/virt uses of the real header of this name, in whose place it is compiled: time that passes by the call, and
 * a pause in which the other CPUs run. A halt is one without an end.
 */
#pragma once

#include "base/types.h"

uint64_t rdtsc(void);
void cpu_pause(void);
void hlt(void);
bool wrmsr_safe(uint32_t msr, uint64_t value);

static inline void rep_movsq(void *to, const void *from, uint64_t words)
{
	__builtin_memcpy(to, from, words * sizeof(uint64_t));
}
