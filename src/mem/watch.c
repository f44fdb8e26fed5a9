/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the bits and the copies. A page is opened behind its copy, so that who finds it open without a lock may write. */
#include "mem/watch.h"

#include "base/str.h"
#include "mem/frames.h"

#define WORDS (P2M_CHUNK_PAGES / 64)
#define GIB_CHUNKS 512u
#define RUN_MIN 16u /* frames: shorter runs are not worth their place */

uint64_t watch_storage_bytes(uint64_t ram_end)
{
	uint64_t chunks = align_up(ram_end, MIB(2)) / MIB(2);

	return chunks * (WORDS + 1) * sizeof(uint64_t);
}

void watch_init(struct watch *watch, struct mem *mem, const struct watch_port *port, void *storage)
{
	*watch = (struct watch){ .mem = mem, .port = *port, .copies = storage };
	watch->open = (void *)(watch->copies + mem->chunk_count);
}

static void *bytes(const struct watch *watch, mfn_t frame)
{
	return watch->port.bytes(watch->port.context, frame);
}

/* --- bits --- */

static void open_page(struct watch *watch, gfn_t page)
{
	__atomic_fetch_or(&watch->open[p2m_chunk(page)][p2m_index(page) / 64], 1ull << p2m_index(page) % 64, __ATOMIC_RELEASE);
}

/* Pages [first, last) of one chunk are closed. */
static void close_pages(struct watch *watch, gfn_t first, gfn_t last)
{
	for (gfn_t page = first; page.n < last.n; page.n++)
		watch->open[p2m_chunk(page)][p2m_index(page) / 64] &= ~(1ull << p2m_index(page) % 64);
}

/* All RAM, and nothing else. Nobody looks yet. */
static void close_all(struct watch *watch)
{
	const struct range_list *ram = watch->mem->config.ram;

	memset(watch->open, 0xff, watch->mem->chunk_count * sizeof(*watch->open));
	for (uint32_t i = 0; i < ram->count; i++) {
		gfn_t page = gfn_of_address(align_up(ram->entry[i].start, PAGE_SIZE)), last = gfn_of_address(ram->entry[i].end);
		while (ram->entry[i].type == RANGE_RAM && page.n < last.n) {
			if (p2m_index(page) == 0 && last.n - page.n >= P2M_CHUNK_PAGES) {
				memset(watch->open[p2m_chunk(page)], 0, sizeof(*watch->open));
				page.n += P2M_CHUNK_PAGES;
				continue;
			}
			close_pages(watch, page, gfn(page.n + 1));
			page.n++;
		}
	}
}

bool watch_has_opened(const struct watch *watch, gfn_t page)
{
	uint64_t chunk = p2m_chunk(page);

	return chunk >= watch->mem->chunk_count ||
	       __atomic_load_n(&watch->open[chunk][p2m_index(page) / 64], __ATOMIC_ACQUIRE) >> p2m_index(page) % 64 & 1;
}

uint32_t watch_open_level(const struct watch *watch, gfn_t page)
{
	uint64_t chunk = p2m_chunk(page);

	if (align_down(chunk, GIB_CHUNKS) >= watch->mem->chunk_count)
		return 3;
	return watch_is_chunk_open(watch, chunk) ? 2 : 1;
}

uint64_t watch_closed(const struct watch *watch, gfn_t first, gfn_t last)
{
	uint64_t closed = 0;

	for (gfn_t page = first; watch_is_on(watch) && page.n < last.n && p2m_chunk(page) < watch->mem->chunk_count; page.n++) {
		if (page.n % 64 == 0 && last.n - page.n >= 64) {
			for (uint64_t left = ~watch->open[p2m_chunk(page)][p2m_index(page) / 64]; left; left &= left - 1)
				closed++;
			page.n += 63;
		} else {
			closed += !watch_is_open(watch, page);
		}
	}
	return closed;
}

uint64_t watch_written(const struct watch *watch, gfn_t first)
{
	uint64_t written = 0;

	for (uint32_t i = 0; i < 64; i++)
		written |= (uint64_t)(mem_is_ram(watch->mem, gfn(first.n + i)) && watch_is_open(watch, gfn(first.n + i))) << i;
	return written;
}

/* --- frames --- */

/* What the map may need while the watch is on (invariant 6). */
static uint64_t kept(const struct mem *mem)
{
	return mem->saved + (mem->displaced > 0);
}

uint64_t watch_frames(const struct watch *watch)
{
	const struct mem *mem = watch->mem;
	uint64_t stay = kept(mem) > mem->free_homes ? kept(mem) : mem->free_homes; /* a free home will do for a cycle */

	if (watch->kind == SCRIM_WATCH_IMAGE)
		return watch->left;
	return mem->free_frames > stay ? mem->free_frames - stay : 0;
}

/* Free frames of [first, last), at most `most`, into runs. */
static void take_runs(struct watch *watch, uint64_t first, uint64_t last)
{
	struct mem *mem = watch->mem;

	for (uint64_t at = first; at < last && watch->run_count < WATCH_RUNS;) {
		uint64_t most = mem->free_frames > kept(mem) ? mem->free_frames - kept(mem) : 0, end = at;

		while (end < last && end - at < most && frames_is_free(mem, mfn(end)))
			end++;
		if (end - at >= RUN_MIN && mem_withdraw(mem, mfn(at), end - at) == SCRIM_OK) {
			watch->run[watch->run_count++] = (struct watch_run){ mfn(at), end - at };
			watch->left += end - at;
		}
		at = end + 1;
	}
}

