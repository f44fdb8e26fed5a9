/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what becomes of entries when the OS flushes an address space, by a load of CR3 mostly. The architecture then forgets all that is not global
 * (APM vol. 2, 5.5.1), so afterwards an entry must be as the OS's tables say now. Entries are inspected: from the root down, each that is
 * loaded is held against the OS's; what has changed is composed anew where that needs nobody's doing, or goes. So a table of the OS's
 * is read only while an entry that was just found valid leads to it, and no write of the OS's to its tables has to be trapped. shadow
 * inspects all that it has loaded for the address space; vtlb so many at most, table by table, and forgets the others.
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

uint64_t v2m_guest_entry(const struct v2m *v2m, uint32_t page, const uint8_t *base, uint32_t index)
{
	const struct v2m_page *p = &v2m->page[page];

	if (!guest_is_two_level(&v2m->paging))
		return __atomic_load_n((const uint64_t *)(const void *)base + index, __ATOMIC_RELAXED);
	/* A directory of 1024 entries in quarters, each entry twice; a table of 1024 in halves. */
	uint32_t place = p->level == 2 ? p->part * 256u + index / 2 : p->part * 512u + index;
	return __atomic_load_n((const uint32_t *)(const void *)base + place, __ATOMIC_RELAXED);
}

/*
 * For the page that the entry was composed for, and with the same rights: the common case, without a look at the map. The entry's own
 * address tells nothing: it is a frame, and may be the home of another page. What may be written less than the OS's entry says is
 * composed anew each time, since the map or the OS's dirty bit may allow more by now. One that was loaded along with a neighbour and never used
 * is not the same: the OS's accessed bit may have gone since. `same` is v2m->same.
 */
