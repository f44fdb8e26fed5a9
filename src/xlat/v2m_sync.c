/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what becomes of entries when the OS loads CR3. The architecture then forgets all that is not global (APM vol. 2, 5.5.1), so
 * afterwards an entry must be as the OS's tables say now. Entries are inspected: from the root down, each that is
 * loaded is held against the OS's; what has changed is composed anew where that needs nobody's doing, or goes. So a table of the OS's
 * is read only while an entry that was just found valid leads to it, and no write of the OS's to its tables has to be trapped. shadow
 * inspects all that it has loaded for the address space; vtlb so many at most, table by table, and forgets the others.
 *
 * Upper half: global leafs stay, as in a TLB. The few that are not are inspected with the entries above them.
 */
#include "xlat/v2m_pages.h"

#define SAME (PTE_P | PTE_W | PTE_U | PTE_PWT | PTE_PCD | PTE_A | PTE_D | PTE_PAT | PTE_G | PTE_KEYS | PTE_NX)
#define HI_RESERVED (0x7ffull << 52)
#define HIGH_ADDRESS (0xffull << 44) /* what `source` has no room for: such pages are at home, and no other page is there */
#define NO_FLUSH (1ull << 63) /* CR4.PCIDE: an allowance, of which no use is made */

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

static void sync_tree(struct v2m *v2m, uint32_t root)
{
	uint32_t todo = root, left = v2m->kept;

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
		todo = sync_table(v2m, todo, page->link);
	}
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

static void sync_local(struct v2m *v2m)
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

/* --- contexts --- */

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
	v2m->context[v2m->current].root = root;
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

void v2m_load_cr3(struct v2m *v2m, uint64_t cr3)
{
	v2m->count.flushes++;
	cr3 &= ~NO_FLUSH;
	v2m->paging.cr3 = cr3;
	if (find_context(v2m, cr3))
		sync_tree(v2m, v2m_root_page(v2m));
	else
		add_context(v2m, cr3);
	v2m->context[v2m->current].stamp = ++v2m->clock;
	sync_local(v2m);
	v2m->flush = true;
}

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
	v2m->context[v2m->current].stamp = ++v2m->clock;
	v2m->flush = true;
}
