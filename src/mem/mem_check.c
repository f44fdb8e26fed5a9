/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the check of the map's invariants; changes nothing but its scratch bitmaps (and, for a moment, the counts). One
 * walk over the map looks at every page and recounts. Then, window by window of frames, a sweep over P2M finds out who
 * is in which frame, and compares that with what frames may be, and with what the reverse says. Last, what a state
 * allows is judged.
 */
#include "mem/mem_check.h"

#include "base/str.h"
#include "mem/reverse.h"
#include "mem/search_window.h"

struct walk {
	struct mem *mem;
	bool backend; /* the hardware's tables are in use: compare them */
	uint64_t displaced, read_only, in_flight, changed;
	gfn_t changed_one; /* a page that is not as Identity has it, where there is any; a displaced one if there is */
	uint64_t leaf_count;
	uint64_t saved, free_frames, free_homes;
	uint64_t withdrawn_frames, retired_frames;
	uint64_t where;
};

/* A page that is not as Identity has it is one that may be so; it shares only where no device writes. */
static enum scrim_violation check_changed_page(const struct mem *mem, gfn_t page, enum mem_access access)
{
	if (!mem_is_ram(mem, page))
		return SCRIM_V5_NOT_RAM;
	if (mem_may_displace(mem, page))
		return access == MEM_ACCESS_READ && !mem_may_share(mem, page) ? SCRIM_V3_FRAME_STATE : SCRIM_HOLDS;
	/* Lent: its frame is others'. */
	if (frames_is_spare(mem, gfn_home(page)))
		return SCRIM_V3_FRAME_STATE;
	/* A device writes there past the map: a path that does not translate, like a CPU that does not. Or locked. */
	return SCRIM_V1_DISPLACED_UNGUARDED;
}

/* The frame of a displaced page is spare, or the home of a page that may be displaced. */
static enum scrim_violation check_frame(const struct mem *mem, mfn_t frame)
{
	bool spare = frames_is_spare(mem, frame);
	bool lent = ranges_contain(&mem->lent, mfn_address(frame), mfn_address(frame) + PAGE_SIZE, RANGE_RAM);

	if (frames_is_withdrawn(mem, frame))
		return SCRIM_V3_FRAME_STATE;
	if (spare && !lent && mem_is_ram(mem, gfn(frame.n)))
		return SCRIM_V3_FRAME_STATE; /* the reserve reaches into the OS's RAM */
	return spare || mem_may_displace(mem, gfn(frame.n)) ? SCRIM_HOLDS : SCRIM_V5_NOT_RAM;
}

/*
 * The hardware's tables say what the map says. Outside RAM the back-end may hide a page (a guard, Scrim's own memory,
 * reaches not filled yet), but never send it elsewhere.
 */
static enum scrim_violation check_backend(const struct walk *walk, gfn_t page)
{
	const struct mem_config *config = &walk->mem->config;
	enum mem_access want_access, access;
	mfn_t want_frame = p2m_get(walk->mem, page, &want_access);
	mfn_t frame;

	if (!walk->backend)
		return SCRIM_HOLDS;

	bool present = config->port->map_get(config->port_context, page, &frame, &access);

	if (!present) {
		/* Of a large entry that a batch has taken apart, all is absent until the batch ends. */
		bool may_be = walk->mem->in_flight > 0 || !mem_is_ram(walk->mem, page);

		return may_be ? SCRIM_HOLDS : SCRIM_V4_BACKEND_STALE;
	}
	if (frame.n != want_frame.n)
		return SCRIM_V4_BACKEND_STALE;
	return access == want_access || !mem_is_ram(walk->mem, page) ? SCRIM_HOLDS : SCRIM_V4_BACKEND_STALE;
}

static void count_page(struct walk *walk, gfn_t page, uint64_t entry)
{
	bool displaced = p2m_is_displaced(entry, page);

	if (entry == p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL))
		return;
	if (displaced || walk->displaced == 0)
		walk->changed_one = page;
	walk->changed++;
	walk->displaced += displaced;
	walk->read_only += p2m_entry_access(entry) == MEM_ACCESS_READ;
	walk->in_flight += p2m_entry_access(entry) == MEM_ACCESS_NONE;
}

