/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what becomes of entries when the OS flushes an address space, by a load of CR3 mostly. The architecture then forgets all that is not global
 * (APM vol. 2, 5.5.1), so afterwards an entry must be as the OS's tables say now. Entries are inspected: from the root down, each that is
 * loaded is held against the OS's; what has changed is composed anew where that needs nobody's doing, or goes. So a table of the OS's
 * is read only while an entry that was just found valid leads to it, and no write of the OS's to its tables has to be trapped. shadow
 * inspects what the CPU uses of the address space (v2m_use.c); vtlb so many at most, table by table, and forgets the others.
 *
 * Upper half: global leafs stay, as in a TLB. The few that are not are inspected with the entries above them.
 */
#include "xlat/v2m_pages.h"

const uint8_t *v2m_guest_table(const struct v2m *v2m, uint32_t page)
{
	enum mem_access access;
	const uint8_t *base = v2m->port->guest.page(v2m->port->guest.context, v2m->page[page].gfn, &access);

	if (!base || access == MEM_ACCESS_NONE)
		return NULL;
	/* PAE's root is 32 bytes anywhere in its page. */
	if (v2m->levels == 3 && v2m->page[page].level == 3)
		base += v2m->page[page].guest & PAGE_MASK & ~0x1full;
	return base;
}

/*
 * For the page that the entry was composed for, and with the same rights: the common case, without a look at the map. The entry's own
 * address tells nothing: it is a frame, and may be the home of another page. What may be written less than the OS's entry says is
 * composed anew each time, since the map or the OS's dirty bit may allow more by now. `same` is v2m->same.
 */
static bool is_same(uint64_t same, uint64_t guest, uint64_t entry, uint32_t source)
{
	return !((guest ^ entry) & same) && guest & PTE_A && (uint32_t)(guest >> PAGE_SHIFT) == source;
}

/* For the same page, and only writing is not allowed any more: whatever the map says, the entry has all that is left. */
static bool is_less(uint64_t same, uint64_t guest, uint64_t entry, uint32_t source)
{
	return is_same(same, guest ^ PTE_W, entry, source) && entry & PTE_W;
}

static bool is_usable(const struct v2m *v2m, uint64_t guest)
{
	return (guest & (PTE_P | PTE_A)) == (PTE_P | PTE_A) && !(guest & v2m->reserved);
}

/* Large ones: the OS's large page has to be one still, and whole in the map. */
static bool is_usable_large(const struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	uint64_t between = guest_is_two_level(&v2m->paging) ? 1ull << 21 : ((1ull << 21) - 1) & PTE_ADDRESS & ~PTE_PAT_LARGE;

	return guest & PTE_LARGE && !(guest & between) &&
	       v2m_is_large_possible(v2m, v2m_target(v2m, page, index, guest));
}

static void sync_changed(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	uint32_t level = v2m->page[page].level;
	uint64_t entry = v2m->table[page][index], now = 0;

	gfn_t source = v2m_target(v2m, page, index, guest);
	if (is_usable(v2m, guest) && (level == 1 || is_usable_large(v2m, page, index, guest)))
		now = level == 1 && is_less(v2m->same, guest, entry, v2m->source[page][index]) ? entry & ~PTE_W : v2m_compose(v2m, guest, level > 1, level, source);
	if (now)
		now = (now & ~PTE_A) | (entry & PTE_A);
	if (now == entry)
		return;
	v2m->changes++;
	if (now & PTE_A)
		v2m_put_leaf(v2m, page, index, now, source);
	else
		v2m_clear(v2m, page, index);
}

static void sync_leaf(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	v2m->count.synced++;
	uint64_t entry = v2m->table[page][index];
	if (v2m->page[page].level > 1 || !is_same(v2m->same, guest, entry, v2m->source[page][index]))
		sync_changed(v2m, page, index, guest);
}

/*
 * Of the entries `left`, those that are not the same. Most of what there is to inspect comes by here; a function of its own, so that all that it
 * needs is in registers.
 */
static __attribute__((noinline)) uint64_t find_changed(uint64_t same, const uint64_t *guest, const uint64_t *entry, const uint32_t *source, uint64_t left)
{
	uint64_t changed = 0;

	do {
		uint64_t i = (uint64_t)__builtin_ctzll(left);
		if (!is_same(same, __atomic_load_n(&guest[i], __ATOMIC_RELAXED), entry[i], source[i]))
			changed |= 1ull << i;
	} while (left &= left - 1);
	return changed;
}

