/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the units, and the two tables above the map's: every bus has the same context table, and every device in it the same table of
 * the map's, so that whatever PCI functions there are, or come, they translate. NATIVE is translation off (GSTS.TES clear): no table is
 * walked at all (decision 13).
 *
 *     root table, 256 buses  -->  one context table, 256 functions  -->  the map's table for devices
 */
#include "iommu/vtd.h"

#include "base/fmt.h"
#include "base/str.h"
#include "hw/console.h"
#include "hw/insn.h"
#include "hw/lock.h"
#include "iommu/vtd_cover.h"
#include "iommu/vtd_format.h"
#include "iommu/vtd_unit.h"
#include "iommu/write_back.h"
#include "xlat/table.h"

static struct {
	uint32_t count;
	struct vtd_unit unit[DMAR_UNITS_MAX];
	bool coherent;     /* all units see what is in the caches */
	bool three_levels; /* else four */
	struct xlat_format format;
	struct vtd_entry *root_table, *context_table;
	struct lock lock;  /* the units' registers and queues while they translate */
} vtd;

static bool all_have(uint64_t capability)
{
	for (uint32_t i = 0; i < vtd.count; i++)
		if (!(vtd.unit[i].cap & capability))
			return false;
	return true;
}

static bool all_have_extended(uint64_t capability)
{
	for (uint32_t i = 0; i < vtd.count; i++)
		if (!(vtd.unit[i].ecap & capability))
			return false;
	return true;
}

static void lower(uint32_t *bits, uint32_t limit)
{
	if (*bits > limit)
		*bits = limit;
}

static const char *find_limits(uint64_t ram_end, struct dma_limits *limits)
{
	vtd.three_levels = !all_have(CAP_SAGAW_48);
	if (vtd.three_levels && !all_have(CAP_SAGAW_39))
		return "the IOMMUs have no number of table levels in common";
	limits->units = vtd.count;
	limits->has_1g = all_have(CAP_SLLPS_1G);
	lower(&limits->address_bits, vtd.three_levels ? 39 : 48);
	for (uint32_t i = 0; i < vtd.count; i++)
		lower(&limits->address_bits, CAP_MGAW(vtd.unit[i].cap));
	return ram_end > 1ull << limits->address_bits ? "the IOMMUs do not reach all RAM" : NULL;
}

const char *vtd_probe(const struct dmar *dmar, uint64_t ram_end, uint32_t address_bits, struct dma_limits *limits, char line[static 120])
{
	uint32_t function;

	limits->address_bits = address_bits;
	lower(&limits->address_bits, dmar->address_bits);
	vtd.count = dmar->unit_count;
	for (uint32_t i = 0; i < vtd.count; i++) {
		const char *why = vtd_unit_probe(&vtd.unit[i], dmar->unit[i].registers);

		if (!why)
			continue;
		fmt(line, 120, "the IOMMU at 0x%lx cannot be used: %s", dmar->unit[i].registers, why);
		return line;
	}
	vtd.coherent = all_have_extended(ECAP_C);
	if (!vtd_covers(dmar, &function)) {
		fmt(line, 120, "no IOMMU translates for the PCI device %x:%x.%x", function >> 8, function >> 3 & 0x1f, function & 7);
		return line;
	}
	return find_limits(ram_end, limits);
}

static void wrote(void *context, const void *at, uint64_t bytes)
{
	(void)context;
	if (!vtd.coherent)
		write_back(at, bytes);
}

/* What the units walk: the map's table has four levels. The first entry of the fourth leads to all that three can translate. */
static uint64_t first_table(uint64_t root)
{
	return vtd.three_levels ? *(const uint64_t *)(uintptr_t)root & TABLE_ADDRESS : root;
}

static void write_tables(uint64_t root)
{
	const struct vtd_entry bus = { (uint64_t)(uintptr_t)vtd.context_table | ENTRY_PRESENT, 0 };
	const struct vtd_entry device = { first_table(root) | ENTRY_PRESENT,
					  CONTEXT_DID(VTD_DOMAIN) | (vtd.three_levels ? CONTEXT_AW_39 : CONTEXT_AW_48) };

	for (uint32_t i = 0; i < VTD_ENTRIES; i++) {
		vtd.root_table[i] = bus;
		vtd.context_table[i] = device;
	}
	wrote(NULL, vtd.root_table, PAGE_SIZE);
	wrote(NULL, vtd.context_table, PAGE_SIZE);
}

static void stop(void)
{
	for (uint32_t i = 0; i < vtd.count; i++)
		if (!vtd_unit_stop(&vtd.unit[i]))
			panic("the IOMMU at 0x%lx does not stop translating", vtd.unit[i].at);
}

static bool start(uint64_t root)
{
	write_tables(root);
	for (uint32_t i = 0; i < vtd.count; i++)
		if (!vtd_unit_start(&vtd.unit[i], (uint64_t)(uintptr_t)vtd.root_table)) {
			stop();
			return false;
		}
	return true;
}

static bool is_translating(void)
{
	for (uint32_t i = 0; i < vtd.count; i++)
		if (!vtd_unit_is_translating(&vtd.unit[i]))
			return false;
	return true;
}

static void invalidate(const gfn_t *page, uint32_t count)
{
	uint32_t i = 0;

	while (!lock_try(&vtd.lock))
		cpu_pause();
	while (i < vtd.count && vtd_unit_invalidate(&vtd.unit[i], page, count))
		i++;
	lock_release(&vtd.lock);
	/* If this went on, devices could write through what they hold. */
	if (i < vtd.count)
		panic("the IOMMU at 0x%lx does not end an invalidation", vtd.unit[i].at);
}

static uint64_t take_faults(struct dma_fault *last)
{
	uint64_t faults = 0;

	for (uint32_t i = 0; i < vtd.count; i++)
		faults += vtd_unit_take_faults(&vtd.unit[i], last);
	return faults;
}

static const struct dma_ops ops = {
	.id = SCRIM_IOMMU_VTD,
	.format = &vtd.format,
	.start = start,
	.stop = stop,
	.is_translating = is_translating,
	.invalidate = invalidate,
	.wrote = wrote,
	.take_faults = take_faults,
};

const struct dma_ops *vtd_take(void *memory)
{
	uint8_t *page = memory;

	vtd.format = vtd_format;
	if (all_have_extended(ECAP_SC))
		vtd.format.leaf |= VTD_SNOOP; /* the merge relies on it (decision 14) */
	vtd.root_table = memory;
	vtd.context_table = (struct vtd_entry *)(void *)(page + PAGE_SIZE);
	for (uint32_t i = 0; i < vtd.count; i++) {
		vtd.unit[i].queue = (struct vtd_descriptor *)(void *)(page + (2 + i) * PAGE_SIZE);
		if (!vtd_unit_take(&vtd.unit[i]))
			return NULL;
	}
	return &ops;
}