static enum scrim_violation check_page(struct walk *walk, gfn_t page, uint64_t entry)
{
	enum scrim_violation found = SCRIM_HOLDS;
	mfn_t frame = p2m_entry_frame(entry);
	uint64_t flags = entry & PAGE_MASK;

	walk->where = gfn_address(page);
	count_page(walk, page, entry);
	/* An absent page that no batch holds is one that nobody will make present again. */
	if (flags > MEM_ACCESS_ALL || walk->in_flight > walk->mem->in_flight)
		return SCRIM_V4_BACKEND_STALE;
	if (entry != p2m_make_entry(gfn_home(page), MEM_ACCESS_ALL))
		found = check_changed_page(walk->mem, page, p2m_entry_access(entry));
	if (found == SCRIM_HOLDS && !mfn_is_home(page, frame))
		found = check_frame(walk->mem, frame);
	return found == SCRIM_HOLDS ? check_backend(walk, page) : found;
}

static enum scrim_violation check_leaf(struct walk *walk, uint64_t chunk)
{
	const struct p2m_slot *slot = &walk->mem->root[chunk];
	uint64_t displaced = walk->displaced, changed = walk->changed;

	walk->leaf_count++;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++) {
		enum scrim_violation found = check_page(walk, p2m_page(chunk, i), slot->leaf->entry[i]);

		if (found != SCRIM_HOLDS)
			return found;
	}
	walk->where = gfn_address(p2m_page(chunk, 0));
	if (slot->displaced != walk->displaced - displaced || slot->changed != walk->changed - changed)
		return SCRIM_V3_FRAME_STATE;
	/* Leaves go when their last page comes home. One that has no such page would be left over in NATIVE. */
	return slot->changed > 0 ? SCRIM_HOLDS : SCRIM_V2_NATIVE_NOT_CLEAN;
}

/* The first whole page of RAM in a chunk. False when there is none. */
static bool first_ram_page(const struct mem *mem, uint64_t chunk, gfn_t *page)
{
	uint64_t chunk_start = gfn_address(p2m_page(chunk, 0));
	uint64_t chunk_end = gfn_address(p2m_page(chunk + 1, 0));

	for (uint32_t i = 0; i < mem->config.ram->count; i++) {
		const struct range *range = &mem->config.ram->entry[i];

		if (range->type != RANGE_RAM || range->start >= chunk_end)
			continue;

		uint64_t start = align_up(range->start > chunk_start ? range->start : chunk_start, PAGE_SIZE);
		uint64_t end = range->end < chunk_end ? range->end : chunk_end;

		*page = gfn_of_address(start);
		if (start < end && end - start >= PAGE_SIZE)
			return true;
	}
	return false;
}

/* A chunk without a leaf is one large entry as a rule, so one page of it tells. */
static enum scrim_violation check_identity_chunk(struct walk *walk, uint64_t chunk)
{
	gfn_t page;

	if (!first_ram_page(walk->mem, chunk, &page))
		return SCRIM_HOLDS;
	walk->where = gfn_address(page);
	return check_backend(walk, page);
}

static enum scrim_violation check_chunks(struct walk *walk)
{
	enum scrim_violation found = SCRIM_HOLDS;

	for (uint64_t chunk = 0; chunk < walk->mem->chunk_count && found == SCRIM_HOLDS; chunk++)
		found = walk->mem->root[chunk].leaf ? check_leaf(walk, chunk) : check_identity_chunk(walk, chunk);
	return found;
}

/* --- frames --- */

/* One bit of a bitmap over the window; its old value. */
static bool test_and_set(uint64_t *bits, uint64_t bit)
{
	bool was = bits[bit / 64] >> bit % 64 & 1;

	bits[bit / 64] |= 1ull << bit % 64;
	return was;
}

static bool test(const uint64_t *bits, uint64_t bit) { return bits[bit / 64] >> bit % 64 & 1; }

/* Who is in a frame of the window: alone, or all of them without the right to write. */
static bool see(struct walk *walk, uint64_t bit, enum mem_access access)
{
	struct mem *mem = walk->mem;
	bool shared = test_and_set(mem->seen, bit);

	walk->saved += shared;
	if (shared && (access == MEM_ACCESS_ALL || test(mem->seen_all, bit)))
		return false;
	if (access == MEM_ACCESS_ALL)
		(void)test_and_set(mem->seen_all, bit);
	return true;
}

