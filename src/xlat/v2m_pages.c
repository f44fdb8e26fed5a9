/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tables of one CPU's V2M: a fixed number, free or in one tree.
 *
 *     context --> root --[lower half]--> tables of this address space
 *                      --[upper half]--> kernel[slot] --> tables of all address spaces
 *
 * Each leaf entry is in one chain by the frame that it leads to, so that a page that is about to move is found at once. A table that
 * is free is all zeroes. The CPU whose tables these are is in the VMM while they change: nobody walks them, and what its TLB keeps is
 * told by v2m->flush.
 */
#include "xlat/v2m_pages.h"

#include "base/str.h"

#define HEADS_PER_TABLE 64u
#define LARGE_KEY (1ull << 52)
#define LINK_KEY (1ull << 53)
#define EVICT_PART 16u /* of all tables, at a time */

#define NONE V2M_NONE

static uint64_t key_of_leaf(uint64_t entry, uint32_t level)
{
	uint64_t frame = (entry & PTE_ADDRESS) >> PAGE_SHIFT;

	return level == 1 ? frame : frame >> 9 | LARGE_KEY;
}

static uint64_t key_of_link(uint64_t entry)
{
	return (entry & PTE_ADDRESS) >> PAGE_SHIFT | LINK_KEY;
}

static uint64_t key_of(const struct v2m *v2m, uint64_t entry, uint32_t level)
{
	return v2m_is_link(v2m, entry, level) ? key_of_link(entry) : key_of_leaf(entry, level);
}

static uint32_t *head_of(const struct v2m *v2m, uint64_t key)
{
	return &v2m->head[(key * 0x9e3779b97f4a7c15ull) >> v2m->head_shift];
}

static uint32_t *chain_at(const struct v2m *v2m, uint32_t place)
{
	return &v2m->chain[place / V2M_ENTRIES][place % V2M_ENTRIES];
}

static void chain_add(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t key)
{
	uint32_t *head = head_of(v2m, key);

	v2m->chain[page][index] = *head;
	*head = page * V2M_ENTRIES + index + 1;
}

static inline void chain_remove(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t key)
{
	uint32_t *at = head_of(v2m, key);
	uint32_t place = page * V2M_ENTRIES + index + 1;

	while (*at != place)
		at = chain_at(v2m, *at - 1);
	*at = v2m->chain[page][index];
}

static void forget_chain(struct v2m *v2m, uint64_t key, uint32_t at)
{
	uint32_t next;

	for (; at; at = next) {
		uint32_t page = (at - 1) / V2M_ENTRIES, index = (at - 1) % V2M_ENTRIES;
		next = *chain_at(v2m, at - 1);
		if (key_of(v2m, v2m->table[page][index], v2m->page[page].level) == key)
			v2m_clear(v2m, page, index);
	}
}

static inline void forget_key(struct v2m *v2m, uint64_t key)
{
	uint32_t first = *head_of(v2m, key);

	if (first)
		forget_chain(v2m, key, first);
}

/* Each page that moves comes by, and mostly nothing leads to it. */
void v2m_forget(struct v2m *v2m, const struct v2m_gone *gone, uint32_t count)
{
	for (const struct v2m_gone *end = gone + count; gone < end; gone++) {
		forget_key(v2m, gone->frame.n);
		/* Large entries are of chunks that are all at home, linked tables are locked. */
		if (!mfn_is_home(gone->page, gone->frame))
			continue;
		forget_key(v2m, gone->page.n >> 9 | LARGE_KEY);
		forget_key(v2m, gone->frame.n | LINK_KEY);
	}
}

/* --- tables --- */

uint32_t v2m_take(struct v2m *v2m, uint32_t level)
{
	uint32_t at = v2m->free;

	if (at == NONE)
		return NONE;
	v2m->free = v2m->page[at].link;
	v2m->page[at] = (struct v2m_page){ .parent = NONE, .link = NONE, .level = (uint8_t)level };
	v2m->used++;
	return at;
}

static void unlist(struct v2m *v2m, uint32_t page)
{
	uint32_t *at = &v2m->local;

	while (*at != page)
		at = &v2m->page[*at].link;
	*at = v2m->page[page].link;
	v2m->page[page].listed = false;
}

static void give(struct v2m *v2m, uint32_t page)
{
	if (v2m->page[page].listed)
		unlist(v2m, page);
	v2m->page[page].link = v2m->free;
	v2m->page[page].level = 0;
	v2m->free = page;
	v2m->used--;
	v2m->flush = true; /* the paging-structure caches may lead into it */
}

static void mark(struct v2m_page *page, uint32_t index)
{
	page->loaded[index / 64] |= 1ull << index % 64;
	page->words = (uint8_t)(page->words | 1u << index / 64);
	page->unused[index / 64] &= ~(1ull << index % 64);
	page->count++;
}

