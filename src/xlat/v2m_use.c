/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns which of what is loaded is worth its inspection at each flush: what the CPU uses, by the accessed bits of Scrim's own tables, which the CPU sets (APM vol. 2, 5.4.1).
 * Scrim clears them at flushes of the OS's, where the TLB is flushed anyway.
 *
 *   - A lowest table through which the CPU has not walked since the last flush is inspected all the same, until that has cost as much as to find out
 *     later. Then it is put to sleep: what leads to it is absent for the CPU, and its entries wait for the first miss among them, when they are inspected after all.
 *     So no more than twice is spent of what the better choice would have been.
 *   - Entries that were not used between two looks, twice, go once the inspection of such in their table has cost as much as an exit that loads some of them once more.
 */
#include "xlat/v2m_pages.h"

#define TURNS 4u /* inspections of a table between two looks at what is used */

bool v2m_rests(struct v2m *v2m, uint32_t page, uint32_t index)
{
	uint64_t *entry = &v2m->table[page][index];
	struct v2m_page *child = &v2m->page[v2m_child(v2m, *entry)];

	if (v2m_is_asleep(*entry))
		return true;
	if (*entry & PTE_A) {
		*entry &= ~PTE_A;
		child->idle = 0;
		return false;
	}
	child->idle = (uint16_t)(child->idle + child->count);
	if (child->idle < v2m->wake)
		return false;
	*entry &= ~PTE_P;
	return true;
}

void v2m_wake(struct v2m *v2m, uint32_t page, uint32_t index)
{
	uint32_t child = v2m_child(v2m, v2m->table[page][index]);
	bool flush = v2m->flush;

	v2m_sync_lowest(v2m, child);
	v2m->flush = flush; /* the CPU has nothing of what was asleep */
	v2m->page[child].idle = 0;
	v2m->table[page][index] |= PTE_P | PTE_A;
	v2m->count.wakes++;
}

/* Of the entries `left`, those that were used, counted; not any more, for the next look. */
static uint64_t take_used(uint64_t *entry, uint64_t left, uint32_t *count)
{
	uint64_t used = 0;

	for (; left; left &= left - 1) {
		uint64_t *at = &entry[__builtin_ctzll(left)];
		if (*at & PTE_A) {
			*at &= ~PTE_A;
			used |= left & -left;
			++*count;
		}
	}
	return used;
}

void v2m_give_up_unused(struct v2m *v2m, uint32_t page)
{
	struct v2m_page *p = &v2m->page[page];
	uint32_t used = 0, loaded = p->count;
	bool goes = p->wasted >= v2m->wake;

	if (++p->turns < TURNS)
		return;
	p->turns = 0;
	for (uint32_t words = p->words; words; words &= words - 1) {
		uint32_t word = (uint32_t)__builtin_ctz(words);
		uint64_t unused = p->loaded[word] & ~take_used(&v2m->table[page][word * 64], p->loaded[word], &used);
		for (uint64_t left = goes ? unused & p->unused[word] : 0; left; left &= left - 1)
			v2m_clear(v2m, page, word * 64 + (uint32_t)__builtin_ctzll(left));
		p->unused[word] = unused;
	}
	p->wasted = (uint16_t)((goes ? 0 : p->wasted) + TURNS * (loaded - used));
}
