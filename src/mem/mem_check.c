/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the check of the map's invariants; changes nothing but the scratch bitmap `reserve_seen`. One walk over the map
 * looks at every page and recounts; what a state allows is judged after it. To be called between operations: in the
 * middle of one, pages are absent and counts ahead of the tables.
 *
 * Not looked at, for nothing can break it yet: the free frames kept back (invariant 6) are none as long as no page is
 * shared and the home of a displaced page stays its own.
 */
#include "mem/mem_check.h"

#include "base/str.h"
#include "mem/frames.h"
#include "mem/p2m.h"

struct walk {
	const struct mem *mem;
	bool backend; /* the hardware's tables are in use: compare them */
	uint64_t displaced;
	gfn_t displaced_one; /* one of them, where there is any */
	uint64_t leaf_count;
	uint64_t where;
};

/* A displaced page is one that may be. */
static enum scrim_violation check_displaced_page(const struct mem *mem, gfn_t page)
{
	if (!mem_is_ram(mem, page))
		return SCRIM_V5_NOT_RAM;
	/* A device writes there past the map: a path that does not translate, like a CPU that does not. */
	if (!mem_may_displace(mem, page))
		return SCRIM_V1_DISPLACED_UNGUARDED;
	return SCRIM_HOLDS;
}

/* Its frame is a taken frame of the reserve, nobody else's. */
static enum scrim_violation check_frame(const struct mem *mem, mfn_t frame)
{
	if (!frames_contain(mem, frame))
		return SCRIM_V5_NOT_RAM;
	/* The reserve reaches into the OS's RAM: the frame is home of one page and holds another. */
	if (mem_is_ram(mem, gfn(frame.n)))
		return SCRIM_V3_FRAME_STATE;
	if (!frames_is_used(mem, frame))
		return SCRIM_V3_FRAME_STATE;
	return frames_see(mem, frame) ? SCRIM_HOLDS : SCRIM_V3_FRAME_STATE;
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

	if (!present)
		return mem_is_ram(walk->mem, page) ? SCRIM_V4_BACKEND_STALE : SCRIM_HOLDS;
	if (frame.n != want_frame.n)
		return SCRIM_V4_BACKEND_STALE;
	return access == want_access || !mem_is_ram(walk->mem, page) ? SCRIM_HOLDS : SCRIM_V4_BACKEND_STALE;
}

static enum scrim_violation check_page(struct walk *walk, gfn_t page, uint64_t entry)
{
	enum scrim_violation found = SCRIM_HOLDS;
	mfn_t frame = p2m_entry_frame(entry);

	walk->where = gfn_address(page);
	/* An absent page between operations is one that nobody will make present again. */
	if ((entry & PAGE_MASK) != MEM_ACCESS_ALL)
		return SCRIM_V4_BACKEND_STALE;
	if (!mfn_is_home(page, frame)) {
		walk->displaced++;
		walk->displaced_one = page;
		found = check_displaced_page(walk->mem, page);
		if (found == SCRIM_HOLDS)
			found = check_frame(walk->mem, frame);
	}
	return found == SCRIM_HOLDS ? check_backend(walk, page) : found;
}

static enum scrim_violation check_leaf(struct walk *walk, uint64_t chunk)
{
	const struct p2m_leaf *leaf = walk->mem->root[chunk];
	uint64_t displaced_before = walk->displaced;

	walk->leaf_count++;
	for (uint32_t i = 0; i < P2M_CHUNK_PAGES; i++) {
		enum scrim_violation found = check_page(walk, p2m_page(chunk, i), leaf->entry[i]);

		if (found != SCRIM_HOLDS)
			return found;
	}
	/* Leaves go when their last page comes home. One that has no such page would be left over in NATIVE. */
	walk->where = gfn_address(p2m_page(chunk, 0));
	return walk->displaced > displaced_before ? SCRIM_HOLDS : SCRIM_V2_NATIVE_NOT_CLEAN;
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
		found = walk->mem->root[chunk] ? check_leaf(walk, chunk) : check_identity_chunk(walk, chunk);
	return found;
}

/* Frames are taken by exactly the pages that the walk has seen. */
static enum scrim_violation check_reserve(struct walk *walk)
{
	const struct mem *mem = walk->mem;

	for (uint64_t word = 0; word < frames_words(mem->config.reserve_frames); word++) {
		uint64_t lost = mem->reserve_used[word] ^ mem->reserve_seen[word];

		if (lost == 0)
			continue;
		walk->where = mfn_address(mem->config.reserve_first) +
			      (word * FRAMES_WORD_BITS + (uint64_t)__builtin_ctzll(lost)) * PAGE_SIZE;
		return SCRIM_V3_FRAME_STATE;
	}
	return SCRIM_HOLDS;
}

/* Each displaced page has set one bit of its own, so the taken frames are as many as these. */
static enum scrim_violation check_counts(struct walk *walk)
{
	const struct mem *mem = walk->mem;

	walk->where = 0;
	if (mem->displaced != walk->displaced || mem->leaf_count != walk->leaf_count)
		return SCRIM_V3_FRAME_STATE;
	return mem->reserve_free == mem->config.reserve_frames - walk->displaced ? SCRIM_HOLDS : SCRIM_V3_FRAME_STATE;
}

/* A leaf has a displaced page in it, so that no page is displaced says that no leaf is left either. */
static enum scrim_violation check_state(struct walk *walk, const struct mem_view *view)
{
	bool may_differ = view->state == SCRIM_VIRTUALIZED || view->state == SCRIM_REMAPPING;

	if (walk->displaced == 0)
		return SCRIM_HOLDS;
	walk->where = gfn_address(walk->displaced_one);
	if (view->state == SCRIM_NATIVE)
		return SCRIM_V2_NATIVE_NOT_CLEAN;
	return may_differ && view->all_cpus_translate ? SCRIM_HOLDS : SCRIM_V1_DISPLACED_UNGUARDED;
}

enum scrim_violation mem_check(const struct mem *mem, const struct mem_view *view, uint64_t *where)
{
	struct walk walk = { .mem = mem, .backend = view->state != SCRIM_NATIVE };

	memset(mem->reserve_seen, 0, frames_words(mem->config.reserve_frames) * sizeof(uint64_t));

	enum scrim_violation found = check_chunks(&walk);

	if (found == SCRIM_HOLDS)
		found = check_reserve(&walk);
	if (found == SCRIM_HOLDS)
		found = check_counts(&walk);
	if (found == SCRIM_HOLDS)
		found = check_state(&walk, view);
	*where = found == SCRIM_HOLDS ? 0 : walk.where;
	return found;
}
