/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns where Scrim's view of memory ends. */
#include "virt/guest_memory.h"

#include "virt/vendor.h"

#define SPACE_SHIFT 13u /* below: PCID, and the bit that tells the kernel's table from the user's (Linux, KPTI) */

static uint64_t mapped_end;

void guest_memory_init(uint64_t end)
{
	mapped_end = end;
}

mfn_t guest_memory_frame(void *context, gfn_t page, enum mem_access *access)
{
	mfn_t frame = mem_translate(&machine.mem, page, access);

	(void)context;
	if (*access == MEM_ACCESS_ALL && !watch_is_open(&machine.watch, page))
		*access = MEM_ACCESS_READ;
	return frame;
}

uint8_t *guest_memory_page(void *context, gfn_t page, enum mem_access *access)
{
	uint64_t address = mfn_address(guest_memory_frame(context, page, access));

	return address < mapped_end ? (uint8_t *)(uintptr_t)address : NULL;
}

/* NULL: not to be written now. */
static uint8_t *writable(gfn_t gfn)
{
	enum mem_access rights;
	uint8_t *page = guest_memory_page(NULL, gfn, &rights);

	return page && rights == MEM_ACCESS_ALL && mem_is_ram(&machine.mem, gfn) ? page : NULL;
}

uint32_t guest_memory_buffer(const struct cpu *self, uint64_t linear, uint32_t count, uint8_t **page)
{
	const struct guest_cpu as = { .address_bits = machine.xlat.address_bits, .is_tcg = machine.is_tcg };
	const struct guest_port port = { .page = guest_memory_page };
	struct guest_access access = { 0 };
	uint64_t physical[SCRIM_IMAGE_READ_MAX];
	struct guest_mapping mapping;
	struct guest_paging paging;
	uint32_t done = 0;

	if (!machine.vendor->guest_access(self, &paging, &access))
		return 0;
	for (access.write = true; done < count;) {
		access.linear = linear + done * PAGE_SIZE;
		if (guest_mmu_walk(&paging, &as, &access, &port, &mapping) != GUEST_MAPPED)
			break;
		physical[0] = mapping.physical + (access.linear & ((1ull << mapping.shift) - 1));
		uint32_t found = 1 + guest_mmu_follow(&as, &port, &mapping, access.linear, count - done - 1, physical + 1);
		for (uint32_t i = 0; i < found; i++, done++) {
			page[done] = writable(gfn_of_address(physical[i]));
			if (!page[done])
				return done;
		}
	}
	return done;
}

const uint8_t *guest_memory_readable(const struct cpu *self, uint64_t linear)
{
	const struct guest_cpu as = { .address_bits = machine.xlat.address_bits, .is_tcg = machine.is_tcg };
	const struct guest_port port = { .page = guest_memory_page };
	struct guest_access access = { .linear = linear };
	struct guest_mapping mapping;
	struct guest_paging paging;
	enum mem_access rights;

	if (!machine.vendor->guest_access(self, &paging, &access) ||
	    guest_mmu_walk(&paging, &as, &access, &port, &mapping) != GUEST_MAPPED)
		return NULL;
	uint64_t physical = mapping.physical + (linear & ((1ull << mapping.shift) - 1));
	const uint8_t *page = guest_memory_page(NULL, gfn_of_address(physical), &rights);
	if (!page || rights == MEM_ACCESS_NONE || !mem_is_ram(&machine.mem, gfn_of_address(physical)))
		return NULL;
	return page + (physical & PAGE_MASK);
}

uint64_t guest_memory_space(const struct cpu *self, bool *is_user)
{
	struct guest_access access = { 0 };
	struct guest_paging paging = { 0 };

	machine.vendor->guest_access(self, &paging, &access);
	*is_user = access.user;
	return paging.cr3 >> SPACE_SHIFT;
}
