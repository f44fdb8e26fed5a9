/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a unit's registers, its command buffer and its event log. Commands are handed over in groups, each waited for, so the buffer is empty
 * between calls. Commands are only fetched, and events only logged, while the unit is on (3.4, IOMMU Control Register).
 *
 * A COMPLETION_WAIT behind invalidations ends when those are complete, and when no transaction that used what they invalidate is under way any
 * more: reads have their answers, and writes are visible (2.4.1). That is the drain.
 */
#include "iommu/amdvi_unit.h"

#include "hw/delay.h"
#include "hw/insn.h"
#include "hw/pci.h"

#define WAIT_MS 1000u
#define GROUP 128u /* commands that are handed over at once, at most, and one that waits for them */

_Static_assert(GROUP + 1 < RING_ENTRIES, "a full buffer looks like an empty one");

static uint64_t read64(const struct amdvi_unit *unit, uint32_t reg) { return mmio_read64(unit->at + reg); }
static void write64(const struct amdvi_unit *unit, uint32_t reg, uint64_t value) { mmio_write64(unit->at + reg, value); }

static uint64_t deadline(void)
{
	return rdtsc() + delay_tsc_hz() / 1000 * WAIT_MS;
}

static bool wait_status(const struct amdvi_unit *unit, uint64_t mask, uint64_t value)
{
	uint64_t end = deadline();

	while ((read64(unit, STATUS) & mask) != value) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

/* As firmware wants it; and the unit reads tables and commands through the CPUs' caches, whatever firmware says of that. */
static uint64_t control_for(uint8_t flags)
{
	uint64_t control = CONTROL_COHERENT;

	control |= flags & IVRS_HT_TUN_EN ? CONTROL_HT_TUN_EN : 0;
	control |= flags & IVRS_PASS_PW ? CONTROL_PASS_PW : 0;
	control |= flags & IVRS_RES_PASS_PW ? CONTROL_RES_PASS_PW : 0;
	control |= flags & IVRS_ISOC ? CONTROL_ISOC : 0;
	return control;
}

/* The unit is a PCI function, which says what it is. That of another PCI segment cannot be asked. */
static const char *read_capability(struct amdvi_unit *unit, const struct ivrs_unit *told)
{
	if (told->segment != 0)
		return NULL;
	uint8_t bus = (uint8_t)(told->function >> 8), function = (uint8_t)told->function;
	uint32_t word = told->capability & ~0xfcu ? 0 : pci_read(bus, function, told->capability);
	if (CAPABILITY_ID(word) != CAPABILITY_SECURE_DEVICE || CAPABILITY_TYPE(word) != CAPABILITY_TYPE_IOMMU)
		return "its PCI function is no IOMMU";
	uint64_t features = word & CAPABILITY_EFR_SUP ? read64(unit, EXTENDED_FEATURE) : 0;
	unit->has_all = features & FEATURE_IA_SUP;
	return FEATURE_HATS(features) == FEATURE_HATS_NONE ? "it has no tables of four levels" : NULL;
}

const char *amdvi_unit_probe(struct amdvi_unit *unit, const struct ivrs_unit *told)
{
	if (told->registers >= GIB(4) - AMDVI_REGISTERS_BYTES)
		return "its registers lie above 4 GiB";
	*unit = (struct amdvi_unit){ .at = told->registers, .control = control_for(told->flags) };
	if (!~read64(unit, STATUS) && !~read64(unit, CONTROL))
		return "it does not answer";
	return read_capability(unit, told);
}

/* --- commands --- */

static void put(struct amdvi_unit *unit, uint64_t low, uint64_t high)
{
	unit->commands[unit->tail] = (struct amdvi_command){ low, high };
	unit->tail = (unit->tail + 1) % RING_ENTRIES;
}

/* Hands over what has been put, and waits until the unit is through with it. A command that it cannot take stops it (2.4). */
static bool run(struct amdvi_unit *unit)
{
	uint64_t end = deadline();

	__atomic_store_n(&unit->done, 0, __ATOMIC_RELAXED);
	put(unit, COMPLETION_WAIT | COMPLETION_WAIT_STORE | (uint64_t)(uintptr_t)&unit->done, 1);
	mfence();
	write64(unit, COMMAND_BUFFER_TAIL, (uint64_t)unit->tail << RING_SHIFT);
	while (!__atomic_load_n(&unit->done, __ATOMIC_ACQUIRE)) {
		if (!(read64(unit, STATUS) & STATUS_CMD_BUF_RUN) || rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

bool amdvi_unit_invalidate(struct amdvi_unit *unit)
{
	/* An entry of 4 KiB may be part of a larger one that is cached still: nothing less than all is sure to meet it (2.4.3). */
	put(unit, INVALIDATE_IOMMU_PAGES | INVALIDATE_DOMAIN(AMDVI_DOMAIN), INVALIDATE_ALL_PAGES);
	return run(unit);
}

bool amdvi_unit_forget(struct amdvi_unit *unit)
{
	if (unit->has_all) {
		put(unit, INVALIDATE_IOMMU_ALL, 0);
		return run(unit);
	}
	for (uint32_t device = 0; device < AMDVI_DEVICES; device += GROUP) {
		for (uint32_t i = 0; i < GROUP; i++)
			put(unit, INVALIDATE_DEVTAB_ENTRY | (device + i), 0);
		if (!run(unit))
			return false;
	}
	return amdvi_unit_invalidate(unit);
}

/* --- on and off --- */

bool amdvi_unit_is_on(const struct amdvi_unit *unit)
{
	return read64(unit, CONTROL) & CONTROL_IOMMU_EN;
}

bool amdvi_unit_stop(struct amdvi_unit *unit)
{
	write64(unit, CONTROL, unit->control);
	return wait_status(unit, STATUS_RUN, 0) && !amdvi_unit_is_on(unit);
}

/* Both rings empty: written while they are off (3.4). */
static void empty_rings(struct amdvi_unit *unit)
{
	unit->head = unit->tail = 0;
	write64(unit, COMMAND_BUFFER_BASE, (uint64_t)(uintptr_t)unit->commands | RING_LENGTH);
	write64(unit, COMMAND_BUFFER_HEAD, 0);
	write64(unit, COMMAND_BUFFER_TAIL, 0);
	write64(unit, EVENT_LOG_BASE, (uint64_t)(uintptr_t)unit->events | RING_LENGTH);
	write64(unit, EVENT_LOG_HEAD, 0);
	write64(unit, EVENT_LOG_TAIL, 0);
}

bool amdvi_unit_start(struct amdvi_unit *unit)
{
	empty_rings(unit);
	mfence(); /* the device table is written before the unit is on */
	write64(unit, CONTROL, unit->control | CONTROL_ON);
	return wait_status(unit, STATUS_ON, STATUS_ON);
}

bool amdvi_unit_take(struct amdvi_unit *unit, uint64_t device_table)
{
	if (!amdvi_unit_stop(unit))
		return false;
	write64(unit, STATUS, STATUS_EVENT_OVERFLOW);
	write64(unit, EXCLUSION_BASE, 0);
	write64(unit, DEVICE_TABLE_BASE, device_table | DEVICE_TABLE_SIZE);
	bool obeys = amdvi_unit_start(unit) && amdvi_unit_forget(unit);
	return amdvi_unit_stop(unit) && obeys;
}

/* --- events --- */

/* Logging stopped when the log was full: it is begun anew (2.5.1). */
static void restart_log(struct amdvi_unit *unit)
{
	bool on = amdvi_unit_is_on(unit);

	if (on)
		write64(unit, CONTROL, unit->control | (CONTROL_ON & ~CONTROL_EVENT_LOG_EN));
	if (!wait_status(unit, STATUS_EVENT_LOG_RUN, 0))
		return;
	unit->head = 0;
	write64(unit, EVENT_LOG_HEAD, 0);
	write64(unit, EVENT_LOG_TAIL, 0);
	write64(unit, STATUS, STATUS_EVENT_OVERFLOW);
	if (on)
		write64(unit, CONTROL, unit->control | CONTROL_ON);
}

/* False: the entry's place is told before its contents are there; next time, then. */
static bool take_event(struct amdvi_event *event, struct dma_fault *last)
{
	uint64_t low = __atomic_load_n(&event->low, __ATOMIC_ACQUIRE);

	if (!EVENT_CODE(low))
		return false;
	*last = (struct dma_fault){ .source = EVENT_DEVICE(low), .reason = EVENT_CODE(low), .address = event->high & ~PAGE_MASK };
	*event = (struct amdvi_event){ 0 };
	return true;
}

uint64_t amdvi_unit_take_faults(struct amdvi_unit *unit, struct dma_fault *last)
{
	uint32_t tail = (uint32_t)(read64(unit, EVENT_LOG_TAIL) >> RING_SHIFT) % RING_ENTRIES;
	uint64_t faults = 0;

	while (unit->head != tail && take_event(&unit->events[unit->head], last)) {
		unit->head = (unit->head + 1) % RING_ENTRIES;
		faults++;
	}
	write64(unit, EVENT_LOG_HEAD, (uint64_t)unit->head << RING_SHIFT);
	if (!(read64(unit, STATUS) & STATUS_EVENT_OVERFLOW))
		return faults;
	restart_log(unit);
	return faults + 1;
}
