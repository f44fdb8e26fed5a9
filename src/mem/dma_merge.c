/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. Keeps what devices write to a page while it moves:
 *
 *     old        what was there   + written before the switch, or in flight then
 *     pristine   what was there
 *     new        what was there                                 + written after the switch
 *
 * Every byte counts by itself, for a device may write any of them. It differs from the pristine one where it has been written;
 * written in both frames it is the new frame's, which was written later.
 *
 * All hangs on new == pristine, byte for byte, at the switch: so one load of the old frame goes to both. Of two loads, one for each,
 * a device's write between them would be taken for a newer one, or be overlooked.
 *
 * Devices may write the word that is merged. A locked instruction is atomic for them too (Intel SDM vol. 3, "Locked Atomic Operations";
 * AMD APM vol. 2, 7.3.2), as long as their writes are snooped: so the IOMMU has to enforce that.
 */
#include "mem/dma_merge.h"

/* FFh for each byte that is not 0. */
static uint64_t bytes_set(uint64_t value)
{
	const uint64_t low7 = 0x7f7f7f7f7f7f7f7full;
	uint64_t top = (((value & low7) + low7) | value) & ~low7;

	return (top >> 7) * 0xff;
}

/* How many bytes of a mask are FFh: each adds 1 to the highest byte of the product. */
static uint32_t count_bytes(uint64_t mask)
{
	const uint64_t ones = 0x0101010101010101ull;

	return (uint32_t)((mask & ones) * ones >> 56);
}

void dma_merge_copy(const uint64_t *old, uint64_t *pristine, uint64_t *new, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes / sizeof(uint64_t); i++) {
		uint64_t word = __atomic_load_n(&old[i], __ATOMIC_RELAXED);

		pristine[i] = word;
		new[i] = word;
	}
}

/* Each turn but the first is a device's write to this very word. */
static uint32_t merge_word(uint64_t old, uint64_t pristine, uint64_t *new)
{
	uint64_t written = bytes_set(old ^ pristine), now = __atomic_load_n(new, __ATOMIC_RELAXED), take;

	do {
		take = written & ~bytes_set(now ^ pristine);
	} while (take && !__atomic_compare_exchange_n(new, &now, (now & ~take) | (old & take), false, __ATOMIC_SEQ_CST,
						      __ATOMIC_RELAXED));
	return count_bytes(take);
}

uint32_t dma_merge_late_writes(const uint64_t *old, const uint64_t *pristine, uint64_t *new, uint32_t bytes)
{
	uint32_t taken = 0;

	/* Hardly ever does one differ: a page is written within these microseconds or it is not. */
	for (uint32_t i = 0; i < bytes / sizeof(uint64_t); i++)
		if (old[i] != pristine[i])
			taken += merge_word(old[i], pristine[i], &new[i]);
	return taken;
}
