/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake machine's memory, from the interface's text alone. Frames have no contents here: only counts and lists. */
#include "fake_memory.h"

#include <string.h>

static const struct range all_ram[] = {
	{ 0x1000, 0x9f000 },
	{ FAKE_RAM_START, FAKE_OWN_START },
	{ FAKE_OWN_END, FAKE_RAM_END },
};

void fake_memory_reset(struct fake_memory *memory)
{
	memset(memory, 0, sizeof(*memory));
	memory->frames_free = 1024;
	memory->ram = all_ram;
	memory->ram_count = sizeof(all_ram) / sizeof(all_ram[0]);
	memory->reverse = SCRIM_REVERSE_BACKMAP;
	for (unsigned i = 0; i < FAKE_BLOCKS; i++)
		memory->blocks[i] = (struct fake_block){ .online = true, .removable = true };
}

static bool covers(struct range outer, struct range inner)
{
	return outer.start <= inner.start && inner.end <= outer.end;
}

static bool in_ram(struct range range)
{
	return covers(all_ram[0], range) || covers(all_ram[1], range) || covers(all_ram[2], range);
}

static bool aligned(uint64_t start, uint64_t end)
{
	return start % PAGE_BYTES == 0 && end % PAGE_BYTES == 0;
}

bool fake_ranges_cover(const struct fake_ranges *ranges, struct range range)
{
	for (unsigned i = 0; i < ranges->count; i++)
		if (covers(ranges->items[i], range))
			return true;
	return false;
}

/* One that touches others becomes one with them. */
void fake_ranges_add(struct fake_ranges *ranges, struct range range)
{
	for (unsigned i = 0; i < ranges->count;) {
		struct range *item = &ranges->items[i];

		if (item->start > range.end || range.start > item->end) {
			i++;
			continue;
		}
		range.start = item->start < range.start ? item->start : range.start;
		range.end = item->end > range.end ? item->end : range.end;
		*item = ranges->items[--ranges->count];
	}
	ranges->items[ranges->count++] = range;
}

static void ranges_cut(struct fake_ranges *ranges, struct range range)
{
	struct fake_ranges rest = { .count = 0 };

	for (unsigned i = 0; i < ranges->count; i++) {
		struct range item = ranges->items[i];

		if (!range_overlaps(&item, &range)) {
			rest.items[rest.count++] = item;
			continue;
		}
		if (item.start < range.start)
			rest.items[rest.count++] = (struct range){ item.start, range.start };
		if (item.end > range.end)
			rest.items[rest.count++] = (struct range){ range.end, item.end };
	}
	*ranges = rest;
}

void fake_manage_all(struct fake_memory *memory)
{
	fake_ranges_add(&memory->managed, all_ram[0]);
	fake_ranges_add(&memory->managed, all_ram[1]);
	fake_ranges_add(&memory->managed, all_ram[2]);
}

uint64_t fake_pages_of(const struct fake_ranges *ranges)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < ranges->count; i++)
		bytes += ranges->items[i].end - ranges->items[i].start;
	return bytes / PAGE_BYTES;
}

static bool comes_home(const struct fake_memory *memory, uint64_t page)
{
	return memory->remap_all || (page >= memory->remapping.start && page < memory->remapping.end);
}

static uint64_t count_coming_home(const struct fake_memory *memory)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < memory->displaced; i++)
		count += comes_home(memory, memory->pages[i]);
	return count;
}

/* The 2 MiB around each retired frame, of what comes home. */
static void keep_around_retired(const struct fake_memory *memory, struct fake_ranges *managed)
{
	for (unsigned i = 0; i < memory->retired.count; i++) {
		uint64_t start = memory->retired.items[i].start & ~((2ull << 20) - 1);
		struct range chunk = { start, start + (2ull << 20) };

		if (range_overlaps(&chunk, &memory->remapping) && !fake_ranges_cover(managed, chunk))
			fake_ranges_add(managed, chunk);
	}
}

/* The last page is home: a portion is managed no longer, unless it is the last; then it is until all have switched. */
static void end_homecoming(struct fake_memory *memory)
{
	struct fake_ranges rest = memory->managed;

	ranges_cut(&rest, memory->remapping);
	keep_around_retired(memory, &rest);
	if ((!memory->remap_all || memory->retired.count != 0) && rest.count != 0)
		memory->managed = rest;
	memory->remapping = (struct range){ 0, 0 };
	memory->shared = memory->displaced == 0 ? 0 : memory->shared;
}

