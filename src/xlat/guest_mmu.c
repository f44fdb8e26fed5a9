/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. An entry is read once and, where a bit is due in it, exchanged against what was read; had somebody changed it meanwhile,
 * the walk begins again, as the CPU's locked cycle would have met the new entry (APM vol. 2, 5.4.2).
 */
#include "xlat/guest_mmu.h"

#define HI_RESERVED (0x7ffull << 52) /* bits 52-62: reserved in PAE tables outside long mode */
#define LARGE_RESERVED_4M (1ull << 21)
#define LONG_LEVELS 4u /* as many as only long mode has */
#define LAST_INDEX 511u
#define RETRIES 1000u /* others write the entry each time: the instruction comes again */

struct shape {
	uint32_t levels, entry_bytes, index_bits;
	uint64_t root_mask;
};

struct walk {
	const struct guest_paging *paging;
	const struct guest_cpu *cpu;
	const struct guest_access *access;
	const struct guest_port *port;
	struct guest_mapping *mapping;
	struct shape shape;
	uint64_t reserved;
	uint64_t rights; /* PTE_W and PTE_U of all entries so far; PTE_NX: some entry forbids */
};

static struct shape shape_of(const struct guest_paging *paging)
{
	if (guest_is_two_level(paging))
		return (struct shape){ 2, 4, 10, 0xfffff000 };
	if (!guest_is_long(paging))
		return (struct shape){ 3, 8, 9, 0xffffffe0 };
	return (struct shape){ paging->cr4 & MMU_CR4_LA57 ? 5 : 4, 8, 9, PTE_ADDRESS };
}

static uint64_t reserved_of(const struct guest_paging *paging, uint32_t address_bits)
{
	uint64_t reserved = PTE_ADDRESS & ~((1ull << address_bits) - 1);

	if (guest_is_two_level(paging))
		return 0;
	if (!(paging->efer & MMU_EFER_NXE))
		reserved |= PTE_NX;
	return guest_is_long(paging) ? reserved : reserved | HI_RESERVED;
}

static bool is_leaf(const struct walk *walk, uint32_t level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE))
		return false;
	if (walk->shape.levels == 2)
		return walk->paging->cr4 & MMU_CR4_PSE;
	return level == 2 || (level == 3 && walk->shape.levels > 3);
}

static enum guest_result fault(struct walk *walk, uint32_t error)
{
	const struct guest_access *a = walk->access;
	const struct guest_paging *p = walk->paging;

	error |= (a->write ? PF_WRITE : 0) | (a->user ? PF_USER : 0);
	/* Told only where a fetch is a right of its own (8.4.2). */
	if (a->fetch && ((p->efer & MMU_EFER_NXE && p->cr4 & MMU_CR4_PAE) || p->cr4 & MMU_CR4_SMEP))
		error |= PF_FETCH;
	walk->mapping->error = error;
	return GUEST_FAULT;
}

/* The key of a page that is the user's allows no access, or no write (APM vol. 2, 5.6). CR0.WP is set, so to the supervisor neither. */
static bool is_locked(const struct walk *walk, uint64_t entry)
{
	const struct guest_access *a = walk->access;
	uint32_t denied = a->pkru >> 2 * (entry >> 59 & 15) & 3;

	if (!(walk->paging->cr4 & MMU_CR4_PKE) || !guest_is_long(walk->paging) || !(walk->rights & PTE_U) || a->fetch)
		return false;
	return denied & 1 || (a->write && denied & 2);
}

/* By the rights of all entries of the way. */
static bool is_granted(const struct walk *walk)
{
	const struct guest_access *a = walk->access;
	uint64_t rights = walk->rights, cr4 = walk->paging->cr4;

	if (a->user ? !(rights & PTE_U) : rights & PTE_U && ((a->smap && !a->fetch && cr4 & MMU_CR4_SMAP) ||
							     (a->fetch && cr4 & MMU_CR4_SMEP)))
		return false;
	if (a->fetch && rights & PTE_NX)
		return false;
	return !a->write || rights & PTE_W;
}

enum set { SET_DONE, SET_CHANGED, SET_WAIT };

/* Bits come into the entry at `place`, which was `entry`. */
static enum set set_bits(struct walk *walk, gfn_t table, uint8_t *place, uint64_t *entry, uint64_t bits)
{
	enum mem_access access;