static bool is_same(uint64_t same, uint64_t guest, uint64_t entry, uint32_t source)
{
	return !((guest ^ entry) & same) && entry & PTE_A && (uint32_t)(guest >> PAGE_SHIFT) == source;
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
	if (entry & PTE_A && is_usable(v2m, guest) && (level == 1 || is_usable_large(v2m, page, index, guest)))
		now = level == 1 && is_less(v2m->same, guest, entry, v2m->source[page][index]) ? entry & ~PTE_W : v2m_compose(v2m, guest, level > 1, level, source);
	if (now == entry)
		return;
	v2m->changes++;
	if (now)
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

/* A table of the lowest level, entries of 8 bytes: most of what there is to inspect. */
static void sync_lowest(struct v2m *v2m, uint32_t page, const uint64_t *guest)
{
	const uint64_t *table = v2m->table[page], *loaded = v2m->page[page].loaded;
	const uint32_t *source = v2m->source[page];
	uint64_t seen = 0, same = v2m->same, changes = v2m->changes;

	for (uint32_t i = 0; i < V2M_ENTRIES; i += 64) {
		for (uint64_t left = loaded[i / 64]; left; left &= left - 1) {
			uint32_t index = i + (uint32_t)__builtin_ctzll(left);
			uint64_t now = __atomic_load_n(&guest[index], __ATOMIC_RELAXED);
			seen++;
			if (!is_same(same, now, table[index], source[index]))
				sync_changed(v2m, page, index, now);
		}
	}
	v2m->count.synced += seen;
	if (v2m->changes != changes)
		v2m->page[page].quiet = 0;
	else if (++v2m->page[page].quiet == V2M_QUIET << v2m->page[page].patience)
		v2m_links_offer(v2m, page);
}

static bool is_above_two_level(const struct v2m *v2m, uint32_t page)
{
	return guest_is_two_level(&v2m->paging) && v2m->page[page].level == 3;
}

/* One entry. Returns the child to inspect next, or V2M_NONE. */
static uint32_t sync_entry(struct v2m *v2m, uint32_t page, uint32_t index, const uint8_t *base)
{
	uint64_t entry = v2m->table[page][index];

	if (is_above_two_level(v2m, page))
		return v2m_child(v2m, entry);
	uint64_t guest = v2m_guest_entry(v2m, page, base, index);
	if (v2m_is_leaf(entry, v2m->page[page].level)) {
		sync_leaf(v2m, page, index, guest);
		return V2M_NONE;
	}
	uint32_t child = v2m_child(v2m, entry);
	if (v2m->page[child].guest != guest) {
		v2m_clear(v2m, page, index);
		return V2M_NONE;
	}
	return v2m->page[child].split ? V2M_NONE : child;
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

/* A higher one. Returns what is to be inspected next, before `todo`. */
static uint32_t sync_higher(struct v2m *v2m, uint32_t page, const uint64_t *guest, uint32_t todo)
{
	const uint64_t *table = v2m->table[page], *loaded = v2m->page[page].loaded;
	uint32_t level = v2m->page[page].level;
	bool may_link = level == 2 && v2m_may_link(v2m);

	for (uint32_t i = 0; i < V2M_ENTRIES; i += 64) {
		for (uint64_t left = loaded[i / 64]; left; left &= left - 1) {
			uint32_t index = i + (uint32_t)__builtin_ctzll(left);
			uint64_t now = __atomic_load_n(&guest[index], __ATOMIC_RELAXED);
			if (v2m_is_leaf(table[index], level)) {
				sync_leaf(v2m, page, index, now);
				continue;
			}
			if (v2m_is_link(v2m, table[index], level)) {
				v2m->count.links_met += sync_link(v2m, page, index, now);
				continue;
			}
			uint32_t child = v2m_child(v2m, table[index]);
			if (v2m->page[child].guest != now) {
				v2m_clear(v2m, page, index);
			} else if (!v2m->page[child].split && !(may_link && v2m_put_link(v2m, page, index, now))) {
				v2m->page[child].link = todo;
				todo = child;
			}
		}
	}
	return todo;
}

/* Every entry of one table. What is to be inspected next is put before `todo`. */
static uint32_t sync_table(struct v2m *v2m, uint32_t page, uint32_t todo)
{
	struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = v2m_guest_table(v2m, page);

	if (base && !guest_is_two_level(&v2m->paging)) {
		const uint64_t *guest = (const uint64_t *)(const void *)base;
		if (p->level > 1)
			return sync_higher(v2m, page, guest, todo);
		sync_lowest(v2m, page, guest);
		return todo;
	}
	for (uint32_t i = 0; i < V2M_ENTRIES / 64; i++) {
		for (uint64_t left = p->loaded[i]; left; left &= left - 1) {
			uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(left);
			uint32_t child = V2M_NONE;
			if (base)
				child = sync_entry(v2m, page, index, base);
			else
				v2m_clear(v2m, page, index); /* the table is on its way elsewhere */
			if (child == V2M_NONE)
				continue;
			v2m->page[child].link = todo;
			todo = child;
		}
	}
	return todo;
}

/* What is next below a higher table: put before `todo`. */
static uint32_t pass_table(const struct v2m *v2m, uint32_t page, uint32_t todo)
{
	const struct v2m_page *p = &v2m->page[page];

	for (uint32_t i = 0; p->level > 1 && i < V2M_ENTRIES / 64; i++) {
		for (uint64_t left = p->loaded[i]; left; left &= left - 1) {
			uint64_t entry = v2m->table[page][i * 64 + (uint32_t)__builtin_ctzll(left)];
			if (v2m_is_leaf(entry, p->level) || v2m_is_link(v2m, entry, p->level) || v2m->page[v2m_child(v2m, entry)].split)
				continue;
			v2m->page[v2m_child(v2m, entry)].link = todo;
			todo = v2m_child(v2m, entry);
		}
	}
	return todo;
}

/* Table by table as far as the bound lets; the others go. */
static void go_over(struct v2m *v2m, bool inspects)
{
	uint32_t root = v2m_root_page(v2m), todo = root, left = v2m->kept;

	v2m->page[root].link = V2M_NONE;
	while (todo != V2M_NONE) {
		const struct v2m_page *page = &v2m->page[todo];
		if (page->count > left) {
			uint32_t next = page->link;
			v2m_clear(v2m, page->parent, page->slot);
			todo = next;
			continue;
		}
		left -= page->count;
		todo = inspects ? sync_table(v2m, todo, page->link) : pass_table(v2m, todo, page->link);
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

/* What leads on from a higher table; leafs are as a TLB's, and stay. Higher tables that are next are put before `todo`. */
static uint32_t sync_ways(struct v2m *v2m, uint32_t page, uint32_t todo)
{
	const struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = v2m_guest_table(v2m, page);

	for (uint32_t i = 0; i < V2M_ENTRIES / 64; i++) {
		for (uint64_t left = p->loaded[i]; left; left &= left - 1) {
			uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(left);
			uint64_t entry = v2m->table[page][index], now = base ? v2m_guest_entry(v2m, page, base, index) : 0;
			if (v2m_is_leaf(entry, p->level))
				continue;
			uint32_t child = v2m_child(v2m, entry);
			if (v2m_is_link(v2m, entry, p->level)) {
				sync_link(v2m, page, index, now);
			} else if (v2m->page[child].guest != now) {
				v2m_clear(v2m, page, index);
			} else if (p->level > 2 && !v2m->page[child].split) {
				v2m->page[child].link = todo;
				todo = child;
			}
		}
	}
	return todo;
}

void v2m_sync_links(struct v2m *v2m)
{
	uint32_t todo = v2m_root_page(v2m);

	if (!v2m->link_count)
		return;
	v2m->page[todo].link = V2M_NONE;
	while (todo != V2M_NONE)
		todo = sync_ways(v2m, todo, v2m->page[todo].link);
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

static void sync_local_table(struct v2m *v2m, uint32_t page)
{
	struct v2m_page *p = &v2m->page[page];
	const uint8_t *base = is_way_valid(v2m, page) && !p->split ? v2m_guest_table(v2m, page) : NULL;

	for (uint32_t i = 0; i < V2M_ENTRIES / 64; i++) {
		for (uint64_t left = p->loaded[i]; left; left &= left - 1) {
			uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(left);
			uint64_t entry = v2m->table[page][index];
			if (entry & PTE_G || !v2m_is_leaf(entry, p->level))
				continue;
			if (base)
				sync_leaf(v2m, page, index, v2m_guest_entry(v2m, page, base, index));
			else
				v2m_clear(v2m, page, index);
		}
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