static void take_frames(struct watch *watch)
{
	const struct mem *mem = watch->mem;
	uint64_t reserve = mem->config.reserve_first.n;

	take_runs(watch, reserve, reserve + mem->config.reserve_frames);
	for (uint32_t i = 0; i < mem->lent.count; i++)
		if (mem->lent.entry[i].type == RANGE_RAM)
			take_runs(watch, mem->lent.entry[i].start >> PAGE_SHIFT, mem->lent.entry[i].end >> PAGE_SHIFT);
}

bool watch_take_frame(struct watch *watch, mfn_t *frame)
{
	if (!watch->left)
		return false;
	watch->left--;
	if (watch->unused) {
		*frame = mfn_of_address(watch->unused);
		memcpy(&watch->unused, bytes(watch, *frame), sizeof(watch->unused));
		return true;
	}
	if (watch->run_next == watch->run[watch->run_at].count) {
		watch->run_at++;
		watch->run_next = 0;
	}
	*frame = mfn(watch->run[watch->run_at].first.n + watch->run_next++);
	return true;
}

void watch_return_frame(struct watch *watch, mfn_t frame)
{
	memcpy(bytes(watch, frame), &watch->unused, sizeof(watch->unused));
	watch->unused = mfn_address(frame);
	watch->left++;
}

bool watch_has_room(const struct watch *watch, uint32_t part)
{
	uint64_t share = watch->taken / part;

	return 4 * watch->left > 4 * share - 3 * share * (watch->pages - watch->unread) / watch->pages;
}

/* --- copies --- */

/* Where the address of the page's copy stands, NULL where its chunk has none. */
static uint64_t *copy_of(const struct watch *watch, gfn_t page)
{
	uint64_t table = watch->copies[p2m_chunk(page)];
	uint64_t *entry = table ? bytes(watch, mfn_of_address(table)) : NULL;

	return entry ? entry + p2m_index(page) : NULL;
}

static bool any_copy(const struct watch *watch, uint64_t chunk)
{
	const uint64_t *table = bytes(watch, mfn_of_address(watch->copies[chunk]));

	/* Readers begin below: what is left is above. */
	for (uint32_t i = P2M_CHUNK_PAGES; i > 0; i--)
		if (table[i - 1])
			return true;
	return false;
}

static err_t copy_page(struct watch *watch, gfn_t page)
{
	uint64_t *table = &watch->copies[p2m_chunk(page)];
	enum mem_access access;
	mfn_t frame;

	if (watch->left < (*table ? 1 : 2))
		return SCRIM_ENOFRAME;
	if (!*table && watch_take_frame(watch, &frame)) {
		memset(bytes(watch, frame), 0, PAGE_SIZE);
		*table = mfn_address(frame);
	}
	if (!watch_take_frame(watch, &frame))
		return SCRIM_ENOFRAME;
	memcpy(bytes(watch, frame), bytes(watch, mem_translate(watch->mem, page, &access)), PAGE_SIZE);
	*copy_of(watch, page) = mfn_address(frame);
	watch->copied++;
	return SCRIM_OK;
}

err_t watch_write(struct watch *watch, gfn_t page)
{
	if (watch_is_open(watch, page))
		return SCRIM_OK;
	if (watch->kind == SCRIM_WATCH_IMAGE) {
		err_t err = copy_page(watch, page);
		if (err)
			return err;
	}
	open_page(watch, page);
	return SCRIM_OK;
}

mfn_t watch_source(const struct watch *watch, gfn_t page)
{
	const uint64_t *copy = copy_of(watch, page);
	enum mem_access access;

	return copy && *copy ? mfn_of_address(*copy) : mem_translate(watch->mem, page, &access);
}

void watch_let_go(struct watch *watch, gfn_t page)
{
	uint64_t *copy = copy_of(watch, page);

	if (copy && *copy) {
		watch_return_frame(watch, mfn_of_address(*copy));
		*copy = 0;
		watch->unread--;
	} else if (!watch_is_open(watch, page)) {
		open_page(watch, page);
		watch->unread--;
	}
	if (copy && watch_is_chunk_open(watch, p2m_chunk(page)) && !any_copy(watch, p2m_chunk(page))) {
		watch_return_frame(watch, mfn_of_address(watch->copies[p2m_chunk(page)]));
		watch->copies[p2m_chunk(page)] = 0;
	}
}

/* --- course --- */

void watch_prepare(struct watch *watch, enum scrim_watch kind)
{
	close_all(watch);
	watch->failed = SCRIM_WATCH_NONE;
	watch->copied = 0;
	watch->pages = watch->unread = ranges_pages(watch->mem->config.ram, RANGE_RAM) - watch->mem->lent_frames;
	if (kind == SCRIM_WATCH_IMAGE)
		take_frames(watch);
	watch->taken = watch->left;
}

void watch_start(struct watch *watch, enum scrim_watch kind)
{
	__atomic_store_n(&watch->kind, kind, __ATOMIC_RELEASE);
}

void watch_stop(struct watch *watch, bool failed)
{
	watch->failed = failed ? watch->kind : SCRIM_WATCH_NONE;
	__atomic_store_n(&watch->kind, SCRIM_WATCH_NONE, __ATOMIC_RELEASE);
	memset(watch->copies, 0, watch->mem->chunk_count * sizeof(*watch->copies));
}

bool watch_give_back(struct watch *watch)
{
	bool all = true;

	while (watch->run_count > 0) {
		const struct watch_run *run = &watch->run[--watch->run_count];
		all &= mem_give_back(watch->mem, run->first, run->count) == SCRIM_OK;
	}
	watch->run_at = 0;
	watch->run_next = watch->unused = watch->left = 0;
	return all;
}