static void count_local(struct v2m *v2m, uint32_t page, uint64_t entry, bool comes)
{
	struct v2m_page *p = &v2m->page[page];

	if (!p->kernel || entry & PTE_G)
		return;
	p->local = (uint16_t)(p->local + (comes ? 1 : -1));
	if (!comes || p->listed)
		return;
	p->listed = true;
	p->link = v2m->local;
	v2m->local = page;
}

/* Takes an entry out; its child, or NONE. */
static uint32_t take_out(struct v2m *v2m, uint32_t page, uint32_t index)
{
	struct v2m_page *p = &v2m->page[page];
	uint64_t entry = v2m->table[page][index];
	bool leaf = v2m_is_leaf(entry, p->level), link = !leaf && v2m_is_link(v2m, entry, p->level);

	if (leaf) {
		chain_remove(v2m, page, index, key_of_leaf(entry, p->level));
		count_local(v2m, page, entry, false);
	} else if (link) {
		chain_remove(v2m, page, index, key_of_link(entry));
		v2m->link_count--;
	}
	p->loaded[index / 64] &= ~(1ull << index % 64);
	if (!p->loaded[index / 64])
		p->words = (uint8_t)(p->words & ~(1u << index / 64));
	p->count--;
	v2m->table[page][index] = 0;
	v2m->flush = true;
	return leaf || link ? NONE : v2m_child(v2m, entry);
}

void v2m_free_subtree(struct v2m *v2m, uint32_t top)
{
	uint32_t at = top;

	for (;;) {
		uint32_t index = v2m_next(&v2m->page[at], 0);
		if (index != NONE) {
			uint32_t child = take_out(v2m, at, index);
			at = child == NONE ? at : child;
			continue;
		}
		uint32_t up = v2m->page[at].parent;
		give(v2m, at);
		if (at == top)
			return;
		at = up;
	}
}

void v2m_clear(struct v2m *v2m, uint32_t page, uint32_t index)
{
	uint32_t child = take_out(v2m, page, index);

	if (child != NONE)
		v2m_free_subtree(v2m, child);
}

void v2m_put_leaf(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t entry, gfn_t source)
{
	uint64_t old = v2m->table[page][index];

	if (entry & PTE_G && !v2m->page[page].kernel) /* of the current address space: nothing else is loaded or inspected */
		v2m->context[v2m->current].has_global = true;
	v2m->source[page][index] = (uint32_t)source.n; /* whole for every page that can be displaced (MEM_PAGES_MAX) */
	if (old && !((old ^ entry) & (PTE_ADDRESS | PTE_G)) && v2m_is_leaf(old, v2m->page[page].level)) {
		v2m->table[page][index] = entry; /* other rights, the same frame: it stays in its chain */
		v2m->flush = true;
		return;
	}
	if (old)
		v2m_clear(v2m, page, index);
	v2m->table[page][index] = entry;
	mark(&v2m->page[page], index);
	chain_add(v2m, page, index, key_of_leaf(entry, v2m->page[page].level));
	count_local(v2m, page, entry, true);
}

void v2m_put_child(struct v2m *v2m, uint32_t page, uint32_t index, uint32_t child, uint64_t flags)
{
	v2m->table[page][index] = v2m_machine_of(v2m, child) | flags;
	if (v2m_is_kernel_slot(v2m, page, index)) {
		v2m->page[child].kernel = true;
	} else {
		mark(&v2m->page[page], index);
		v2m->page[child].parent = page;
		v2m->page[child].kernel = v2m->page[page].kernel;
	}
	v2m->page[child].slot = (uint16_t)index;
}

bool v2m_put_link(struct v2m *v2m, uint32_t page, uint32_t index, uint64_t guest)
{
	struct v2m_links *links = v2m->port->links;
	gfn_t table = gfn_of_address(guest & PTE_ADDRESS);

	if (!v2m_may_link(v2m) || v2m->page[page].kernel || guest_is_two_level(&v2m->paging) || !v2m_links_hold(links, table, v2m->number))
		return false;
	if (v2m->table[page][index])
		v2m_clear(v2m, page, index);
	v2m->table[page][index] = mfn_address(gfn_home(table)) | PTE_P | PTE_A | (guest & V2M_LINK_KEPT);
	mark(&v2m->page[page], index);
	chain_add(v2m, page, index, key_of_link(v2m->table[page][index]));
	v2m->link_count++;
	v2m->count.links_made++;
	return true;
}

void v2m_drop_kernel(struct v2m *v2m, uint32_t slot)
{
	if (!v2m->kernel[slot])
		return;
	for (uint32_t i = 0; i < v2m->context_count; i++)
		v2m->table[v2m->context[i].root][V2M_ENTRIES / 2 + slot] = 0;
	v2m_free_subtree(v2m, v2m->kernel[slot] - 1);
	v2m->kernel[slot] = 0;
}