static bool see_stranger(struct walk *walk, gfn_t page, uint64_t first)
{
	uint64_t entry = p2m_entry(walk->mem, page);
	uint64_t bit = p2m_entry_frame(entry).n - first;

	walk->where = gfn_address(page);
	if (!p2m_is_displaced(entry, page) || bit >= SEARCH_FRAMES)
		return true;
	return see(walk, bit, p2m_entry_access(entry));
}

static enum scrim_violation see_strangers(struct walk *walk, uint64_t first)
{
	const struct mem *mem = walk->mem;

	for (uint64_t chunk = 0; chunk < mem->chunk_count; chunk++)
		for (uint32_t i = 0; mem->root[chunk].displaced > 0 && i < P2M_CHUNK_PAGES; i++)
			if (!see_stranger(walk, p2m_page(chunk, i), first))
				return SCRIM_V3_FRAME_STATE;
	return SCRIM_HOLDS;
}

/* A frame that may hold pages: what the reverse says is so. */
static bool is_free_right(struct walk *walk, mfn_t frame, uint64_t bit)
{
	bool occupied = test(walk->mem->seen, bit);

	if (!frames_is_free(walk->mem, frame))
		return occupied || walk->mem->in_flight > 0; /* it may be where a batch goes */
	walk->free_frames++;
	walk->free_homes += p2m_is_displaced(p2m_entry(walk->mem, gfn(frame.n)), gfn(frame.n));
	return !occupied;
}

/* Nobody is in a withdrawn frame: neither a stranger nor, where it is somebody's home, its own page. */
static bool is_withdrawn_right(struct walk *walk, gfn_t page, uint64_t entry, uint64_t bit)
{
	const struct mem *mem = walk->mem;

	walk->withdrawn_frames++;
	walk->retired_frames += frames_is_retired(mem, gfn_home(page));
	if (test(mem->seen, bit))
		return false;
	return p2m_is_displaced(entry, page) || !mem_may_displace(mem, page);
}

static bool is_frame_right(struct walk *walk, gfn_t page, uint64_t bit)
{
	uint64_t entry = p2m_entry(walk->mem, page);
	mfn_t frame = gfn_home(page);

	walk->where = gfn_address(page);
	if (frames_is_withdrawn(walk->mem, frame))
		return is_withdrawn_right(walk, page, entry, bit);
	if (frames_is_spare(walk->mem, frame)) /* its page, if it has one, is as Identity has it: check_changed_page */
		return is_free_right(walk, frame, bit);
	if (!p2m_is_displaced(entry, page))
		return see(walk, bit, p2m_entry_access(entry));
	return p2m_entry_access(entry) == MEM_ACCESS_NONE || is_free_right(walk, frame, bit);
}

static enum scrim_violation check_window(struct walk *walk, uint64_t first)
{
	struct mem *mem = walk->mem;
	uint64_t end = mem->frame_chunk_count << P2M_CHUNK_SHIFT;

	memset(mem->seen, 0, SEARCH_FRAMES / 8);
	memset(mem->seen_all, 0, SEARCH_FRAMES / 8);

	enum scrim_violation found = see_strangers(walk, first);

	for (uint64_t bit = 0; found == SCRIM_HOLDS && bit < SEARCH_FRAMES && first + bit < end; bit++)
		if (!is_frame_right(walk, gfn(first + bit), bit))
			found = SCRIM_V3_FRAME_STATE;
	return found;
}

/* The window that a search has kept comes first: opened anew, it would only prove that it can be opened. */
static enum scrim_violation check_windows(struct walk *walk)
{
	struct mem *mem = walk->mem;
	uint64_t end = mem->frame_chunk_count << P2M_CHUNK_SHIFT;
	uint64_t kept = mem->window_valid ? mem->window_first : UINT64_MAX;
	enum scrim_violation found = SCRIM_HOLDS;

	if (kept < end)
		found = check_window(walk, kept);
	for (uint64_t first = 0; first < end && found == SCRIM_HOLDS; first += SEARCH_FRAMES)
		if (first != kept)
			found = check_window(walk, first);
	return found;
}

/* What is noted as free beside the reverse. */
static enum scrim_violation check_notes(struct walk *walk)
{
	struct mem *mem = walk->mem;