uint32_t fake_devirtualize(struct fake_memory *memory, uint64_t start, uint64_t end, bool *home)
{
	uint64_t remap = start % PAGE_BYTES;
	struct range range = { start - remap, end };

	if (end % PAGE_BYTES != 0)
		return SCRIM_EALIGN;
	if (remap >= SCRIM_REMAP_COUNT || (end != 0 && !fake_ranges_cover(&memory->managed, range)))
		return SCRIM_EINVAL;
	if (memory->frames_free == 0 && memory->displaced != 0)
		return SCRIM_ENOFRAME;
	memory->remap = remap;
	memory->remap_all = end == 0;
	memory->remapping = end == 0 ? (struct range){ 0, FAKE_RAM_END } : range;
	*home = count_coming_home(memory) == 0;
	if (*home)
		end_homecoming(memory);
	return SCRIM_OK;
}

uint32_t fake_step(struct fake_memory *memory, uint64_t pages, bool *home)
{
	for (uint64_t i = memory->displaced; i-- > 0 && pages > 0;) {
		if (!comes_home(memory, memory->pages[i]))
			continue;
		memory->pages[i] = memory->pages[--memory->displaced];
		memory->frames_free++;
		pages--;
	}
	*home = count_coming_home(memory) == 0;
	if (*home)
		end_homecoming(memory);
	return SCRIM_OK;
}

static bool is_displaced(const struct fake_memory *memory, uint64_t page)
{
	for (uint64_t i = 0; i < memory->displaced; i++)
		if (memory->pages[i] == page)
			return true;
	return false;
}

uint32_t fake_move(struct fake_memory *memory, uint64_t page, uint64_t *frame)
{
	if (page >> 52 != 0)
		return SCRIM_EINVAL;
	if (page % PAGE_BYTES != 0)
		return SCRIM_EALIGN;
	if (!in_ram((struct range){ page, page + PAGE_BYTES }))
		return SCRIM_ENOTRAM;
	if (page < FAKE_DMA_FREE_START)
		return SCRIM_EDMA;
	if (is_displaced(memory, page))
		return SCRIM_EDISPLACED;
	if (memory->frames_free == 0)
		return SCRIM_ENOFRAME;
	*frame = FAKE_FRAME + 0x1000 * memory->displaced;
	memory->pages[memory->displaced++] = page;
	memory->frames_free--;
	return SCRIM_OK;
}

/* Pages that share the frame move first, one a call. */
uint32_t fake_retire(struct fake_memory *memory, uint64_t address, uint64_t result[2])
{
	const struct range frame = { address, address + PAGE_BYTES };

	if (address % PAGE_BYTES != 0)
		return SCRIM_EALIGN;
	if (!in_ram(frame))
		return SCRIM_ENOTRAM;
	if (address < FAKE_DMA_FREE_START)
		return SCRIM_EDMA;
	if (memory->frames_free == 0)
		return SCRIM_ENOFRAME;
	result[0] = memory->sharers != 0;
	result[1] = !fake_ranges_cover(&memory->retired, frame);
	if (memory->sharers != 0)
		memory->sharers--;
	else if (result[1] != 0)
		fake_ranges_add(&memory->retired, frame);
	return SCRIM_OK;
}

uint32_t fake_machine_check(const struct fake_memory *memory, uint64_t index, uint64_t result[2])
{
	/* Before it another page was told. */
	result[0] = index == 0 ? 0x20a00040 : memory->told_physical;
	result[1] = index == 0 ? 0x20b00040 : memory->told_machine;
	return memory->told_physical == 0 || index > 1 ? SCRIM_EINVAL : SCRIM_OK;
}

uint32_t fake_manage(struct fake_memory *memory, uint64_t start, uint64_t end)
{
	if (!aligned(start, end))
		return SCRIM_EALIGN;
	if (start >= end || memory->managed.count == FAKE_RANGES)
		return SCRIM_EINVAL;
	if (!in_ram((struct range){ start, end }))
		return SCRIM_ENOTRAM;
	fake_ranges_add(&memory->managed, (struct range){ start, end });
	return SCRIM_OK;
}

uint32_t fake_aim(struct fake_memory *memory, uint64_t start, uint64_t end)
{
	if (!aligned(start, end))
		return SCRIM_EALIGN;
	if (start >= end)
		return SCRIM_EINVAL;
	memory->sweep = (struct fake_sweep){ .at = start, .end = end, .aimed = true };
	return SCRIM_OK;
}

uint32_t fake_begin_sweep(struct fake_memory *memory, enum scrim_op op, uint64_t fraction)
{
	if (!memory->sweep.aimed || fraction < 1 || fraction > SCRIM_FRACTION_ALL)
		return SCRIM_EINVAL;
	memory->sweep.begun = op;
	memory->sweep.fraction = fraction;
	return SCRIM_OK;
}

/* Of the pages of a sweep, so many of every 65536 are taken: those that come first. */
static bool takes(const struct fake_memory *memory, uint64_t page)
{
	const struct range range = { page, page + PAGE_BYTES };

	return fake_ranges_cover(&memory->managed, range) && page >= FAKE_DMA_FREE_START &&
	       page / PAGE_BYTES % 16 < memory->sweep.fraction / 4096;
}

