/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing; one walker, the four formats as a small table of shapes. */
#include "xlat/guest_walk.h"

#define CR0_PG (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)

#define PTE_PRESENT 1ull
#define PTE_LARGE (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull

struct shape {
	uint32_t levels;
	uint32_t entry_bytes;
	uint32_t index_bits; /* of every level but the top one of PAE, which has 2: its upper address bits are zero anyway */
	uint64_t root_mask;  /* of CR3 */
};

static const struct shape two_level = { 2, 4, 10, 0xfffff000 };
static const struct shape pae = { 3, 8, 9, 0xffffffe0 };
static const struct shape four_level = { 4, 8, 9, PTE_ADDRESS };
static const struct shape five_level = { 5, 8, 9, PTE_ADDRESS };

static const struct shape *shape_of(const struct guest_paging *paging)
{
	if (!(paging->cr4 & CR4_PAE))
		return &two_level;
	if (!(paging->efer & EFER_LMA))
		return &pae;
	return paging->cr4 & CR4_LA57 ? &five_level : &four_level;
}

/* True when a present entry of this level is a leaf. */
static bool is_leaf(const struct guest_paging *paging, const struct shape *shape, uint32_t level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE))
		return false;
	if (shape == &two_level)
		return paging->cr4 & CR4_PSE;
	return level == 2 || (level == 3 && shape != &pae);
}

static uint64_t leaf_address(const struct shape *shape, uint32_t level, uint64_t entry, uint64_t offset_mask)
{
	/* A 4 MiB page keeps address bits 39-32 in bits 20-13 (PSE-36, APM vol. 2, 5.2.2). */
	if (shape == &two_level && level == 2)
		return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
	return entry & PTE_ADDRESS & ~offset_mask;
}

bool guest_walk(const struct guest_paging *paging, uint64_t linear, guest_read_fn read, void *context, uint64_t *physical)
{
	if (!(paging->cr0 & CR0_PG)) {
		*physical = (uint32_t)linear;
		return true;
	}
	const struct shape *shape = shape_of(paging);
	if (shape == &two_level || shape == &pae)
		linear &= 0xffffffff;
	uint64_t table = paging->cr3 & shape->root_mask;
	for (uint32_t level = shape->levels;; level--) {
		uint32_t shift = 12 + shape->index_bits * (level - 1);
		uint64_t index = linear >> shift & ((1ull << shape->index_bits) - 1);
		uint64_t entry = 0;
		if (!read(context, table + index * shape->entry_bytes, &entry, shape->entry_bytes) || !(entry & PTE_PRESENT))
			return false;
		if (is_leaf(paging, shape, level, entry)) {
			uint64_t mask = (1ull << shift) - 1;
			*physical = leaf_address(shape, level, entry, mask) | (linear & mask);
			return true;
		}
		table = entry & (shape == &two_level ? 0xfffff000 : PTE_ADDRESS);
	}
}
