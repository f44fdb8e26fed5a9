/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads entries on a miss, level by level beside the OS's own tables: an entry above the lowest carries the OS's rights as they are,
 * so that the CPU composes them as it does on the bare machine; a leaf carries them but that
 *
 *   - it may be written only where the OS's entry is dirty, so that the first write comes here and sets that bit, and where P2M lets it;
 *   - it is there only where the OS's entries are marked as accessed.
 *
 * A large page of the OS's is one large entry where its 2 MiB are whole in P2M, else a table of pieces (`split`).
 */
#include "xlat/v2m_pages.h"

#define AROUND 16u /* entries that are loaded along with a neighbour: a power of two */
#define LEAF_KEPT (PTE_P | PTE_U | PTE_PWT | PTE_PCD | PTE_A | PTE_D | PTE_KEYS | PTE_NX)
#define CR4_PGE (1ull << 7)

static mfn_t look_up(struct v2m *v2m, gfn_t page, enum mem_access *access)
{
	mfn_t frame = v2m->port->frame(v2m->port->context, page, access);

	if (*access == MEM_ACCESS_ALL && mfn_is_home(page, frame))
		v2m->count.copied++;
	else
		v2m->count.loads += *access != MEM_ACCESS_NONE;
	return frame;
}

uint64_t v2m_compose(struct v2m *v2m, uint64_t guest, bool is_large_guest, uint32_t level, gfn_t page)
{
	enum mem_access access = MEM_ACCESS_ALL;
	mfn_t frame = gfn_home(page);

	/* Where no page of the 2 MiB is displaced or protected, a portion that is not managed among them, nothing is composed. */
	if (v2m->port->is_whole(v2m->port->context, page))
		v2m->count.copied++;
	else
		frame = look_up(v2m, page, &access);
	if (access == MEM_ACCESS_NONE)
		return 0;
	uint64_t entry = mfn_address(frame) | (guest & LEAF_KEPT);
	if (guest & PTE_W && guest & PTE_D && access == MEM_ACCESS_ALL && !v2m_links_is_guarded(v2m->port->links, page))
		entry |= PTE_W;
	if (guest & PTE_G && v2m->paging.cr4 & CR4_PGE)
		entry |= PTE_G;
	if (guest & (is_large_guest ? PTE_PAT_LARGE : PTE_PAT))
		entry |= level == 1 ? PTE_PAT : PTE_PAT_LARGE;
	return level == 1 ? entry : entry | PTE_LARGE;
}

uint64_t v2m_root(const struct v2m *v2m)
{
	return v2m_machine_of(v2m, v2m_root_page(v2m));
}

/* --- load --- */

struct load {
	uint64_t linear;
	const struct guest_mapping *mapping;
	uint32_t step;    /* of the mapping: the entry that leads on */
	uint32_t at, level;
	bool is_two_level;
	bool was_link;    /* below it the CPU has missed what the OS's tables allow: it composes, till it comes back to the address space */
	bool is_linked;   /* the OS's own table is where the way ends */
};

/* The OS's entry for this level is its leaf. */
static bool at_leaf(const struct load *load)
{
	return load->step + 1 == load->mapping->count;
}

/* P of what the entry at `level` maps. */
static gfn_t page_at(const struct load *load)
{
	uint64_t in_leaf = load->linear & ((1ull << load->mapping->shift) - 1);

	return gfn_of_address(align_down(load->mapping->physical + in_leaf, 1ull << (12 + 9 * (load->level - 1))));
}

/* Tables of two levels have no root of four: that one is Scrim's, and leads to the quarters of the OS's. */
static bool is_above_two_level(const struct load *load)
{
	return load->is_two_level && load->level == 3;
}

static uint64_t guest_above(const struct v2m *v2m)
{
	return (v2m->paging.cr3 & 0xfffff000) | PTE_P;
}

/* The child that is there and mirrors what the OS's entry says now. */
static uint32_t find_child(struct v2m *v2m, struct load *load, uint32_t index, uint64_t guest, bool split)
{
	uint64_t entry = v2m->table[load->at][index];
	uint32_t child;

	if (v2m_is_kernel_slot(v2m, load->at, index)) {
		uint32_t slot = index - V2M_ENTRIES / 2;
		if (v2m->kernel[slot] && v2m->page[v2m->kernel[slot] - 1].guest == guest)
			return v2m->kernel[slot] - 1;
		v2m_drop_kernel(v2m, slot);
		return V2M_NONE;
	}
	if (!entry)
		return V2M_NONE;
	load->was_link = v2m_is_link(v2m, entry, load->level);
	child = v2m_is_leaf(entry, load->level) || load->was_link ? V2M_NONE : v2m_child(v2m, entry);
	if (child != V2M_NONE && v2m->page[child].guest == guest && v2m->page[child].split == split) {
		if (v2m_is_asleep(entry))
			v2m_wake(v2m, load->at, index);
		return child;
	}
	v2m_clear(v2m, load->at, index);
	return V2M_NONE;
}

