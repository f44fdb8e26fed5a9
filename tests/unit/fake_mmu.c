/* SPDX-License-Identifier: BSD-2-Clause */
/* The model. Straight code, no tables of shapes: that is the other side's way. */
#include "fake_mmu.h"

#define BIT(n) (1ull << (n))
#define LOW(n) (BIT(n) - 1)

struct state {
	const struct fake_mmu *mmu;
	const struct guest_access *access;
	struct fake_translation out;
	uint64_t bad; /* reserved in every entry */
};

static bool long_mode(const struct state *s) { return s->mmu->paging.efer & BIT(10); }
static bool nxe(const struct state *s) { return s->mmu->paging.efer & BIT(11); }

static struct fake_translation fail(struct state *s, uint32_t bits)
{
	const struct guest_paging *p = &s->mmu->paging;
	bool tells_fetch = (nxe(s) && p->cr4 & BIT(5)) || p->cr4 & BIT(20);

	s->out.ok = false;
	s->out.error = bits | (s->access->write ? 2u : 0) | (s->access->user ? 4u : 0) |
		       (s->access->fetch && tells_fetch ? 16u : 0);
	return s->out;
}

static void mark(struct state *s, uint64_t where, uint64_t *entry, uint64_t bits, uint32_t bytes)
{
	s->out.accessed &= s->mmu->write || *entry & BIT(5);
	*entry |= bits;
	if (s->mmu->write)
		s->mmu->write(where, *entry, bytes);
}

static void meet(struct state *s, uint64_t entry)
{
	s->out.may_write &= entry >> 1 & 1;
	s->out.may_user &= entry >> 2 & 1;
	if (entry & BIT(63))
		s->out.may_fetch = false;
}

bool fake_mmu_allows(const struct guest_paging *paging, const struct fake_translation *held, const struct guest_access *access)
{
	bool smep = paging->cr4 & BIT(20), smap = paging->cr4 & BIT(21);

	if (access->user && !held->may_user)
		return false;
	if (!access->user && held->may_user && smep && access->fetch)
		return false;
	if (!access->user && held->may_user && smap && access->smap && !access->fetch)
		return false;
	if (access->fetch && !held->may_fetch)
		return false;
	return !access->write || held->may_write;
}

static bool key_denies(const struct state *s, uint64_t entry)
{
	uint32_t key = (entry >> 59) & 15, no_access = s->access->pkru >> (2 * key) & 1, no_write = s->access->pkru >> (2 * key + 1) & 1;

	if (!long_mode(s) || !(s->mmu->paging.cr4 & BIT(22)) || s->access->fetch || !s->out.may_user)
		return false;
	return no_access || (no_write && s->access->write);
}

/* The leaf has been found, its reserved bits are clear. */
static struct fake_translation finish(struct state *s, uint64_t where, uint64_t entry, uint32_t bytes, uint64_t frame)
{
	s->out.global = entry & BIT(8) && s->mmu->paging.cr4 & BIT(7);
	if (key_denies(s, entry))
		return fail(s, 1 | 32);
	if (!fake_mmu_allows(&s->mmu->paging, &s->out, s->access))
		return fail(s, 1);
	s->out.leaf = where;
	s->out.accessed_above = s->out.accessed;
	mark(s, where, &entry, BIT(5) | (s->access->write ? BIT(6) : 0), bytes);
	s->out.dirty = entry & BIT(6);
	s->out.ok = true;
	s->out.physical = frame | (s->access->linear & (s->out.size - 1));
	return s->out;
}

static struct fake_translation walk_two_level(struct state *s)
{
	uint32_t linear = (uint32_t)s->access->linear;
	uint64_t where = (s->mmu->paging.cr3 & 0xfffff000) + (linear >> 22) * 4, entry = s->mmu->read(where, 4);

