/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what src/iommu uses of the real header of this name, in whose place it is compiled: registers of simulated units; time that passes by the call. */
#pragma once

#include "base/types.h"

uint64_t rdtsc(void);
void cpu_pause(void);
void mfence(void);
void clflush(const void *line);
uint64_t mmio_read64(uint64_t address);
void mmio_write64(uint64_t address, uint64_t value);