static uint64_t child_flags(const struct v2m *v2m, const struct load *load, uint64_t guest, bool split)
{
	if (v2m->levels == 3 && load->level == 3) /* PAE's root has no rights */
		return PTE_P;
	return PTE_P | PTE_A | (split ? PTE_W | PTE_U : guest & V2M_TABLE_KEPT);
}

/* Goes down to the table behind entry `index`, a new one where need be. False: no room. */
static bool descend(struct v2m *v2m, struct load *load, uint32_t index)
{
	bool above = is_above_two_level(load), split = !above && at_leaf(load);
	uint64_t guest = above ? guest_above(v2m) : load->mapping->entry[load->step];
	uint32_t child = find_child(v2m, load, index, guest, split);

	if (child == V2M_NONE) {
		load->is_linked = load->level == 2 && !split && !load->was_link && v2m_put_link(v2m, load->at, index, guest);
		if (load->is_linked)
			return true;
		child = v2m_take(v2m, load->level - 1);
		if (child == V2M_NONE)
			return false;
		struct v2m_page *page = &v2m->page[child];
		page->guest = guest;
		page->split = split;
		page->part = (uint8_t)(above ? index : index & 1);
		page->gfn = split ? page_at(load) : gfn_of_address(guest & PTE_ADDRESS);
		if (v2m_is_kernel_slot(v2m, load->at, index))
			v2m->kernel[index - V2M_ENTRIES / 2] = child + 1;
		v2m_put_child(v2m, load->at, index, child, child_flags(v2m, load, guest, split));
	} else if (!v2m->table[load->at][index]) { /* a kernel subtree that this context has not met yet */
		v2m_put_child(v2m, load->at, index, child, child_flags(v2m, load, guest, split));
	}
	load->step += above || split ? 0 : 1;
	load->at = child;
	load->level--;
	return true;
}

gfn_t v2m_target(const struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	const struct v2m_page *p = &v2m->page[page];

	if (p->split)
		return gfn(p->gfn.n + ((uint64_t)index << 9 * (p->level - 1)));
	if (p->level == 1)
		return gfn_of_address(guest & PTE_ADDRESS);
	if (guest_is_two_level(&v2m->paging)) /* half a page of 4 MiB, PSE-36 */
		return gfn_of_address((guest & 0xffc00000) | (guest >> 13 & 0xff) << 32 | (index & 1 ? 1ull << 21 : 0));
	return gfn_of_address(guest & PTE_ADDRESS & ~((1ull << 21) - 1));
}

/*
 * Neighbours that the OS's entries allow as they are: what a CPU may load by itself at any time. Their own accessed bit is clear: those that
 * the CPU does not come to use go (v2m_use.c).
 */
