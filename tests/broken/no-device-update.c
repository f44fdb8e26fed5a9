/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices go on by Identity, wherever pages go: the IOMMU's entries are not written. */
#include "hw/insn.h"
#include "virt/dma.h"

void __wrap_dma_set(gfn_t page, mfn_t frame, enum mem_access access);
void __wrap_dma_copy(const struct mem_move *move, uint32_t count);

void __wrap_dma_set(gfn_t page, mfn_t frame, enum mem_access access)
{
	(void)page, (void)frame, (void)access;
}

void __wrap_dma_copy(const struct mem_move *move, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		rep_movsq((void *)(uintptr_t)mfn_address(move[i].to), (const void *)(uintptr_t)mfn_address(move[i].from), PAGE_SIZE / sizeof(uint64_t));
}
