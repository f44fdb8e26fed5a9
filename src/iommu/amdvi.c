/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the units, and the device table that they share: every device id has the same entry, so that whatever PCI functions there are, or
 * come, they translate. NATIVE is off (IommuEn clear): no table is walked at all (decisions 13, 15).
 *
 *              IommuEn   entries
 *     NATIVE   0         pass                a unit that is off takes no command, so nothing of the map may be left in its caches:
 *     start    1         pass
 *              1         the map, forget     between the two of an entry's words nothing is half: word 0 alone changes, in one store
 *     stop     1         pass, forget
 *              0         pass
 *
 * Interrupts pass as they come: remapping is left off, as where the OS has no driver. A table of 16-bit device ids serves every PCI segment.
 */
#include "iommu/amdvi.h"

#include "base/fmt.h"
#include "hw/console.h"
#include "hw/insn.h"
#include "hw/lock.h"
#include "iommu/amdvi_cover.h"
#include "iommu/amdvi_format.h"
#include "iommu/amdvi_unit.h"
#include "iommu/write_back.h"
#include "xlat/table.h"

#define PASS (DEVICE_V | DEVICE_TV | DEVICE_IR | DEVICE_IW)

static struct {
	uint32_t count;
	struct amdvi_unit unit[IVRS_UNITS_MAX];
	bool coherent;    /* firmware says of all units that they see what is in the caches */
	struct amdvi_device *device;
	struct lock lock; /* the command buffers while the units translate */
} amdvi;

static void lower(uint32_t *bits, uint32_t limit)
{
	if (*bits > limit)
		*bits = limit;
}

const char *amdvi_probe(const struct ivrs *ivrs, uint64_t ram_end, uint32_t address_bits, struct dma_limits *limits, char line[static 120])
{
	uint32_t function;

	amdvi.count = limits->units = ivrs->unit_count;
	amdvi.coherent = true;
	for (uint32_t i = 0; i < amdvi.count; i++) {
		const char *why = amdvi_unit_probe(&amdvi.unit[i], &ivrs->unit[i]);

		amdvi.coherent &= (ivrs->unit[i].flags & IVRS_COHERENT) != 0;
		if (!why)
			continue;
		fmt(line, 120, "the IOMMU at 0x%lx cannot be used: %s", ivrs->unit[i].registers, why);
		return line;
	}
	if (!amdvi_covers(ivrs, &function)) {
		fmt(line, 120, "no IOMMU translates for the PCI device %x:%x.%x", function >> 8, function >> 3 & 0x1f, function & 7);
		return line;
	}
	limits->has_1g = true;
	limits->address_bits = table_shift(TABLE_LEVELS + 1); /* every unit has tables of four levels (3.4, HATS) */
	lower(&limits->address_bits, address_bits);
	lower(&limits->address_bits, ivrs->address_bits);
	return ram_end > 1ull << limits->address_bits ? "the IOMMUs do not reach all RAM" : NULL;
}

static void wrote(void *context, const void *at, uint64_t bytes)
{
	(void)context;
	if (!amdvi.coherent)
		write_back(at, bytes);
}

static void write_entries(uint64_t word)
{
	for (uint32_t i = 0; i < AMDVI_DEVICES; i++)
		__atomic_store_n(&amdvi.device[i].word[0], word, __ATOMIC_RELAXED);
	wrote(NULL, amdvi.device, DEVICE_TABLE_BYTES);
}

/* What devices' accesses are from here on, in all units that are on. */
static bool change(uint64_t word)
{
	write_entries(word);
	for (uint32_t i = 0; i < amdvi.count; i++)
		if (!amdvi_unit_forget(&amdvi.unit[i]))
			return false;
	return true;
}

static void switch_off(void)
{
	for (uint32_t i = 0; i < amdvi.count; i++)
		if (!amdvi_unit_stop(&amdvi.unit[i]))
			panic("the IOMMU at 0x%lx does not stop translating", amdvi.unit[i].at);
}

static void stop(void)
{
	/* If this went on, a unit could walk tables that are given back, when it is on again. */
	if (!change(PASS))
		panic("an IOMMU does not end an invalidation");
	switch_off();
}

static bool start(uint64_t root)
{
	bool obey = true;

	for (uint32_t i = 0; i < amdvi.count && obey; i++)
		obey = amdvi_unit_start(&amdvi.unit[i]);
	if (obey && change(PASS | DEVICE_MODE(TABLE_LEVELS) | root))
		return true;
	switch_off(); /* for good: dma.c uses it no more */
	write_entries(PASS);
	return false;
}

static bool is_translating(void)
{
	for (uint32_t i = 0; i < amdvi.count; i++)
		if (!amdvi_unit_is_on(&amdvi.unit[i]))
			return false;
	return true;
}

static void invalidate(const gfn_t *page, uint32_t count)
{
	uint32_t i = 0;

	(void)page; /* all of them: amdvi_unit_invalidate() says why */
	(void)count;
	while (!lock_try(&amdvi.lock))
		cpu_pause();
	while (i < amdvi.count && amdvi_unit_invalidate(&amdvi.unit[i]))
		i++;
	lock_release(&amdvi.lock);
	/* If this went on, devices could write through what they hold. */
	if (i < amdvi.count)
		panic("the IOMMU at 0x%lx does not end an invalidation", amdvi.unit[i].at);
}

static uint64_t take_faults(struct dma_fault *last)
{
	uint64_t faults = 0;

	for (uint32_t i = 0; i < amdvi.count; i++)
		faults += amdvi_unit_take_faults(&amdvi.unit[i], last);
	return faults;
}

static const struct dma_ops ops = {
	.id = SCRIM_IOMMU_AMDVI,
	.format = &amdvi_format,
	.start = start,
	.stop = stop,
	.is_translating = is_translating,
	.invalidate = invalidate,
	.wrote = wrote,
	.take_faults = take_faults,
};

static void fill_device_table(void)
{
	const struct amdvi_device entry = {
		.word = { PASS, DEVICE_DOMAIN(AMDVI_DOMAIN) | DEVICE_IO_CTL_FORWARD | DEVICE_SYS_MGT_FORWARD,
			  DEVICE_INIT_PASS | DEVICE_EINT_PASS | DEVICE_NMI_PASS | DEVICE_INT_CTL_FORWARD | DEVICE_LINT0_PASS | DEVICE_LINT1_PASS }
	};

	for (uint32_t i = 0; i < AMDVI_DEVICES; i++)
		amdvi.device[i] = entry;
	wrote(NULL, amdvi.device, DEVICE_TABLE_BYTES);
}

const struct dma_ops *amdvi_take(void *memory)
{
	uint8_t *page = (uint8_t *)memory + DEVICE_TABLE_BYTES;
	bool obey = true;

	amdvi.device = memory;
	fill_device_table();
	for (uint32_t i = 0; i < amdvi.count; i++, page += 2 * PAGE_SIZE) {
		amdvi.unit[i].commands = (struct amdvi_command *)(void *)page;
		amdvi.unit[i].events = (struct amdvi_event *)(void *)(page + PAGE_SIZE);
		obey &= amdvi_unit_take(&amdvi.unit[i], (uint64_t)(uintptr_t)amdvi.device);
	}
	return obey ? &ops : NULL;
}
