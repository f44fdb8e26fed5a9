/* SPDX-License-Identifier: BSD-2-Clause */
/* Nothing is left out: the time between a page's copy and the devices' new entry, which a machine passes in a microsecond, is made long. */
#include "hw/delay.h"
#include "mem/dma_merge.h"

#define WAIT_US 2000u

void __real_dma_merge_copy(const uint64_t *old, uint64_t *pristine, uint64_t *new, uint32_t bytes);
void __wrap_dma_merge_copy(const uint64_t *old, uint64_t *pristine, uint64_t *new, uint32_t bytes);

void __wrap_dma_merge_copy(const uint64_t *old, uint64_t *pristine, uint64_t *new, uint32_t bytes)
{
	__real_dma_merge_copy(old, pristine, new, bytes);
	delay_us(WAIT_US);
}
