/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the device: its random numbers, the IOMMU's TLB, and writes on their way. It leaves ranges free of DMA alone, and lent pages. */
#include "sim_dma.h"

#include <string.h>

#include "mem/p2m.h"
#include "os.h"
#include "sim_cpu.h"

#define TLB 8u
#define UNDER_WAY 4u
#define TRIES 8u
#define PRESENT_BITS 3u

struct kept {
	bool present;
	uint64_t start, bytes, frame;
};

/* A write that has been translated and has not landed. */
struct write {
	uint64_t address, at;
	uint32_t bytes;
};

static struct {
	bool on, translating;
	uint64_t seed, root;
	struct kept tlb[TLB];
	uint32_t next;
	struct write way[UNDER_WAY]; /* oldest first */
	uint32_t count;
} device;

struct sim_dma_counts sim_dma_counts;

static uint64_t below(uint64_t limit)
{
	device.seed = device.seed * 6364136223846793005ull + 1442695040888963407ull;
	return (device.seed >> 33) % limit;
}

/* --- the IOMMU --- */

static struct kept walk(uint64_t address)
{
	uint64_t next = device.root;

	for (uint32_t shift = 39;; shift -= 9) {
		sim_table_slot(next); /* it is a table */
		uint64_t entry = ((const uint64_t *)(uintptr_t)next)[address >> shift & 511], bytes = 1ull << shift;
		if (!(entry & PRESENT_BITS))
			sim_fail("a device finds nothing at 0x%lx", address);
		next = entry & 0x000ffffffffff000ull;
		if (shift == 12 || entry & 0x80)
			return (struct kept){ true, align_down(address, bytes), bytes, next };
	}
}

static uint64_t translate(uint64_t address)
{
	if (!device.translating)
		return address;
	for (uint32_t i = 0; i < TLB; i++)
		if (device.tlb[i].present && address - device.tlb[i].start < device.tlb[i].bytes)
			return device.tlb[i].frame + (address - device.tlb[i].start);
	struct kept found = walk(address);
	device.tlb[device.next++ % TLB] = found;
	return found.frame + (address - found.start);
}

/* --- the device --- */

static bool is_for_devices(uint64_t page)
{
	uint64_t address = page << PAGE_SHIFT;

	return os_uses(address) && !ranges_overlap(&machine.dma_free, address, address + PAGE_SIZE);
}

/* One that is being moved, rather than any. */
static bool choose(uint64_t *page)
{
	const struct mem_batch *batch = machine.mem.batches;

	for (uint32_t tried = 0; tried < TRIES; tried++) {
		*page = (SIM_START >> PAGE_SHIFT) + below(SIM_PAGES - (SIM_START >> PAGE_SHIFT));
		if (batch && batch->count && below(4))
			*page = batch->move[below(batch->count)].page.n;
		if (is_for_devices(*page))
			return true;
	}
	return false;
}

static bool is_moving(uint64_t page)
{
	return p2m_entry_access(p2m_entry(&machine.mem, gfn(page))) == MEM_ACCESS_NONE;
}

static void land_oldest(void)
{
	const struct write *write = &device.way[0];
	uint64_t page = write->address >> PAGE_SHIFT;

	sim_dma_counts.writes++;
	sim_dma_counts.late += is_moving(page) && p2m_entry_frame(p2m_entry(&machine.mem, gfn(page))).n == write->at >> PAGE_SHIFT;
	os_device_write(write->address, write->at, write->bytes);
	memmove(&device.way[0], &device.way[1], --device.count * sizeof(device.way[0]));
}

static void begin_write(uint64_t page)
{
	uint32_t bytes = 1u << below(4);
	uint64_t address = (page << PAGE_SHIFT) + below(PAGE_SIZE / bytes) * bytes;

	if (device.count == UNDER_WAY)
		land_oldest();
	device.way[device.count++] = (struct write){ address, translate(address), bytes };
}

/* What stands there, unless the page is moving: then it may be what stood there before. */
static void read_back(uint64_t page)
{
	uint64_t address = (page << PAGE_SHIFT) + below(PAGE_SIZE / 8) * 8;
	uint64_t at = translate(address);

	if (!is_moving(page))
		os_device_reads(address, at);
}

void sim_dma_run(void)
{
	uint64_t page;

	for (uint64_t n = device.on ? below(4) : 0; n > 0; n--) {
		if (!choose(&page))
			return;
		if (below(3))
			begin_write(page);
		else
			read_back(page);
		if (device.count && below(2))
			land_oldest();
	}
}

void sim_dma_settle(void)
{
	while (device.count)
		land_oldest();
}

void sim_dma_reset(bool on)
{
	memset(&device, 0, sizeof(device));
	device.on = on;
	device.seed = 1;
}

/* --- the operations --- */

static bool start(uint64_t root)
{
	sim_dma_run();
	device.root = root;
	device.translating = true;
	sim_dma_run();
	return true;
}

static void stop(void)
{
	sim_dma_run();
	device.translating = false;
	memset(device.tlb, 0, sizeof(device.tlb));
	sim_dma_run();
}

static bool is_translating(void)
{
	return device.translating;
}

static void forget(uint64_t address)
{
	for (uint32_t i = 0; i < TLB; i++)
		if (address - device.tlb[i].start < device.tlb[i].bytes)
			device.tlb[i].present = false;
}

static void invalidate(const gfn_t *page, uint32_t count)
{
	sim_dma_run();
	for (uint32_t i = 0; i < count; i++)
		forget(gfn_address(page[i]));
	if (!count)
		memset(device.tlb, 0, sizeof(device.tlb));
	sim_dma_settle();
	sim_dma_run();
}

static void wrote(void *context, const void *at, uint64_t bytes)
{
	(void)context, (void)at, (void)bytes;
	if (device.translating)
		sim_dma_run();
}

static uint64_t take_faults(struct dma_fault *last)
{
	(void)last;
	return 0;
}

static const struct xlat_format format = {
	.present = PRESENT_BITS, .write = 2, .table = 3, .leaf = 3, .large = 0x80, .in_place = true,
};

const struct dma_ops sim_dma_ops = {
	.id = SCRIM_IOMMU_VTD,
	.format = &format,
	.start = start,
	.stop = stop,
	.is_translating = is_translating,
	.invalidate = invalidate,
	.wrote = wrote,
	.take_faults = take_faults,
};