void v2m_drop_context(struct v2m *v2m, uint32_t which)
{
	uint32_t root = v2m->context[which].root;

	/* The upper half is not the context's own; a free table is all zeroes. */
	if (v2m->levels > 3)
		memset(&v2m->table[root][V2M_ENTRIES / 2], 0, sizeof(v2m->table[root]) / 2);
	v2m_free_subtree(v2m, root);
	v2m->context[which] = v2m->context[--v2m->context_count];
	if (v2m->current == v2m->context_count)
		v2m->current = which;
}

/* --- room --- */

static bool drop_oldest(struct v2m *v2m)
{
	uint32_t oldest = v2m->current;

	for (uint32_t i = 0; i < v2m->context_count; i++)
		if (i != v2m->current && (oldest == v2m->current || v2m->context[i].stamp < v2m->context[oldest].stamp))
			oldest = i;
	if (oldest == v2m->current)
		return false;
	v2m_drop_context(v2m, oldest);
	return true;
}

/* Tables of the lowest level, wherever they are, one after another. */
static bool drop_some(struct v2m *v2m)
{
	uint32_t wanted = v2m->page_count / EVICT_PART + 1, dropped = 0;

	for (uint32_t seen = 0; seen < v2m->page_count && dropped < wanted; seen++) {
		const struct v2m_page *page = &v2m->page[v2m->hand];
		v2m->hand = (v2m->hand + 1) % v2m->page_count;
		if (page->level != 1)
			continue;
		v2m_clear(v2m, page->parent, page->slot);
		dropped++;
	}
	return dropped > 0;
}

void v2m_forget_all(struct v2m *v2m)
{
	uint32_t root = v2m_root_page(v2m), index;

	while (v2m->context_count > 1)
		drop_oldest(v2m);
	for (uint32_t slot = 0; slot < V2M_KERNEL_SLOTS; slot++)
		v2m_drop_kernel(v2m, slot);
	while ((index = v2m_next(&v2m->page[root], 0)) != NONE)
		v2m_clear(v2m, root, index);
	v2m->flush = true;
}

void v2m_make_room(struct v2m *v2m)
{
	uint32_t before = v2m->used;

	if (!drop_oldest(v2m) && !drop_some(v2m))
		v2m_forget_all(v2m);
	v2m->count.evictions += before - v2m->used;
}

/* --- start and stop --- */

#define TABLE_BYTES (PAGE_SIZE + 2 * V2M_ENTRIES * sizeof(uint32_t) + sizeof(struct v2m_page) + 2 * HEADS_PER_TABLE * sizeof(uint32_t))

uint32_t v2m_tables(uint64_t bytes)
{
	return bytes < sizeof(struct v2m) + PAGE_SIZE ? 0 : (uint32_t)((bytes - sizeof(struct v2m) - PAGE_SIZE) / TABLE_BYTES);
}

struct v2m *v2m_make(void *memory, uint64_t bytes, uint64_t machine, const struct v2m_port *port,
		     const struct guest_cpu *cpu)
{
	uint32_t count = v2m_tables(bytes), bits = 4;
	uint8_t *at = memory;

	while (1ull << bits < (uint64_t)count * HEADS_PER_TABLE)
		bits++;
	struct v2m *v2m = (struct v2m *)(void *)(at + (uint64_t)count * TABLE_BYTES);
	v2m->table = (uint64_t (*)[V2M_ENTRIES])(void *)at;
	at += (uint64_t)count * PAGE_SIZE;
	v2m->chain = (uint32_t (*)[V2M_ENTRIES])(void *)at;
	at += (uint64_t)count * V2M_ENTRIES * sizeof(uint32_t);
	v2m->source = (uint32_t (*)[V2M_ENTRIES])(void *)at;
	at += (uint64_t)count * V2M_ENTRIES * sizeof(uint32_t);
	v2m->page = (struct v2m_page *)(void *)at;
	at += (uint64_t)count * sizeof(struct v2m_page);
	v2m->head = (uint32_t *)(void *)at;
	v2m->head_shift = 64 - bits;
	v2m->page_count = count;
	v2m->machine = machine;
	v2m->port = port;
	v2m->cpu = *cpu;
	v2m->wake = V2M_WAKE;
	v2m->free = v2m->local = NONE;
	for (uint32_t i = count; i-- > 0;) {
		v2m->page[i].link = v2m->free;
		v2m->free = i;
	}
	return v2m;
}

void v2m_stop(struct v2m *v2m)
{
	if (!v2m->running)
		return;
	v2m->offer_count = 0;
	v2m_forget_all(v2m);
	v2m_drop_context(v2m, 0);
	v2m->running = false;
}