	for (uint32_t i = 0; i < mem->hint_count; i++) {
		uint64_t entry = p2m_entry(mem, mem->hint[i]);

		walk->where = gfn_address(mem->hint[i]);
		if (!p2m_is_displaced(entry, mem->hint[i]))
			return SCRIM_V3_FRAME_STATE;
		if (p2m_is_at_rest(entry, mem->hint[i]) && !frames_is_free(mem, gfn_home(mem->hint[i])))
			return SCRIM_V3_FRAME_STATE;
	}
	for (uint32_t i = 0; i < MEM_CACHE_SLOTS; i++) {
		mfn_t frame = mfn(mem->free_cache[i] - 1);

		walk->where = mfn_address(frame);
		if (mem->free_cache[i] && !frames_is_free(mem, frame))
			return SCRIM_V3_FRAME_STATE;
	}
	return SCRIM_HOLDS;
}

static enum scrim_violation check_frames(struct walk *walk)
{
	enum scrim_violation found = check_windows(walk);

	if (found == SCRIM_HOLDS)
		found = check_notes(walk);
	if (found == SCRIM_HOLDS)
		found = walk->mem->reverse->check(walk->mem, &walk->where);
	return found;
}

static enum scrim_violation check_page_counts(struct walk *walk)
{
	const struct mem *mem = walk->mem;

	walk->where = 0;
	if (mem->displaced != walk->displaced || mem->leaf_count != walk->leaf_count)
		return SCRIM_V3_FRAME_STATE;
	if (mem->read_only != walk->read_only || mem->in_flight != walk->in_flight)
		return SCRIM_V3_FRAME_STATE;
	return SCRIM_HOLDS;
}

static enum scrim_violation check_frame_counts(struct walk *walk)
{
	const struct mem *mem = walk->mem;

	walk->where = 0;
	if (mem->withdrawn_frames != walk->withdrawn_frames || mem->retired_frames != walk->retired_frames)
		return SCRIM_V3_FRAME_STATE;
	if (mem->in_flight > 0)
		return SCRIM_HOLDS; /* frames and sharers are between two places */
	if (mem->saved != walk->saved || mem->free_frames != walk->free_frames || mem->free_homes != walk->free_homes)
		return SCRIM_V3_FRAME_STATE;
	return mem->displaced == 0 || mem->free_frames > mem->saved ? SCRIM_HOLDS : SCRIM_V6_RESERVE;
}

/* Nothing of the reverse outlives the last page that is not as Identity has it. */
static enum scrim_violation check_left_over(struct walk *walk)
{
	walk->where = 0;
	return walk->changed == 0 && walk->mem->reverse_leaf_count > 0 ? SCRIM_V2_NATIVE_NOT_CLEAN : SCRIM_HOLDS;
}

/* A leaf has a changed page in it, so that no page is changed says that no leaf is left either. */
static enum scrim_violation check_state(struct walk *walk, const struct mem_view *view)
{
	bool may_differ = view->state == SCRIM_VIRTUALIZED || view->state == SCRIM_REMAPPING;

	if (walk->changed == 0)
		return SCRIM_HOLDS;
	walk->where = gfn_address(walk->changed_one);
	if (view->state == SCRIM_NATIVE)
		return SCRIM_V2_NATIVE_NOT_CLEAN;
	return may_differ && view->all_cpus_translate && !view->devices_bypass ? SCRIM_HOLDS : SCRIM_V1_DISPLACED_UNGUARDED;
}

enum scrim_violation mem_check(struct mem *mem, const struct mem_view *view, uint64_t *where)
{
	struct walk walk = { .mem = mem, .backend = view->state != SCRIM_NATIVE };
	enum scrim_violation found = check_chunks(&walk);

	if (found == SCRIM_HOLDS)
		found = check_page_counts(&walk);
	if (found == SCRIM_HOLDS)
		found = check_frames(&walk);
	if (found == SCRIM_HOLDS)
		found = check_frame_counts(&walk);
	if (found == SCRIM_HOLDS)
		found = check_left_over(&walk);
	if (found == SCRIM_HOLDS)
		found = check_state(&walk, view);
	*where = found == SCRIM_HOLDS ? 0 : walk.where;
	return found;
}
