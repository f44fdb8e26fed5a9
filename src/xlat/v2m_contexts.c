/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the address spaces that the CPU has been in, by their CR3, root and PCID, and which of them may be used as they stand when the OS comes back.
 *
 * With CR4.PCIDE a TLB keeps what it has of a PCID until that PCID is flushed, whichever is current meanwhile, and a load of CR3 with bit 63 flushes nothing
 * (SDM vol. 3, 4.10.2 to 4.10.4.1; APM vol. 2, 5.5.1). So a context that has been inspected is trusted from then on: what it has, its links too, a TLB and its
 * paging-structure caches could have, and a load of CR3 that flushes nothing inspects nothing of it. Whatever flushes its PCID while it is not current ends the trust;
 * then it is inspected at its next load, whatever that one says.
 *
 *   - One context of a PCID at most is trusted, the one loaded last. A TLB may use what it has of a PCID under another root as well; here each has its own, and what the
 *     OS flushes of the current PCID, by INVLPG say, need not be looked for elsewhere.
 *   - INVLPG takes global entries away from all PCIDs. Those of the upper half are shared by all contexts; a context that has had others is never trusted.
 *   - What the upper half has that is not global is of the PCID that is current: it is inspected at every load.
 *
 * Without PCIDs every load of CR3 flushes, and all contexts are PCID 0's.
 */
#include "xlat/v2m_pages.h"

#define NO_FLUSH (1ull << 63)
#define PCID_MASK 0xfffull
#define HI_RESERVED (0x7ffull << 52)
#define HIGH_ADDRESS (0xffull << 44) /* what `source` has no room for: such pages are at home, and no other page is there */
#define SAME (PTE_P | PTE_W | PTE_U | PTE_PWT | PTE_PCD | PTE_D | PTE_PAT | PTE_G | PTE_KEYS | PTE_NX)

static bool has_pcids(const struct v2m *v2m)
{
	return v2m->paging.cr4 & MMU_CR4_PCIDE;
}

static uint32_t pcid_of(const struct v2m *v2m, uint64_t cr3)
{
	return has_pcids(v2m) ? (uint32_t)(cr3 & PCID_MASK) : 0;
}

static void name_root(struct v2m *v2m, uint32_t which, uint64_t cr3)
{
	struct v2m_context *context = &v2m->context[which];

	context->cr3 = cr3;
	v2m->page[context->root].guest = cr3;
	v2m->page[context->root].gfn = gfn_of_address(guest_is_long(&v2m->paging) ? cr3 & PTE_ADDRESS : cr3 & 0xffffffe0);
	v2m->page[context->root].part = 0;
}

static void add_context(struct v2m *v2m, uint64_t cr3)
{
	uint32_t root = V2M_NONE;

	if (v2m->context_count == V2M_CONTEXTS)
		v2m_make_room(v2m);
	while ((root = v2m_take(v2m, v2m->levels)) == V2M_NONE)
		v2m_make_room(v2m);
	v2m->current = v2m->context_count++;
	v2m->context[v2m->current] = (struct v2m_context){ .root = root };
	name_root(v2m, v2m->current, cr3);
}

static bool find_context(struct v2m *v2m, uint64_t cr3)
{
	uint8_t *hint = &v2m->hint[cr3 >> PAGE_SHIFT & (V2M_CONTEXTS - 1)];

	if (*hint < v2m->context_count && v2m->context[*hint].cr3 == cr3) {
		v2m->current = *hint;
		return true;
	}
	for (uint32_t i = 0; i < v2m->context_count; i++)
		if (v2m->context[i].cr3 == cr3) {
			v2m->current = i;
			*hint = (uint8_t)i;
			return true;
		}
	return false;
}

/* An OS has fewer PCIDs than address spaces and gives them to one after another. What a root had under the one that it has lost serves under the new one. */
static bool take_over(struct v2m *v2m, uint64_t cr3)
{
	for (uint32_t i = 0; has_pcids(v2m) && i < v2m->context_count; i++)
		if (!v2m->context[i].trusted && !((v2m->context[i].cr3 ^ cr3) & PTE_ADDRESS)) {
			name_root(v2m, i, cr3);
			v2m->current = i;
			return true;
		}
	return false;
}