/* Entries of 8 bytes. */
static void sync_words(struct v2m *v2m, uint32_t page, const uint64_t *guest)
{
	const struct v2m_page *p = &v2m->page[page];

	v2m->count.synced += p->count;
	for (uint32_t words = p->words; words; words &= words - 1) {
		uint32_t word = (uint32_t)__builtin_ctz(words), i = word * 64;
		uint64_t left = find_changed(v2m->same, &guest[i], &v2m->table[page][i], &v2m->source[page][i], p->loaded[word]);
		for (; left; left &= left - 1) {
			uint32_t index = i + (uint32_t)__builtin_ctzll(left);
			sync_changed(v2m, page, index, __atomic_load_n(&guest[index], __ATOMIC_RELAXED));
		}
	}
}

/* Entries of 4 bytes. */
static void sync_halves(struct v2m *v2m, uint32_t page, const uint8_t *base)
{
	const struct v2m_page *p = &v2m->page[page];

	for (uint32_t i = v2m_next(p, 0); i != V2M_NONE; i = v2m_next(p, i + 1))
		sync_leaf(v2m, page, i, v2m_guest_entry(v2m, page, base, i));
}

/* The OS's table is on its way elsewhere. */
static void clear_table(struct v2m *v2m, uint32_t page)
{
	const struct v2m_page *p = &v2m->page[page];

	for (uint32_t i = v2m_next(p, 0); i != V2M_NONE; i = v2m_next(p, i + 1))
		v2m_clear(v2m, page, i);
}

void v2m_sync_lowest(struct v2m *v2m, uint32_t page)
{
	struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = v2m_guest_table(v2m, page);
	uint64_t changes = v2m->changes;

	if (!base) {
		clear_table(v2m, page);
		return;
	}
	if (guest_is_two_level(&v2m->paging))
		sync_halves(v2m, page, base);
	else
		sync_words(v2m, page, (const uint64_t *)(const void *)base);
	v2m_give_up_unused(v2m, page);
	if (v2m->changes != changes)
		p->quiet = 0;
	else if (++p->quiet == V2M_QUIET << p->patience)
		v2m_links_offer(v2m, page);
}

static bool is_above_two_level(const struct v2m *v2m, uint32_t page)
{
	return guest_is_two_level(&v2m->paging) && v2m->page[page].level == 3;
}

/* The OS's entry leads where it did: the hardware walks on by itself, and nothing below is inspected. Else the link goes. */
static bool sync_link(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	const uint64_t same = PTE_P | PTE_A | PTE_ADDRESS | PTE_LARGE | V2M_LINK_KEPT;
	bool stays = !((guest ^ v2m->table[page][index]) & same) && !(guest & v2m->reserved);

	if (!stays)
		v2m_clear(v2m, page, index);
	return stays;
}

/* An address space is gone over: higher tables that are yet to be inspected, and how many more entries may stay. */
struct tour {
	uint32_t todo, left;
};

static void put_off(struct v2m *v2m, uint32_t page, struct tour *tour)
{
	v2m->page[page].link = tour->todo;
	tour->todo = page;
}

/* The OS's entry leads where it did, to the table behind `index`. */
static void go_on(struct v2m *v2m, uint32_t page, uint32_t index, struct tour *tour)
{
	uint32_t child = v2m_child(v2m, v2m->table[page][index]);

	if (v2m->page[child].split)
		return;
	if (v2m->page[child].level > 1) {
		put_off(v2m, child, tour);
		return;
	}
	uint32_t count = v2m->page[child].count;
	if (!count || count > tour->left) {
		v2m_clear(v2m, page, index);
		return;
	}
	tour->left -= count;
	if (!v2m_rests(v2m, page, index))
		v2m_sync_lowest(v2m, child);
}

static void sync_entry(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest, struct tour *tour)
{
	uint64_t entry = v2m->table[page][index];
	uint32_t level = v2m->page[page].level;

	if (is_above_two_level(v2m, page)) {
		put_off(v2m, v2m_child(v2m, entry), tour);
	} else if (v2m_is_leaf(entry, level)) {
		sync_leaf(v2m, page, index, guest);
	} else if (v2m_is_link(v2m, entry, level)) {
		v2m->count.links_met += sync_link(v2m, page, index, guest);
	} else if (v2m->page[v2m_child(v2m, entry)].guest != guest) {
		v2m_clear(v2m, page, index);
	} else if (level != 2 || !v2m_may_link(v2m) || v2m->page[v2m_child(v2m, entry)].split || !v2m_put_link(v2m, page, index, guest)) {
		go_on(v2m, page, index, tour);
	}
}

static void sync_higher(struct v2m *v2m, uint32_t page, struct tour *tour)
{
	const struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = v2m_guest_table(v2m, page);

	if (!base)
		clear_table(v2m, page);
	for (uint32_t i = v2m_next(p, 0); i != V2M_NONE; i = v2m_next(p, i + 1))
		sync_entry(v2m, page, i, v2m_guest_entry(v2m, page, base, i), tour);
}