	if ((*entry & bits) == bits)
		return SET_DONE;
	walk->port->page(walk->port->context, table, &access);
	if (access != MEM_ACCESS_ALL) {
		walk->mapping->wait = table;
		walk->mapping->wait_write = true;
		return SET_WAIT;
	}
	if (walk->shape.entry_bytes == 4) {
		uint32_t old = (uint32_t)*entry;
		if (!__atomic_compare_exchange_n((uint32_t *)(void *)place, &old, old | (uint32_t)bits, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return SET_CHANGED;
	} else {
		uint64_t old = *entry;
		if (!__atomic_compare_exchange_n((uint64_t *)(void *)place, &old, old | bits, false, __ATOMIC_SEQ_CST,
						 __ATOMIC_SEQ_CST))
			return SET_CHANGED;
	}
	*entry |= bits;
	return SET_DONE;
}

/* Of this level's entry: NULL where there is no memory or it is absent. */
static uint8_t *find(const struct walk *walk, uint64_t address, enum mem_access *access)
{
	uint8_t *page = walk->port->page(walk->port->context, gfn_of_address(address), access);

	return page && *access != MEM_ACCESS_NONE ? page + (address & PAGE_MASK) : NULL;
}

static uint64_t read_entry(const struct walk *walk, const uint8_t *place)
{
	if (walk->shape.entry_bytes == 4)
		return __atomic_load_n((const uint32_t *)(const void *)place, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint64_t *)(const void *)place, __ATOMIC_RELAXED);
}

static uint64_t reserved_of_entry(const struct walk *walk, uint32_t level, bool leaf)
{
	uint64_t reserved = walk->reserved;

	/* The root of PAE has neither rights nor NX (APM vol. 2, 5.2.3); above 1 GiB there is no leaf. */
	if (walk->shape.levels == 3 && level == 3)
		return reserved | PTE_NX;
	if (level >= 4)
		return reserved | PTE_LARGE;
	if (!leaf || level == 1)
		return reserved;
	if (walk->shape.levels == 2)
		return LARGE_RESERVED_4M;
	return reserved | (PTE_ADDRESS & ((1ull << (12 + 9 * (level - 1))) - 1) & ~PTE_PAT_LARGE);
}

/* TCG's entry of 1 GiB: the bits below its address are looked at last. */
static uint64_t reserved_late(const struct walk *walk, uint32_t level, bool leaf)
{
	return walk->cpu->is_tcg && leaf && level == 3 ? PTE_ADDRESS & ((1ull << 30) - 1) & ~PTE_PAT_LARGE : 0;
}

static void note_rights(struct walk *walk, uint32_t level, uint64_t entry)
{
	if (walk->shape.levels == 3 && level == 3)
		return;
	walk->rights = (walk->rights & entry & (PTE_W | PTE_U)) | ((walk->rights | entry) & PTE_NX);
}

/* A 4 MiB page keeps address bits 39-32 in bits 20-13 (PSE-36, APM vol. 2, 5.2.2). */
static uint64_t leaf_address(const struct walk *walk, uint32_t level, uint64_t entry)
{
	if (walk->shape.levels == 2 && level == 2)
		return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
	return entry & PTE_ADDRESS & ~((1ull << (12 + walk->shape.index_bits * (level - 1))) - 1);
}

enum step { STEP_ON, STEP_AGAIN, STEP_END };

/* One level. STEP_END: *result. */
static enum step step(struct walk *walk, uint32_t level, uint64_t *table, enum guest_result *result)
{
	uint32_t shift = 12 + walk->shape.index_bits * (level - 1);
	uint64_t index = walk->access->linear >> shift & ((1ull << walk->shape.index_bits) - 1);
	uint64_t address = *table + index * walk->shape.entry_bytes;
	enum mem_access access = MEM_ACCESS_ALL;
	uint8_t *place = find(walk, address, &access);

