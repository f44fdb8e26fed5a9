/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns machine.dma: when devices translate, their table, and the copy of a page that a device may be writing. Scrim's own block is not in the
 * table: a device that strays there is refused. Entries of pages are never absent, since a device cannot be made to wait:
 *
 *     CPUs' entry     from, absent .......................... absent, to
 *     devices' entry  from ......... copy ... to, drained ... merge, to
 *
 * While the copy is made devices write to `from`, and what of it comes behind the copy is missing in `to`. Behind the drained invalidation nobody
 * writes to `from` any more, so what is missing can be told by comparison with the copy as it was made, and is merged (mem/dma_merge.h). In a
 * chain `to` is what the move before has left, so that move's merge comes first: a group of moves between two invalidations has no such pair.
 *
 * Frames: `from` is free for others at the end of its batch, behind that invalidation. Entries that change otherwise are of pages in which no
 * device writes (sharing); the next flush invalidates those, and a frame that became free there is used behind a flush only.
 */
#include "virt/dma.h"

#include "base/str.h"
#include "hw/console.h"
#include "mem/dma_merge.h"
#include "virt/machine.h"
#include "virt/port.h"

#define PAGE_WORDS (PAGE_SIZE / sizeof(uint64_t))

uint64_t dma_fixed_bytes(uint32_t cpus)
{
	return cpus * DMA_GROUP * PAGE_SIZE + align_up(cpus * sizeof(uint32_t), PAGE_SIZE);
}

void dma_init(const struct dma_ops *ops, const struct dma_limits *limits, void *memory)
{
	struct machine_dma *dma = &machine.dma;

	if (!ops)
		return;
	dma->ops = ops;
	dma->units = limits->units;
	dma->xlat.ops = &xlat_nested;
	dma->xlat.format = ops->format;
	dma->xlat.port = port_tables;
	dma->xlat.port.wrote = ops->wrote;
	dma->xlat.address_bits = limits->address_bits;
	dma->xlat.has_1g = limits->has_1g;
	dma->xlat.hole_start = machine.memory.own_start;
	dma->xlat.hole_end = machine.memory.own_end;
	dma->rooms = memory;
	dma->room_taken = (uint32_t *)(void *)(dma->rooms + machine.cpu_count * DMA_GROUP * PAGE_WORDS);
	/* Cannot fail: own.c keeps back the pages that the Identity root takes. */
	if (!machine.map_late)
		CHECK(dma->xlat.ops->build(&dma->xlat));
}

const struct range_list *dma_movable(void)
{
	return machine.dma.ops ? &machine.os_ram : &machine.dma_free;
}

bool dma_translates(void)
{
	return machine.dma.translating;
}

void dma_start(void)
{
	struct machine_dma *dma = &machine.dma;

	if (!dma->ops || dma->translating)
		return;
	if (!dma->xlat.root)
		CHECK(dma->xlat.ops->build(&dma->xlat));
	dma->translating = dma->ops->start(dma->xlat.root);
	if (dma->translating)
		return;
	console_line("an IOMMU does not begin to translate and is left alone from now on: pages may be displaced only where dma-free= says");
	dma->ops = NULL;
	machine.mem.config.movable = dma_movable();
	dma->xlat.ops->drop(&dma->xlat);
}

void dma_stop(void)
{
	struct machine_dma *dma = &machine.dma;

	if (!dma->translating)
		return;
	dma->ops->stop();
	dma->translating = false;
	dma->stale = false;
	dma_collect_faults();
	if (machine.map_late)
		dma->xlat.ops->drop(&dma->xlat);
	else
		dma->xlat.ops->tidy(&dma->xlat);
}

bool dma_holds(void)
{
	return !machine.dma.ops || (machine.dma.translating && machine.dma.ops->is_translating());
}

bool dma_prepare(gfn_t page)
{
	return !machine.dma.translating || machine.dma.xlat.ops->prepare(&machine.dma.xlat, page);
}

bool dma_agrees(gfn_t page, mfn_t frame, enum mem_access access)
{
	const struct xlat *xlat = &machine.dma.xlat;
	enum mem_access now;
	mfn_t where;

	if (!machine.dma.translating)
		return true;
	return xlat->ops->get(xlat, page, &where, &now) && where.n == frame.n && now == access;
}

void dma_set(gfn_t page, mfn_t frame, enum mem_access access)
{
	struct xlat *xlat = &machine.dma.xlat;

	if (access == MEM_ACCESS_NONE || dma_agrees(page, frame, access))
		return; /* of a move, dma_copy() has done it */
	xlat->ops->set(xlat, page, frame, access);
	machine.dma.stale = true;
}

void dma_flush(void)
{
	if (!machine.dma.stale)
		return;
	machine.dma.stale = false;
	machine.dma.ops->invalidate(NULL, 0);
}

/* --- the copy --- */

/* There are as many as CPUs, and a CPU is in one copy at a time. */
static uint32_t take_room(void)
{
	for (uint32_t i = 0;; i = (i + 1) % machine.cpu_count)
		if (!__atomic_exchange_n(&machine.dma.room_taken[i], 1, __ATOMIC_ACQUIRE))
			return i;
}

static void give_room(uint32_t i)
{
	__atomic_store_n(&machine.dma.room_taken[i], 0, __ATOMIC_RELEASE);
}

/* How many moves from the first on: none of them goes where another one leaves. */
static uint32_t group(const struct mem_move *move, uint32_t count)
{
	uint32_t n = 1;

	while (n < count && n < DMA_GROUP && !move[n].chained)
		n++;
	return n;
}

static uint64_t *words_of(mfn_t frame)
{
	return (uint64_t *)(uintptr_t)mfn_address(frame);
}

static void copy_group(const struct mem_move *move, uint32_t count, uint64_t *room)
{
	struct xlat *xlat = &machine.dma.xlat;
	gfn_t page[DMA_GROUP];

	for (uint32_t i = 0; i < count; i++)
		dma_merge_copy(words_of(move[i].from), room + i * PAGE_WORDS, words_of(move[i].to), PAGE_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		page[i] = move[i].page;
		xlat->ops->set(xlat, page[i], move[i].to, MEM_ACCESS_ALL);
	}
	machine.dma.ops->invalidate(page, count);
	for (uint32_t i = 0; i < count; i++)
		(void)dma_merge_late_writes(words_of(move[i].from), room + i * PAGE_WORDS, words_of(move[i].to), PAGE_SIZE);
}

void dma_copy(const struct mem_move *move, uint32_t count)
{
	uint32_t place = take_room();

	for (uint32_t n; count > 0; move += n, count -= n) {
		n = group(move, count);
		copy_group(move, n, machine.dma.rooms + place * DMA_GROUP * PAGE_WORDS);
	}
	give_room(place);
}

void dma_collect_faults(void)
{
	if (machine.dma.ops)
		machine.dma.faults += machine.dma.ops->take_faults(&machine.dma.last_fault);
}
