/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the book of links, and on each CPU's side which tables come to stand there: those that a CPU has come back to V2M_QUIET times
 * without an entry of theirs having changed. A table whose link was taken away by a write has to be quiet for twice as long each time.
 *
 * Who may write a guarded page: nobody by V2M's own entries (v2m_compose()), and nobody by a linked table, since
 * none is linkable that leads to a guarded page, and none is guarded that a linked table leads to.
 */
#include "xlat/v2m_pages.h"

#define STRIKES_MAX 8u
#define PATIENCE_MAX 10u
#define OFFERS_WAIT 64u /* loads of CR3 until offers that are not many are taken up */

static uint32_t hash_of(gfn_t table)
{
	return (uint32_t)((table.n * 0x9e3779b97f4a7c15ull) >> 32);
}

/* Where `table` may stand: the place in which `wanted` does, else V2M_LINKS. A free one says gfn 0. */
static uint32_t search(const struct v2m_links *links, gfn_t table, gfn_t wanted)
{
	uint32_t set = hash_of(table) % V2M_LINK_SETS * V2M_LINK_WAYS;

	for (uint32_t i = set; i < set + V2M_LINK_WAYS; i++)
		if (__atomic_load_n(&links->link[i].word, __ATOMIC_SEQ_CST) >> PAGE_SHIFT == wanted.n)
			return i;
	return V2M_LINKS;
}

static struct v2m_link *find(struct v2m_links *links, gfn_t table)
{
	uint32_t at = search(links, table, table);

	return at < V2M_LINKS ? &links->link[at] : NULL;
}

static struct v2m_link *find_free(struct v2m_links *links, gfn_t table)
{
	uint32_t at = search(links, table, gfn(0));

	return at < V2M_LINKS ? &links->link[at] : NULL;
}

static uint8_t *strikes_of(struct v2m_links *links, gfn_t table)
{
	return &links->strikes[hash_of(table) % V2M_LINKS];
}

static uint8_t one_more(uint8_t count, uint8_t most)
{
	return (uint8_t)(count + (count < most));
}

#define ONE_MORE ((uint16_t)1)
#define ONE_LESS UINT16_MAX /* modulo 2^16 */

static void count_guarded(struct v2m_links *links, gfn_t table, uint16_t change)
{
	__atomic_fetch_add(&links->in_chunk[(table.n >> 9) % V2M_LINK_CHUNKS], change, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&links->in_page[table.n % V2M_LINK_PAGES], change, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&links->guarded, change, __ATOMIC_SEQ_CST);
}

bool v2m_links_has(const struct v2m_links *links, gfn_t page)
{
	return page.n && search(links, page, page) < V2M_LINKS;
}

/*
 * Sequentially consistent, and the other way about in v2m_links_break(): either that one sees this holder, or this CPU sees that the table
 * is not linkable any more. A table that was freed and has become linkable again meanwhile is no danger: that takes a flush of this CPU.
 */
bool v2m_links_hold(struct v2m_links *links, gfn_t table, uint32_t number)
{
	const uint64_t linkable = (table.n << PAGE_SHIFT) | V2M_LINK_GUARDED | V2M_LINK_LINKABLE;
	struct v2m_link *link = find(links, table);

	if (!link || __atomic_load_n(&link->word, __ATOMIC_SEQ_CST) != linkable)
		return false;
	__atomic_fetch_or(&link->holders, 1ull << number % 64, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&link->word, __ATOMIC_SEQ_CST) == linkable;
}

bool v2m_links_at(const struct v2m_links *links, uint32_t n, gfn_t *table)
{
	*table = gfn(links->link[n].word >> PAGE_SHIFT);
	return links->link[n].word;
}

/* --- what can be linked --- */

/* All that the table maps is locked, and no guarded page is among it. Counts what is present. */
static bool maps_locked(const struct v2m *v2m, gfn_t table, uint32_t *entries)
{
	const struct v2m_port *port = v2m->port;
	enum mem_access access;
	const uint64_t *entry = (const uint64_t *)(const void *)port->guest.page(port->guest.context, table, &access);

	*entries = 0;
	for (uint32_t i = 0; entry && i < V2M_ENTRIES; i++) {
		uint64_t guest = __atomic_load_n(&entry[i], __ATOMIC_RELAXED);
		if (!(guest & PTE_P))
			continue;
		gfn_t page = gfn_of_address(guest & PTE_ADDRESS);
		if (guest & v2m->reserved || !port->is_locked(port->context, page) || v2m_links_is_guarded(port->links, page))
			return false;
		++*entries;
	}
	return *entries > 0;
}