static void load_around(struct v2m *v2m, uint32_t at, uint32_t index)
{
	const struct v2m_page *page = &v2m->page[at];
	const uint8_t *base = page->split ? NULL : v2m_guest_table(v2m, at);

	if (!page->split && !base)
		return;
	uint32_t first = index & ~(AROUND - 1);
	for (uint32_t left = (uint16_t)(~page->loaded[first / 64] >> first % 64); left; left &= left - 1) {
		uint32_t i = first + (uint32_t)__builtin_ctz(left);
		uint64_t guest = page->split ? page->guest : v2m_guest_entry(v2m, at, base, i);
		if ((guest & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || guest & v2m->reserved)
			continue;
		gfn_t source = v2m_target(v2m, at, i, guest);
		uint64_t entry = v2m_compose(v2m, guest, page->split, 1, source);
		if (entry)
			v2m_put_leaf(v2m, at, i, entry & ~PTE_A, source);
	}
}

/* False: no room; what was linked meanwhile is sound. */
static bool load_entry(struct v2m *v2m, uint64_t linear, const struct guest_mapping *mapping, bool *replaced)
{
	struct load load = { .linear = linear, .mapping = mapping, .at = v2m_root_page(v2m), .level = v2m->levels,
			     .is_two_level = guest_is_two_level(&v2m->paging) };
	uint32_t index;

	for (;;) {
		index = v2m_index(linear, load.level);
		bool leaf = !is_above_two_level(&load) && at_leaf(&load);
		if (leaf && (load.level == 1 || (load.level == 2 && v2m_is_large_possible(v2m, page_at(&load)))))
			break;
		if (!descend(v2m, &load, index))
			return false;
		if (load.is_linked)
			return true;
	}
	uint64_t guest = mapping->entry[mapping->count - 1];
	uint64_t entry = v2m_compose(v2m, guest, mapping->shift > PAGE_SHIFT, load.level, page_at(&load));
	uint64_t old = v2m->table[load.at][index];
	bool flush = v2m->flush;
	*replaced = old != 0;
	if (old || !(v2m->page[load.at].unused[index / 64] >> index % 64 & 1)) /* else it was only not used */
		v2m->page[load.at].quiet = 0;
	if (entry)
		v2m_put_leaf(v2m, load.at, index, entry, page_at(&load));
	if (old && v2m_is_leaf(old, load.level))
		v2m->flush = flush; /* no table has gone: the one address is all that the TLB may have */
	if (load.level == 1)
		load_around(v2m, load.at, index);
	return true;
}

enum v2m_outcome v2m_miss(struct v2m *v2m, const struct guest_access *access, struct v2m_answer *answer)
{
	const struct v2m_port *port = v2m->port;
	struct guest_mapping mapping;
	enum mem_access rights;

	switch (guest_mmu_walk(&v2m->paging, &v2m->cpu, access, &port->guest, &mapping)) {
	case GUEST_FAULT:
		answer->error = mapping.error;
		return V2M_FAULT;
	case GUEST_WAIT:
		answer->wait = mapping.wait;
		answer->wait_write = mapping.wait_write;
		return V2M_WAIT;
	case GUEST_MAPPED:
		break;
	}
	gfn_t page = gfn_of_address(mapping.physical + (access->linear & ((1ull << mapping.shift) - 1)));
	port->frame(port->context, page, &rights);
	if (rights == MEM_ACCESS_NONE || (access->write && (rights != MEM_ACCESS_ALL || v2m_links_is_guarded(port->links, page)))) {
		answer->wait = page;
		answer->wait_write = access->write;
		return V2M_WAIT;
	}
	while (!load_entry(v2m, access->linear, &mapping, &answer->replaced))
		v2m_make_room(v2m);
	return V2M_AGAIN;
}

static bool find_below_link(const struct v2m *v2m, uint64_t link, uint64_t linear, uint64_t *machine)
{
	const struct guest_port *guest = &v2m->port->guest;
	enum mem_access access;
	const uint64_t *table = (const uint64_t *)(const void *)guest->page(guest->context, gfn_of_address(link & PTE_ADDRESS), &access);
	uint64_t entry = __atomic_load_n(&table[v2m_index(linear, 1)], __ATOMIC_RELAXED);

	*machine = (entry & PTE_ADDRESS) | (linear & PAGE_MASK);
	return entry & PTE_P;
}

bool v2m_find(const struct v2m *v2m, uint64_t linear, uint64_t *machine)
{
	const uint64_t *table = v2m->table[v2m_root_page(v2m)];

	for (uint32_t level = v2m->levels;; level--) {
		uint64_t entry = table[v2m_index(linear, level)];
		if (!(entry & PTE_P))
			return false;
		if (v2m_is_link(v2m, entry, level))
			return find_below_link(v2m, entry, linear, machine);
		if (v2m_is_leaf(entry, level)) {
			uint64_t size = 1ull << (12 + 9 * (level - 1));
			*machine = align_down(entry & PTE_ADDRESS, size) | (linear & (size - 1));
			return true;
		}
		table = v2m->table[v2m_child(v2m, entry)];
	}
}

/* --- INVLPG --- */

/* A page of 4 MiB of the OS's is two entries: the other one goes as well, also where this one is not loaded. */
static bool clear_other_half(struct v2m *v2m, uint32_t at, uint32_t index)
{
	uint64_t entry = v2m->table[at][index ^ 1];

	if (!guest_is_two_level(&v2m->paging) || v2m->page[at].level != 2 || !entry)
		return false;
	if (!v2m_is_leaf(entry, 2) && !v2m->page[v2m_child(v2m, entry)].split)
		return false;
	v2m_clear(v2m, at, index ^ 1);
	return true;
}

bool v2m_clear_address(struct v2m *v2m, uint32_t root, uint64_t linear)
{
	uint32_t at = root;
	bool any = false;

	for (uint32_t level = v2m->levels;; level--) {
		uint32_t index = v2m_index(linear, level), child;
		if (v2m_is_kernel_slot(v2m, at, index)) { /* also where this context has no entry: it is global */
			if (!v2m->kernel[index - V2M_ENTRIES / 2])
				return false;
			at = v2m->kernel[index - V2M_ENTRIES / 2] - 1;
			continue;
		}
		any |= clear_other_half(v2m, at, index);
		uint64_t entry = v2m->table[at][index];
		if (!entry)
			return any;
		child = v2m_is_leaf(entry, level) || v2m_is_link(v2m, entry, level) ? V2M_NONE : v2m_child(v2m, entry);
		if (child == V2M_NONE || v2m->page[child].split) {
			bool flush = v2m->flush || level > 1;
			v2m_clear(v2m, at, index);
			v2m->flush = flush; /* a page of 4 KiB: the CPU's own INVLPG is enough */
			return true;
		}
		at = child;
	}
}

/*
 * The OS may also count on it that no entry above the lowest is used any more that it had changed before, wherever it leads (APM vol. 2, 3.1.7: EFER.TCE
 * clear). A copy of a lowest entry may have been in a TLB; a link would be walked, and bits set in a table that the OS has for free. What is another PCID's may stay, and of this one
 * no other context is trusted; nor is any that has global entries of its own (v2m_contexts.c).
 */
bool v2m_invalidate(struct v2m *v2m, uint64_t linear)
{
	v2m->count.flushes++;
	bool any = v2m_clear_address(v2m, v2m_root_page(v2m), linear);
	v2m_sync_links(v2m);
	return any;
}