uint32_t fake_sweep_step(struct fake_memory *memory, enum scrim_op op, uint64_t pages, uint64_t result[2])
{
	struct fake_sweep *sweep = &memory->sweep;
	bool scatter = op == SCRIM_OP_SCATTER_STEP;
	uint64_t frame;

	if (sweep->begun != (scatter ? SCRIM_OP_SCATTER : SCRIM_OP_SHARE) || pages < (scatter ? 2 : 1) ||
	    pages > SCRIM_BATCH_MAX)
		return SCRIM_EINVAL;
	for (; pages > 0 && sweep->at < sweep->end; pages--, sweep->at += PAGE_BYTES) {
		if (!takes(memory, sweep->at) || is_displaced(memory, sweep->at))
			continue;
		if (memory->displaced == FAKE_PAGES || fake_move(memory, sweep->at, &frame) != SCRIM_OK)
			return SCRIM_ENOFRAME;
		sweep->pages++;
		memory->shared += !scatter;
	}
	result[0] = (sweep->end - sweep->at) / PAGE_BYTES;
	result[1] = sweep->pages;
	return SCRIM_OK;
}

uint32_t fake_lend(struct fake_memory *memory, uint64_t start, uint64_t end)
{
	const struct range range = { start, end };

	if (!aligned(start, end))
		return SCRIM_EALIGN;
	if (!in_ram(range))
		return SCRIM_ENOTRAM;
	for (unsigned i = 0; i < memory->lent.count; i++)
		if (range_overlaps(&memory->lent.items[i], &range))
			return SCRIM_EDISPLACED;
	for (uint64_t i = 0; i < memory->displaced; i++)
		if (memory->pages[i] >= start && memory->pages[i] < end)
			return SCRIM_EDISPLACED;
	/* What Scrim cannot know, and scrimctl must keep: the OS has let go of it. */
	for (uint64_t block = start / FAKE_BLOCK_BYTES; block < end / FAKE_BLOCK_BYTES; block++)
		if (memory->blocks[block].online)
			return SCRIM_EBADREQ;
	fake_ranges_add(&memory->lent, range);
	memory->frames_free += (end - start) / PAGE_BYTES;
	return SCRIM_OK;
}

uint32_t fake_unlend(struct fake_memory *memory, uint64_t start, uint64_t end)
{
	const struct range range = { start, end };

	if (!fake_ranges_cover(&memory->lent, range))
		return SCRIM_EINVAL;
	if (memory->frames_hold)
		return SCRIM_EDISPLACED;
	ranges_cut(&memory->lent, range);
	memory->frames_free -= (end - start) / PAGE_BYTES;
	return SCRIM_OK;
}

uint32_t fake_census(const struct fake_memory *memory, uint64_t start, uint64_t end, uint64_t result[2])
{
	if (((start | end) & (PAGE_BYTES - 1)) != 0)
		return SCRIM_EALIGN;
	if (start >= end || end - start > SCRIM_CENSUS_MAX)
		return SCRIM_EINVAL;
	/* As many pages share as there are, from the first byte of the 64 MiB on. */
	if (start <= FAKE_SHARED && FAKE_SHARED < end)
		result[0] = memory->shared << 32;
	for (uint64_t i = 0; i < memory->displaced; i++)
		result[0] += memory->pages[i] >= start && memory->pages[i] < end;
	result[1] = 0;
	return SCRIM_OK;
}

static uint32_t list_item(const struct range *items, uint64_t count, uint64_t index, uint64_t result[2])
{
	if (index >= count)
		return SCRIM_EINVAL;
	result[0] = items[index].start;
	result[1] = items[index].end;
	return SCRIM_OK;
}

uint32_t fake_range(const struct fake_memory *memory, uint64_t index, uint64_t kind, uint64_t result[2])
{
	const struct range own = { FAKE_OWN_START, FAKE_OWN_END };
	const struct range frames = { FAKE_FRAME, 0x7f400000 };

	switch (kind) {
	case SCRIM_RANGE_RAM:
		return list_item(memory->ram, memory->ram_count, index, result);
	case SCRIM_RANGE_OWN:
		return list_item(&own, 1, index, result);
	case SCRIM_RANGE_FRAMES:
		return list_item(&frames, 1, index, result);
	case SCRIM_RANGE_MANAGED:
		return list_item(memory->managed.items, memory->managed.count, index, result);
	case SCRIM_RANGE_LENT:
		return list_item(memory->lent.items, memory->lent.count, index, result);
	case SCRIM_RANGE_RETIRED:
		return list_item(memory->retired.items, memory->retired.count, index, result);
	case SCRIM_RANGE_REMAPPING:
		return list_item(&memory->remapping, memory->remapping.end != 0, index, result);
	default:
		return SCRIM_EINVAL;
	}
}