	if (!place && access == MEM_ACCESS_NONE) {
		walk->mapping->wait = gfn_of_address(address);
		walk->mapping->wait_write = false;
		*result = GUEST_WAIT;
		return STEP_END;
	}
	uint64_t entry = place ? read_entry(walk, place) : 0;
	bool leaf = is_leaf(walk, level, entry);
	*result = GUEST_FAULT;
	if (!(entry & PTE_P)) {
		fault(walk, 0);
		return STEP_END;
	}
	uint64_t late = reserved_late(walk, level, leaf);
	if (entry & reserved_of_entry(walk, level, leaf) & ~late) {
		fault(walk, PF_RESERVED | (walk->cpu->is_tcg ? 0 : PF_PRESENT));
		return STEP_END;
	}
	note_rights(walk, level, entry);
	bool locked = leaf && is_locked(walk, entry), is_pae_root = walk->shape.levels == 3 && level == 3;
	bool granted = !(entry & late) && !locked && (!leaf || is_granted(walk));
	uint64_t bits = leaf && granted && walk->access->write ? PTE_A | PTE_D : PTE_A;
	if (!walk->cpu->is_tcg ? !granted || is_pae_root : !granted && level < 3)
		bits = 0;
	enum set set = set_bits(walk, gfn_of_address(address), place, &entry, bits);
	if (set == SET_DONE && !granted) {
		fault(walk, entry & late ? PF_RESERVED : PF_PRESENT | (locked ? PF_KEY : 0));
		return STEP_END;
	}
	if (set == SET_CHANGED)
		return STEP_AGAIN;
	*result = set == SET_WAIT ? GUEST_WAIT : GUEST_MAPPED;
	walk->mapping->entry[walk->mapping->count++] = entry;
	walk->mapping->shift = shift;
	walk->mapping->physical = leaf ? leaf_address(walk, level, entry) : 0;
	*table = entry & (walk->shape.levels == 2 ? 0xfffff000 : PTE_ADDRESS);
	return leaf || set == SET_WAIT ? STEP_END : STEP_ON;
}

/*
 * As far as it mostly goes in long mode: entries that lead on, are marked as accessed already, and have nothing wrong in them. All others are step()'s.
 * Returns the level that is next.
 */
static uint32_t descend(struct walk *walk, uint64_t *table)
{
	const uint64_t looked_at = PTE_P | PTE_A | PTE_LARGE | walk->reserved;
	uint32_t level = walk->shape.levels;
	enum mem_access access;

	for (; level > 1 && walk->shape.levels >= LONG_LEVELS; level--) {
		const uint8_t *place = find(walk, *table + (walk->access->linear >> 9 * level & LAST_INDEX * sizeof(uint64_t)), &access);
		uint64_t entry = place ? __atomic_load_n((const uint64_t *)(const void *)place, __ATOMIC_RELAXED) : 0;
		if ((entry & looked_at) != (PTE_P | PTE_A))
			break;
		note_rights(walk, level, entry);
		walk->mapping->entry[walk->mapping->count++] = entry;
		*table = entry & PTE_ADDRESS;
	}
	return level;
}

enum guest_result guest_mmu_walk(const struct guest_paging *paging, const struct guest_cpu *cpu, const struct guest_access *access,
				 const struct guest_port *port, struct guest_mapping *mapping)
{
	struct walk walk = { .paging = paging, .cpu = cpu, .access = access, .port = port, .mapping = mapping, .shape = shape_of(paging),
			     .reserved = reserved_of(paging, cpu->address_bits) };
	enum guest_result result = GUEST_WAIT;

	for (uint32_t tries = 0; tries < RETRIES; tries++) {
		uint64_t table = paging->cr3 & walk.shape.root_mask;
		enum step now = STEP_ON;
		walk.rights = PTE_W | PTE_U;
		mapping->count = 0;
		for (uint32_t level = descend(&walk, &table); now == STEP_ON; level--)
			now = step(&walk, level, &table, &result);
		if (now == STEP_END)
			return result;
	}
	mapping->wait = gfn_of_address(paging->cr3 & walk.shape.root_mask);
	mapping->wait_write = false;
	return GUEST_WAIT;
}

/* What the walk looks at above is the same for all of them, and below where their entries differ in nothing but an address that may be. */
uint32_t guest_mmu_follow(const struct guest_cpu *cpu, const struct guest_port *port, const struct guest_mapping *mapping, uint64_t linear,
			  uint32_t count, uint64_t *physical)
{
	const uint64_t address = PTE_ADDRESS & ((1ull << cpu->address_bits) - 1), index = (linear >> PAGE_SHIFT & LAST_INDEX) + 1;
	enum mem_access rights;
	uint32_t done = 0;

	if (mapping->count < LONG_LEVELS || mapping->shift != PAGE_SHIFT)
		return 0;
	const uint8_t *table = port->page(port->context, gfn_of_address(mapping->entry[mapping->count - 2] & PTE_ADDRESS), &rights);
	if (!table || rights == MEM_ACCESS_NONE)
		return 0;
	for (; done < count && index + done <= LAST_INDEX; done++) {
		uint64_t entry = __atomic_load_n((const uint64_t *)(const void *)table + index + done, __ATOMIC_RELAXED);
		if ((entry ^ mapping->entry[mapping->count - 1]) & ~address)
			break;
		physical[done] = entry & PTE_ADDRESS;
	}
	return done;
}
