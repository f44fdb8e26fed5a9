/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the last machine-check addresses that the OS was told. What is told is where the page is now: one that has moved away between the
 * error and this moment is not found any more, and nobody, or who came after it, is named instead.
 */
#include "virt/machine_check.h"

#define KEPT 32u

struct told {
	uint64_t physical, machine;
};

static struct told told[KEPT]; /* a ring; machine lock */
static uint64_t told_count;    /* since the memory was virtualized */

static bool translate(uint64_t *address)
{
	gfn_t page;

	if (!mem_find_occupant(&machine.mem, mfn_of_address(*address), &page))
		return false;
	*address = gfn_address(page) | (*address & PAGE_MASK);
	return true;
}

bool machine_check_translate(struct cpu *self, uint64_t *address)
{
	machine_lock(self);
	bool found = translate(address);
	machine_unlock();
	return found;
}

bool machine_check_tell(struct cpu *self, uint64_t *address)
{
	uint64_t hardware = *address;

	machine_lock(self);
	bool found = translate(address);
	if (found)
		told[told_count++ % KEPT] = (struct told){ *address, hardware };
	machine_unlock();
	return found;
}

bool machine_check_get(uint64_t index, uint64_t *physical, uint64_t *told_by_hardware)
{
	if (index >= told_count || index >= KEPT)
		return false;
	const struct told *entry = &told[(told_count - 1 - index) % KEPT];
	*physical = entry->physical;
	*told_by_hardware = entry->machine;
	return true;
}

void machine_check_forget(void)
{
	told_count = 0;
}