/* Where a table that is linked already leads to a page that has just become guarded, that one is not to be linked. */
static void spare_mapped(const struct v2m *v2m)
{
	const struct v2m_port *port = v2m->port;
	enum mem_access access;

	for (uint32_t n = 0; n < V2M_LINKS; n++) {
		uint64_t word = port->links->link[n].word;
		if (!(word & V2M_LINK_LINKABLE))
			continue;
		const uint64_t *entry = (const uint64_t *)(const void *)port->guest.page(port->guest.context, gfn_of_address(word), &access);
		for (uint32_t i = 0; i < V2M_ENTRIES; i++) {
			gfn_t page = gfn_of_address(entry[i] & PTE_ADDRESS);
			if (entry[i] & PTE_P && v2m_links_is_guarded(port->links, page))
				v2m_links_free(port->links, page);
		}
	}
}

/* --- offers --- */

void v2m_links_offer(struct v2m *v2m, uint32_t page)
{
	struct v2m_page *p = &v2m->page[page];
	struct v2m_links *links = v2m->port->links;

	if (v2m->kept != V2M_KEPT_SHADOW || p->kernel || p->split || guest_is_two_level(&v2m->paging))
		return;
	if (p->patience < *strikes_of(links, p->gfn)) {
		p->patience++;
		return;
	}
	if (v2m->offer_count == V2M_OFFERS) {
		p->quiet = 0;
		return;
	}
	if (!v2m->offer_count)
		v2m->offered_at = v2m->count.flushes;
	v2m->offer[v2m->offer_count++] = (struct v2m_offer){ p->gfn, page };
}

bool v2m_links_are_due(const struct v2m *v2m)
{
	return v2m->offer_count == V2M_OFFERS || (v2m->offer_count && v2m->count.flushes - v2m->offered_at >= OFFERS_WAIT);
}

static bool guard(struct v2m *v2m, const struct v2m_offer *offer)
{
	const struct v2m_port *port = v2m->port;
	struct v2m_page *p = &v2m->page[offer->page];
	struct v2m_links *links = port->links;
	uint32_t entries;

	if (p->level != 1 || !offer->table.n || p->gfn.n != offer->table.n || find(links, offer->table))
		return false; /* given up, or offered by another CPU as well */
	struct v2m_link *place = find_free(links, offer->table);
	p->quiet = 0; /* should nothing come of it, it will be offered again */
	if (!place || !port->is_ram(port->context, offer->table) || !port->is_locked(port->context, offer->table) ||
	    !maps_locked(v2m, offer->table, &entries)) {
		p->patience = one_more(p->patience, PATIENCE_MAX);
		return false;
	}
	place->holders = 0;
	place->entries = 0;
	__atomic_store_n(&place->word, (offer->table.n << PAGE_SHIFT) | V2M_LINK_GUARDED, __ATOMIC_SEQ_CST);
	count_guarded(links, offer->table, ONE_MORE);
	return true;
}

uint32_t v2m_links_guard(struct v2m *v2m, gfn_t *guarded)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < v2m->offer_count; i++)
		if (guard(v2m, &v2m->offer[i]))
			guarded[count++] = v2m->offer[i].table;
	v2m->offer_count = 0;
	return count;
}

void v2m_links_settle(struct v2m *v2m, const gfn_t *guarded, uint32_t count)
{
	struct v2m_links *links = v2m->port->links;

	spare_mapped(v2m);
	for (uint32_t i = 0; i < count; i++) {
		struct v2m_link *link = find(links, guarded[i]);
		uint32_t entries;
		if (!link)
			continue;
		if (!maps_locked(v2m, guarded[i], &entries)) {
			v2m_links_free(links, guarded[i]);
			continue;
		}
		link->entries = entries;
		links->entries += entries;
		links->count++;
		__atomic_fetch_or(&link->word, V2M_LINK_LINKABLE, __ATOMIC_SEQ_CST);
	}
}

uint64_t v2m_links_break(struct v2m_links *links, gfn_t table, bool by_write)
{
	struct v2m_link *link = find(links, table);

	if (!link || !(link->word & V2M_LINK_LINKABLE))
		return 0;
	__atomic_fetch_and(&link->word, ~V2M_LINK_LINKABLE, __ATOMIC_SEQ_CST);
	links->entries -= link->entries;
	links->count--;
	if (by_write) {
		links->broken++;
		*strikes_of(links, table) = one_more(*strikes_of(links, table), STRIKES_MAX);
	}
	return __atomic_load_n(&link->holders, __ATOMIC_SEQ_CST);
}

void v2m_links_free(struct v2m_links *links, gfn_t table)
{
	struct v2m_link *link = find(links, table);

	if (!link || link->word & V2M_LINK_LINKABLE)
		return;
	__atomic_store_n(&link->word, 0, __ATOMIC_SEQ_CST);
	count_guarded(links, table, ONE_LESS);
}