	if (!(entry & 1))
		return fail(s, 0);
	if (entry & BIT(7) && s->mmu->paging.cr4 & BIT(4)) {
		if (entry & BIT(21))
			return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
		meet(s, entry);
		s->out.size = BIT(22);
		return finish(s, where, entry, 4, (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32);
	}
	meet(s, entry);
	mark(s, where, &entry, BIT(5), 4);
	where = (entry & 0xfffff000) + (linear >> 12 & 1023) * 4;
	entry = s->mmu->read(where, 4);
	if (!(entry & 1))
		return fail(s, 0);
	meet(s, entry);
	s->out.size = BIT(12);
	return finish(s, where, entry, 4, entry & 0xfffff000);
}

/* From a page directory down: the same in PAE and in long mode. */
static struct fake_translation walk_directory(struct state *s, uint64_t directory)
{
	uint64_t linear = s->access->linear, where = directory + (linear >> 21 & 511) * 8, entry = s->mmu->read(where, 8);

	if (!(entry & 1))
		return fail(s, 0);
	if (entry & s->bad || (entry & BIT(7) && entry & (LOW(21) & ~LOW(13))))
		return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
	meet(s, entry);
	if (entry & BIT(7)) {
		s->out.size = BIT(21);
		return finish(s, where, entry, 8, entry & LOW(52) & ~LOW(21));
	}
	mark(s, where, &entry, BIT(5), 8);
	where = (entry & LOW(52) & ~LOW(12)) + (linear >> 12 & 511) * 8;
	entry = s->mmu->read(where, 8);
	if (!(entry & 1))
		return fail(s, 0);
	if (entry & s->bad)
		return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
	meet(s, entry);
	s->out.size = BIT(12);
	return finish(s, where, entry, 8, entry & LOW(52) & ~LOW(12));
}

static struct fake_translation walk_pae(struct state *s)
{
	uint64_t where = (s->mmu->paging.cr3 & 0xffffffe0) + (s->access->linear >> 30 & 3) * 8, entry = s->mmu->read(where, 8);

	if (!(entry & 1))
		return fail(s, 0);
	if (entry & (s->bad | BIT(63)))
		return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
	if (s->mmu->cpu.is_tcg)
		mark(s, where, &entry, BIT(5), 8);
	return walk_directory(s, entry & LOW(52) & ~LOW(12));
}

static struct fake_translation walk_long(struct state *s)
{
	uint64_t table = s->mmu->paging.cr3 & LOW(52) & ~LOW(12), where, entry;

	for (uint32_t shift = s->mmu->paging.cr4 & BIT(12) ? 48 : 39; shift >= 39; shift -= 9) {
		where = table + (s->access->linear >> shift & 511) * 8;
		entry = s->mmu->read(where, 8);
		if (!(entry & 1))
			return fail(s, 0);
		if (entry & (s->bad | BIT(7)))
			return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
		meet(s, entry);
		mark(s, where, &entry, BIT(5), 8);
		table = entry & LOW(52) & ~LOW(12);
	}
	where = table + (s->access->linear >> 30 & 511) * 8;
	entry = s->mmu->read(where, 8);
	if (!(entry & 1))
		return fail(s, 0);
	if (s->mmu->cpu.is_tcg && !(entry & s->bad) && entry & BIT(7))
		mark(s, where, &entry, BIT(5), 8);
	if (entry & s->bad || (entry & BIT(7) && entry & (LOW(30) & ~LOW(13))))
		return fail(s, s->mmu->cpu.is_tcg ? 8 : 9);
	meet(s, entry);
	if (entry & BIT(7)) {
		s->out.size = BIT(30);
		return finish(s, where, entry, 8, entry & LOW(52) & ~LOW(30));
	}
	mark(s, where, &entry, BIT(5), 8);
	return walk_directory(s, entry & LOW(52) & ~LOW(12));
}

struct fake_translation fake_mmu_walk(const struct fake_mmu *mmu, const struct guest_access *access)
{
	struct state s = { .mmu = mmu, .access = access, .out = { .may_write = true, .may_user = true, .may_fetch = true, .accessed = true } };

	if (!(mmu->paging.cr4 & BIT(5)))
		return walk_two_level(&s);
	s.bad = LOW(52) & ~LOW(mmu->cpu.address_bits);
	if (!nxe(&s))
		s.bad |= BIT(63);
	if (long_mode(&s))
		return walk_long(&s);
	s.bad |= LOW(63) & ~LOW(52);
	return walk_pae(&s);
}