static void distrust(struct v2m *v2m, uint32_t pcid)
{
	for (uint32_t i = 0; i < v2m->context_count; i++)
		if (pcid_of(v2m, v2m->context[i].cr3) == pcid)
			v2m->context[i].trusted = false;
}

/* The current address space and what is shared, as a flush leaves them. */
static void flush_current(struct v2m *v2m)
{
	v2m_sync_space(v2m);
	v2m_sync_local(v2m);
	v2m->context[v2m->current].trusted = true;
	v2m->flush = true;
}

void v2m_load_cr3(struct v2m *v2m, uint64_t cr3)
{
	bool flushes = !has_pcids(v2m) || !(cr3 & NO_FLUSH);

	cr3 &= ~NO_FLUSH;
	v2m->paging.cr3 = cr3;
	if (!find_context(v2m, cr3) && !take_over(v2m, cr3))
		add_context(v2m, cr3);
	struct v2m_context *context = &v2m->context[v2m->current];
	if (!context->trusted)
		distrust(v2m, pcid_of(v2m, cr3));
	v2m->count.flushes += flushes;
	context->stamp = ++v2m->clock;
	if (flushes || !context->trusted || context->has_global) {
		flush_current(v2m);
		return;
	}
	v2m->count.returns++;
	v2m_bound_space(v2m);
	v2m_sync_local(v2m);
	v2m->flush = true; /* all contexts have one PCID in the CPU */
}

/* --- INVPCID --- */

/* What the upper half has is global, and may stay, or is inspected when the PCID is current again. */
static bool clear_elsewhere(struct v2m *v2m, uint32_t pcid, uint64_t linear)
{
	bool any = false;

	for (uint32_t i = 0; i < v2m->context_count; i++)
		if (v2m->context[i].trusted && pcid_of(v2m, v2m->context[i].cr3) == pcid && !(linear >> 63))
			any |= v2m_clear_address(v2m, v2m->context[i].root, linear);
	return any;
}

bool v2m_invpcid(struct v2m *v2m, enum v2m_invpcid type, uint32_t pcid, uint64_t linear)
{
	bool is_current = pcid == pcid_of(v2m, v2m->paging.cr3);

	if (type == V2M_INVPCID_ADDRESS && is_current)
		return v2m_invalidate(v2m, linear);
	v2m->count.flushes++;
	if (type == V2M_INVPCID_ADDRESS)
		return clear_elsewhere(v2m, pcid, linear);
	if (type == V2M_INVPCID_PCID && !is_current) {
		distrust(v2m, pcid);
		return false;
	}
	if (type != V2M_INVPCID_PCID)
		for (uint32_t i = 0; i < v2m->context_count; i++)
			v2m->context[i].trusted = false;
	if (type == V2M_INVPCID_ALL_GLOBAL)
		for (uint32_t slot = 0; slot < V2M_KERNEL_SLOTS; slot++)
			v2m_drop_kernel(v2m, slot);
	flush_current(v2m);
	return false;
}

/* --- start --- */

void v2m_start(struct v2m *v2m, const struct guest_paging *paging, uint32_t kept)
{
	bool is_long = guest_is_long(paging), has_nx = is_long || !guest_is_two_level(paging);

	v2m->paging = *paging;
	v2m->paging.cr3 &= ~NO_FLUSH;
	v2m->kept = kept;
	v2m->levels = !is_long ? 3 : paging->cr4 & MMU_CR4_LA57 ? 5 : 4;
	v2m->reserved = guest_is_two_level(paging) ? 0 : PTE_ADDRESS & ~((1ull << v2m->cpu.address_bits) - 1);
	v2m->reserved |= (has_nx && !(paging->efer & MMU_EFER_NXE) ? PTE_NX : 0) | (has_nx && !is_long ? HI_RESERVED : 0);
	v2m->same = SAME | HIGH_ADDRESS | (v2m->levels == 3 && !guest_is_two_level(paging) ? HI_RESERVED : 0);
	v2m->context_count = 0;
	v2m->running = true;
	add_context(v2m, v2m->paging.cr3);
	v2m->context[v2m->current].trusted = true;
	v2m->context[v2m->current].stamp = ++v2m->clock;
	v2m->flush = true;
}
