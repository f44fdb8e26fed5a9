/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what src/iommu uses of the real header of this name, in whose place it is compiled: registers of simulated units, and time that passes by the call. */
#pragma once

#include "base/types.h"

uint64_t rdtsc(void);
void clflush(const void *line);
uint32_t mmio_read32(uint64_t address);
uint64_t mmio_read64(uint64_t address);
void mmio_write32(uint64_t address, uint32_t value);
void mmio_write64(uint64_t address, uint64_t value);

static inline void mfence(void) {}
static inline void cpu_pause(void) {}
