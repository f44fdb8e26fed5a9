/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a unit's registers and its queue. Invalidations go through the queue where the unit has one, and never through registers while it is
 * on (6.5). Each is waited for, so the queue is empty between calls.
 */
#include "iommu/vtd_unit.h"

#include "hw/delay.h"
#include "hw/insn.h"

#define WAIT_MS 1000u

static uint32_t read32(const struct vtd_unit *unit, uint32_t reg) { return mmio_read32(unit->at + reg); }
static uint64_t read64(const struct vtd_unit *unit, uint32_t reg) { return mmio_read64(unit->at + reg); }
static void write32(const struct vtd_unit *unit, uint32_t reg, uint32_t value) { mmio_write32(unit->at + reg, value); }
static void write64(const struct vtd_unit *unit, uint32_t reg, uint64_t value) { mmio_write64(unit->at + reg, value); }

static uint64_t deadline(void)
{
	return rdtsc() + delay_tsc_hz() / 1000 * WAIT_MS;
}

static bool wait32(const struct vtd_unit *unit, uint32_t reg, uint32_t mask, uint32_t value)
{
	uint64_t end = deadline();

	while ((read32(unit, reg) & mask) != value) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

/* Until `bit` is clear; *value is what the register then says. */
static bool wait64_clear(const struct vtd_unit *unit, uint32_t reg, uint64_t bit, uint64_t *value)
{
	uint64_t end = deadline();

	while ((*value = read64(unit, reg)) & bit) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

/* A command, beside what is to stay; waits until its status is `on` (10.4.4). */
static bool command(const struct vtd_unit *unit, uint32_t bit, bool on)
{
	uint32_t stays = read32(unit, GSTS_REG) & GCMD_STAY & ~bit;

	write32(unit, GCMD_REG, stays | (on ? bit : 0));
	return wait32(unit, GSTS_REG, bit, on ? bit : 0);
}

static bool is_on(const struct vtd_unit *unit, uint32_t bit)
{
	return read32(unit, GSTS_REG) & bit;
}

const char *vtd_unit_probe(struct vtd_unit *unit, uint64_t registers)
{
	if (registers >= GIB(4))
		return "its registers lie above 4 GiB";
	*unit = (struct vtd_unit){ .at = registers };
	unit->cap = read64(unit, CAP_REG);
	unit->ecap = read64(unit, ECAP_REG);
	if (!~unit->cap || !unit->cap)
		return "it does not answer";
	if ((unit->cap & (CAP_DWD | CAP_DRD)) != (CAP_DWD | CAP_DRD))
		return "it cannot drain what is under way";
	if (!(unit->cap & CAP_SLLPS_2M))
		return "its tables have no entries of 2 MiB";
	if (!(unit->cap & (CAP_SAGAW_39 | CAP_SAGAW_48)))
		return "its tables have neither three nor four levels";
	return NULL;
}

/* --- invalidation --- */

static void queue_put(struct vtd_unit *unit, uint64_t low, uint64_t high)
{
	unit->queue[unit->tail] = (struct vtd_descriptor){ low, high };
	unit->tail = (unit->tail + 1) % QUEUE_ENTRIES;
}

/* Hands over what has been put, and waits until the unit is through with it. */
static bool queue_run(struct vtd_unit *unit)
{
	uint64_t end = deadline();

	__atomic_store_n(&unit->done, 0, __ATOMIC_RELAXED);
	queue_put(unit, DESCRIPTOR_WAIT | DESCRIPTOR_SW | DESCRIPTOR_FN | DESCRIPTOR_STATUS(1), (uint64_t)(uintptr_t)&unit->done);
	mfence();
	write64(unit, IQT_REG, (uint64_t)unit->tail << QUEUE_SHIFT);
	while (!__atomic_load_n(&unit->done, __ATOMIC_ACQUIRE)) {
		if (read32(unit, FSTS_REG) & FSTS_QUEUE || rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

static bool by_queue(const struct vtd_unit *unit)
{
	return unit->ecap & ECAP_QI;
}

static bool register_iotlb(const struct vtd_unit *unit, uint64_t what)
{
	uint32_t reg = ECAP_IRO(unit->ecap) + IOTLB_OFFSET;
	uint64_t value;

	write64(unit, reg, IOTLB_IVT | IOTLB_DR | IOTLB_DW | IOTLB_DID(VTD_DOMAIN) | what);
	return wait64_clear(unit, reg, IOTLB_IVT, &value) && IOTLB_DONE(value);
}

/* Every entry of every cache; no translation is on, or it is about to be. */
static bool invalidate_all(struct vtd_unit *unit)
{
	uint64_t value;

	if (by_queue(unit)) {
		queue_put(unit, DESCRIPTOR_CONTEXT | DESCRIPTOR_GLOBAL, 0);
		queue_put(unit, DESCRIPTOR_IOTLB | DESCRIPTOR_GLOBAL | DESCRIPTOR_DR | DESCRIPTOR_DW, 0);
		return queue_run(unit);
	}
	write64(unit, CCMD_REG, CCMD_ICC | CCMD_GLOBAL);
	return wait64_clear(unit, CCMD_REG, CCMD_ICC, &value) && CCMD_DONE(value) && register_iotlb(unit, IOTLB_GLOBAL);
}

static bool invalidate_by_queue(struct vtd_unit *unit, const gfn_t *page, uint32_t count)
{
	const uint64_t iotlb = DESCRIPTOR_IOTLB | DESCRIPTOR_DR | DESCRIPTOR_DW | DESCRIPTOR_DID(VTD_DOMAIN);

	for (uint32_t i = 0; i < count; i++)
		queue_put(unit, iotlb | DESCRIPTOR_PAGE, gfn_address(page[i]));
	if (count == 0)
		queue_put(unit, iotlb | DESCRIPTOR_DOMAIN, 0);
	return queue_run(unit);
}

static bool invalidate_by_register(const struct vtd_unit *unit, const gfn_t *page, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		write64(unit, ECAP_IRO(unit->ecap) + IVA_OFFSET, gfn_address(page[i]));
		if (!register_iotlb(unit, IOTLB_PAGE))
			return false;
	}
	return count > 0 || register_iotlb(unit, IOTLB_DOMAIN);
}

/* Where the unit's writes to memory wait in a buffer of the chipset's, it must be emptied before caches are (6.8). */
static bool flush_write_buffer(const struct vtd_unit *unit)
{
	if (!(unit->cap & CAP_RWBF))
		return true;
	write32(unit, GCMD_REG, (read32(unit, GSTS_REG) & GCMD_STAY) | GCMD_WBF);
	return wait32(unit, GSTS_REG, GCMD_WBF, 0);
}

bool vtd_unit_invalidate(struct vtd_unit *unit, const gfn_t *page, uint32_t count)
{
	if (!(unit->cap & CAP_PSI))
		count = 0;
	mfence(); /* the entries are written before the unit is told */
	if (!flush_write_buffer(unit))
		return false;
	return by_queue(unit) ? invalidate_by_queue(unit, page, count) : invalidate_by_register(unit, page, count);
}

/* --- on and off --- */

static bool stop_queue(const struct vtd_unit *unit)
{
	uint64_t end = deadline();

	if (!is_on(unit, GCMD_QIE))
		return true;
	while (read64(unit, IQH_REG) >> QUEUE_SHIFT != read64(unit, IQT_REG) >> QUEUE_SHIFT) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return command(unit, GCMD_QIE, false);
}

/* A new queue is on where the unit can have one: empty, its first entry next (6.5.2). */
static bool start_queue(struct vtd_unit *unit)
{
	if (!by_queue(unit))
		return true;
	unit->tail = 0;
	write64(unit, IQT_REG, 0);
	write64(unit, IQA_REG, (uint64_t)(uintptr_t)unit->queue);
	return command(unit, GCMD_QIE, true);
}

static bool open_protected_regions(const struct vtd_unit *unit)
{
	if (!(unit->cap & (CAP_PLMR | CAP_PHMR)))
		return true;
	write32(unit, PMEN_REG, read32(unit, PMEN_REG) & ~PMEN_EPM);
	return wait32(unit, PMEN_REG, PMEN_PRS, 0);
}

bool vtd_unit_take(struct vtd_unit *unit)
{
	struct dma_fault ignored;

	write32(unit, FECTL_REG, read32(unit, FECTL_REG) | FECTL_IM);
	if (is_on(unit, GCMD_TE) && !command(unit, GCMD_TE, false))
		return false;
	if (is_on(unit, GCMD_IRE) && !command(unit, GCMD_IRE, false))
		return false;
	if (!stop_queue(unit) || !open_protected_regions(unit))
		return false;
	vtd_unit_take_faults(unit, &ignored);
	write32(unit, FSTS_REG, FSTS_QUEUE);
	return true;
}

bool vtd_unit_start(struct vtd_unit *unit, uint64_t root_table)
{
	mfence(); /* the tables are written before the unit is told */
	if (!flush_write_buffer(unit))
		return false;
	write64(unit, RTADDR_REG, root_table);
	return command(unit, GCMD_SRTP, true) && start_queue(unit) && invalidate_all(unit) && command(unit, GCMD_TE, true);
}

bool vtd_unit_stop(struct vtd_unit *unit)
{
	return command(unit, GCMD_TE, false) && stop_queue(unit);
}

bool vtd_unit_is_translating(const struct vtd_unit *unit)
{
	return is_on(unit, GCMD_TE);
}

/* --- faults --- */

/* One record, where it has a fault; cleared then. */
static bool take_record(const struct vtd_unit *unit, uint32_t reg, struct dma_fault *last)
{
	uint32_t head = read32(unit, reg + 12);

	if (!(head & FRCD_F))
		return false;
	last->address = (read32(unit, reg) | (uint64_t)read32(unit, reg + 4) << 32) & ~PAGE_MASK;
	last->source = FRCD_SOURCE(read32(unit, reg + 8));
	last->reason = FRCD_REASON(head);
	write32(unit, reg + 12, FRCD_F);
	return true;
}

uint64_t vtd_unit_take_faults(struct vtd_unit *unit, struct dma_fault *last)
{
	uint32_t status = read32(unit, FSTS_REG), records = CAP_NFR(unit->cap);
	uint64_t faults = 0;

	if (!(status & (FSTS_PPF | FSTS_PFO)))
		return 0;
	/* From the oldest on: the last that is read is the latest. */
	for (uint32_t i = 0; i < records; i++)
		faults += take_record(unit, CAP_FRO(unit->cap) + (FSTS_FRI(status) + i) % records * FRCD_BYTES, last);
	if (status & FSTS_PFO)
		write32(unit, FSTS_REG, FSTS_PFO);
	return faults;
}