/* What is next below a table, inspected or not. */
static void pass_table(struct v2m *v2m, uint32_t page, struct tour *tour)
{
	const struct v2m_page *p = &v2m->page[page];

	for (uint32_t i = p->level > 1 ? v2m_next(p, 0) : V2M_NONE; i != V2M_NONE; i = v2m_next(p, i + 1)) {
		uint64_t entry = v2m->table[page][i];
		if (!v2m_is_leaf(entry, p->level) && !v2m_is_link(v2m, entry, p->level) && !v2m->page[v2m_child(v2m, entry)].split)
			put_off(v2m, v2m_child(v2m, entry), tour);
	}
}

/* Table by table as far as the bound lets; the others go. */
static void go_over(struct v2m *v2m, bool inspects)
{
	struct tour tour = { .todo = v2m_root_page(v2m), .left = v2m->kept };

	v2m->page[tour.todo].link = V2M_NONE;
	while (tour.todo != V2M_NONE) {
		uint32_t at = tour.todo;
		const struct v2m_page *page = &v2m->page[at];
		tour.todo = page->link;
		if (page->count > tour.left) {
			v2m_clear(v2m, page->parent, page->slot);
			continue;
		}
		tour.left -= page->count;
		if (inspects)
			sync_higher(v2m, at, &tour);
		else
			pass_table(v2m, at, &tour);
	}
}

void v2m_sync_space(struct v2m *v2m)
{
	go_over(v2m, true);
}

void v2m_bound_space(struct v2m *v2m)
{
	if (v2m->kept != V2M_KEPT_SHADOW)
		go_over(v2m, false);
}

/* What leads on from a higher table; leafs are as a TLB's, and stay. Higher tables are put off. */
static void sync_ways(struct v2m *v2m, uint32_t page, struct tour *tour)
{
	const struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = v2m_guest_table(v2m, page);

	for (uint32_t i = v2m_next(p, 0); i != V2M_NONE; i = v2m_next(p, i + 1)) {
		uint64_t entry = v2m->table[page][i], now = base ? v2m_guest_entry(v2m, page, base, i) : 0;
		if (v2m_is_leaf(entry, p->level))
			continue;
		uint32_t child = v2m_child(v2m, entry);
		if (v2m_is_link(v2m, entry, p->level))
			sync_link(v2m, page, i, now);
		else if (v2m->page[child].guest != now)
			v2m_clear(v2m, page, i);
		else if (p->level > 2 && !v2m->page[child].split)
			put_off(v2m, child, tour);
	}
}

void v2m_sync_links(struct v2m *v2m)
{
	struct tour tour = { .todo = v2m_root_page(v2m) };

	if (!v2m->link_count)
		return;
	v2m->page[tour.todo].link = V2M_NONE;
	while (tour.todo != V2M_NONE) {
		uint32_t at = tour.todo;
		tour.todo = v2m->page[at].link;
		sync_ways(v2m, at, &tour);
	}
}

/* The entries that lead to a kernel table are what the OS's say now. */
static bool is_way_valid(const struct v2m *v2m, uint32_t page)
{
	for (uint32_t up; ; page = up) {
		const struct v2m_page *p = &v2m->page[page];
		up = p->parent == V2M_NONE ? v2m_root_page(v2m) : p->parent;
		if (v2m->page[up].split) /* pieces of one entry of the OS's, which is looked at further up */
			continue;
		const uint8_t *base = v2m_guest_table(v2m, up);
		if (!base || v2m_guest_entry(v2m, up, base, p->slot) != p->guest)
			return false;
		if (p->parent == V2M_NONE)
			return true;
	}
}

/* Of an entry that was loaded along with a neighbour and never used nothing is kept; of the others the accessed bit stays. */
static void sync_local_table(struct v2m *v2m, uint32_t page)
{
	struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = is_way_valid(v2m, page) && !p->split ? v2m_guest_table(v2m, page) : NULL;

	for (uint32_t i = v2m_next(p, 0); i != V2M_NONE; i = v2m_next(p, i + 1)) {
		uint64_t entry = v2m->table[page][i];
		if (entry & PTE_G || !v2m_is_leaf(entry, p->level))
			continue;
		if (base && entry & PTE_A)
			sync_leaf(v2m, page, i, v2m_guest_entry(v2m, page, base, i));
		else
			v2m_clear(v2m, page, i);
	}
}

void v2m_sync_local(struct v2m *v2m)
{
	uint32_t page = v2m->local;

	v2m->local = V2M_NONE;
	while (page != V2M_NONE) {
		struct v2m_page *p = &v2m->page[page];
		uint32_t next = p->link;
		p->listed = false;
		sync_local_table(v2m, page);
		if (p->local && !p->listed) {
			p->listed = true;
			p->link = v2m->local;
			v2m->local = page;
		}
		page = next;
	}
}
