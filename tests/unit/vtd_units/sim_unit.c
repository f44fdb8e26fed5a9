/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the units, the lines that have left the caches, and what else src/iommu asks of the hardware. */
#include "sim_unit.h"

#include "hw/console.h"
#include "hw/delay.h"
#include "hw/insn.h"
#include "hw/pci.h"

#define ONCE (GCMD_SRTP | GCMD_WBF)
#define FLUSHED_MAX 4096u
#define PAGE_LINES (PAGE_SIZE / 64)

struct sim_unit sim[SIM_UNITS];
const struct sim_function *sim_functions;
uint32_t sim_function_count;
jmp_buf sim_panicked;
char sim_panic_line[200];

static uint64_t flushed[FLUSHED_MAX], flushed_count, now;

static void complain(struct sim_unit *unit, const char *what)
{
	if (!unit->fault)
		unit->fault = what;
}

/* --- the start --- */

void sim_start(void)
{
	memset(sim, 0, sizeof(sim));
	for (uint32_t i = 0; i < SIM_UNITS; i++) {
		sim[i].cap = CAP_SAGAW_39 | CAP_SAGAW_48 | 47ull << 16 | (uint64_t)(SIM_FAULTS / 16) << 24 | CAP_SLLPS_2M | CAP_SLLPS_1G | CAP_PSI |
			     3ull << 40 | CAP_DWD | CAP_DRD;
		sim[i].ecap = ECAP_QI | (SIM_IOTLB / 16) << 8;
		sim[i].fectl = FECTL_IM;
		sim[i].stale = true;
	}
	sim_functions = NULL;
	sim_function_count = 0;
	sim_forget_flushes();
}

void sim_assert_no_fault(void)
{
	for (uint32_t i = 0; i < SIM_UNITS; i++)
		if (sim[i].fault)
			fail_msg("unit %u: %s", i, sim[i].fault);
}

void sim_look(struct sim_unit *unit)
{
	memset(unit->log, 0, sizeof(unit->log));
	unit->invalidations = 0;
}

void sim_record(struct sim_unit *unit, uint32_t place, uint16_t source, uint8_t reason, uint64_t address)
{
	uint32_t *record = unit->record[place];

	record[0] = (uint32_t)address;
	record[1] = (uint32_t)(address >> 32);
	record[2] = source;
	record[3] = FRCD_F | reason;
	if (!(unit->fsts & FSTS_PPF))
		unit->fsts = (unit->fsts & 0xff) | place << 8 | FSTS_PPF;
}

/* --- lines --- */

void clflush(const void *line)
{
	assert_true(flushed_count < FLUSHED_MAX);
	flushed[flushed_count++] = (uint64_t)(uintptr_t)line / 64;
}

bool sim_is_flushed(const void *page)
{
	uint64_t first = (uint64_t)(uintptr_t)page / 64, lines = 0;

	for (uint64_t line = first; line < first + PAGE_LINES; line++)
		for (uint64_t i = 0; i < flushed_count; i++)
			if (flushed[i] == line) {
				lines++;
				break;
			}
	return lines == PAGE_LINES;
}

void sim_forget_flushes(void)
{
	flushed_count = 0;
}

/* --- invalidation --- */

static void log_one(struct sim_unit *unit, struct sim_invalidation one)
{
	if (unit->buffered)
		complain(unit, "an invalidation while the write buffer may hold entries");
	if (unit->invalidations < SIM_LOG)
		unit->log[unit->invalidations] = one;
	unit->invalidations++;
}

static void run_descriptor(struct sim_unit *unit, const struct vtd_descriptor *d)
{
	uint32_t *status = (uint32_t *)(uintptr_t)d->high;

	switch (d->low & 0xf) {
	case DESCRIPTOR_CONTEXT:
		if (d->low != (DESCRIPTOR_CONTEXT | DESCRIPTOR_GLOBAL) || d->high)
			complain(unit, "a context descriptor other than of everything");
		break;
	case DESCRIPTOR_IOTLB:
		if (d->low & 0xffffffff0000ff00ull || d->high & 0xf80)
			complain(unit, "reserved bits in an IOTLB descriptor");
		log_one(unit, (struct sim_invalidation){ d->high & ~PAGE_MASK, (uint32_t)(d->low >> 4 & 3), (uint32_t)(d->low >> 16 & 0xffff),
							 (d->low & (DESCRIPTOR_DR | DESCRIPTOR_DW)) == (DESCRIPTOR_DR | DESCRIPTOR_DW) });
		unit->stale &= (d->low >> 4 & 3) != 1;
		break;
	case DESCRIPTOR_WAIT:
		if (d->low & 0xffffff80 || !(d->low & DESCRIPTOR_SW) || d->high & 3)
			complain(unit, "reserved bits in a wait descriptor");
		*status = (uint32_t)(d->low >> 32);
		break;
	default:
		unit->fsts |= FSTS_IQE;
	}
}

static void run_queue(struct sim_unit *unit)
{
	const struct vtd_descriptor *queue = (const struct vtd_descriptor *)(uintptr_t)(unit->iqa & ~PAGE_MASK);

	if (!(unit->gsts & GCMD_QIE) || unit->deaf_queue)
		return;
	for (; unit->iqh != unit->iqt; unit->iqh = (unit->iqh + 16) % PAGE_SIZE)
		run_descriptor(unit, &queue[unit->iqh / 16]);
}

static void run_iotlb(struct sim_unit *unit, uint64_t value)
{
	uint32_t granularity = (uint32_t)(value >> 60 & 3);

	if (unit->gsts & GCMD_QIE)
		complain(unit, "a register is used while the queue is on");
	unit->iotlb = unit->deaf_queue ? value : (value & ~IOTLB_IVT) | (uint64_t)granularity << 57;
	log_one(unit, (struct sim_invalidation){ granularity == 3 ? unit->iva & ~PAGE_MASK : 0, granularity, (uint32_t)(value >> 32 & 0xffff),
						 (value & (IOTLB_DR | IOTLB_DW)) == (IOTLB_DR | IOTLB_DW) });
	unit->stale &= granularity != 1;
}

static void run_ccmd(struct sim_unit *unit, uint64_t value)
{
	if (unit->gsts & GCMD_QIE)
		complain(unit, "a register is used while the queue is on");
	unit->ccmd = (value & ~CCMD_ICC) | 1ull << 59;
}

/* --- commands --- */

static void check_tables(struct sim_unit *unit)
{
	const struct vtd_entry *root = (const struct vtd_entry *)(uintptr_t)unit->root;
	const struct vtd_entry *context = (const struct vtd_entry *)(uintptr_t)(root->low & ~PAGE_MASK);

	if (!(unit->ecap & ECAP_C) && (!sim_is_flushed(root) || !sim_is_flushed(context)))
		complain(unit, "tables are handed over that are in the caches still");
}

static void run_gcmd(struct sim_unit *unit, uint32_t value)
{
	uint32_t changed = (unit->gsts ^ value) & GCMD_STAY, asked = changed | (value & ONCE);

	if (value & ~(GCMD_STAY | ONCE))
		complain(unit, "a reserved command");
	if (asked & (asked - 1))
		complain(unit, "two commands at once");
	asked &= ~unit->deaf;
	if (asked & GCMD_SRTP)
		check_tables(unit);
	if (asked & GCMD_SRTP)
		unit->gsts |= GCMD_SRTP;
	if (asked & GCMD_TE && value & GCMD_TE && (unit->stale || !(unit->gsts & GCMD_SRTP)))
		complain(unit, "translation begins with something stale, or without a root");
	if (asked & GCMD_QIE && value & GCMD_QIE)
		unit->iqh = 0;
	if (asked & GCMD_WBF)
		unit->buffered = false;
	unit->gsts ^= asked & GCMD_STAY;
}

/* --- registers --- */

static struct sim_unit *unit_at(uint64_t address, uint32_t *reg)
{
	uint64_t i = (address - SIM_AT) / SIM_STRIDE;

	assert_true(address >= SIM_AT && i < SIM_UNITS);
	*reg = (uint32_t)((address - SIM_AT) % SIM_STRIDE);
	return &sim[i];
}

uint32_t mmio_read32(uint64_t address)
{
	uint32_t reg;
	struct sim_unit *unit = unit_at(address, &reg);

	switch (reg) {
	case GSTS_REG:
		return unit->gsts;
	case FSTS_REG:
		return unit->fsts;
	case FECTL_REG:
		return unit->fectl;
	case PMEN_REG:
		return unit->pmen;
	default:
		if (reg >= SIM_FAULTS && reg < SIM_FAULTS + sizeof(unit->record))
			return unit->record[(reg - SIM_FAULTS) / 16][reg % 16 / 4];
		complain(unit, "no register of 32 bits to read");
		return 0;
	}
}

uint64_t mmio_read64(uint64_t address)
{
	uint32_t reg;
	struct sim_unit *unit = unit_at(address, &reg);

	switch (reg) {
	case CAP_REG:
		return unit->cap;
	case ECAP_REG:
		return unit->ecap;
	case CCMD_REG:
		return unit->ccmd;
	case SIM_IOTLB + IOTLB_OFFSET:
		return unit->iotlb;
	case IQH_REG:
		return unit->iqh;
	case IQT_REG:
		return unit->iqt;
	default:
		complain(unit, "no register of 64 bits to read");
		return 0;
	}
}

static void write_fault(struct sim_unit *unit, uint32_t reg, uint32_t value)
{
	uint32_t *word = &unit->record[(reg - SIM_FAULTS) / 16][reg % 16 / 4];
	uint32_t left = 0;

	if (reg % 16 != 12 || value != FRCD_F)
		complain(unit, "a fault record is written");
	*word &= ~FRCD_F;
	for (uint32_t i = 0; i < 4; i++)
		left |= unit->record[i][3] & FRCD_F;
	if (!left)
		unit->fsts &= ~FSTS_PPF;
}

void mmio_write32(uint64_t address, uint32_t value)
{
	uint32_t reg;
	struct sim_unit *unit = unit_at(address, &reg);

	switch (reg) {
	case GCMD_REG:
		run_gcmd(unit, value);
		break;
	case FSTS_REG:
		unit->fsts &= ~(value & (FSTS_PFO | FSTS_QUEUE));
		break;
	case FECTL_REG:
		unit->fectl = value;
		break;
	case PMEN_REG:
		unit->pmen = value & PMEN_EPM ? PMEN_EPM | PMEN_PRS : 0;
		break;
	default:
		if (reg >= SIM_FAULTS && reg < SIM_FAULTS + sizeof(unit->record))
			write_fault(unit, reg, value);
		else
			complain(unit, "no register of 32 bits to write");
	}
}

void mmio_write64(uint64_t address, uint64_t value)
{
	uint32_t reg;
	struct sim_unit *unit = unit_at(address, &reg);

	switch (reg) {
	case RTADDR_REG:
		unit->root = value;
		break;
	case CCMD_REG:
		run_ccmd(unit, value);
		break;
	case SIM_IOTLB + IVA_OFFSET:
		unit->iva = value;
		break;
	case SIM_IOTLB + IOTLB_OFFSET:
		run_iotlb(unit, value);
		break;
	case IQA_REG:
		unit->iqa = value;
		break;
	case IQT_REG:
		unit->iqt = value;
		run_queue(unit);
		break;
	default:
		complain(unit, "no register of 64 bits to write");
	}
}

/* --- what else there is --- */

uint64_t rdtsc(void)
{
	return now += 1000;
}

uint64_t delay_tsc_hz(void)
{
	return 1000000;
}

bool pci_is_there(uint8_t bus, uint8_t function)
{
	for (uint32_t i = 0; i < sim_function_count; i++)
		if (sim_functions[i].function == (bus << 8 | function))
			return true;
	return false;
}

uint8_t pci_bus_behind(uint8_t bus, uint8_t function)
{
	for (uint32_t i = 0; i < sim_function_count; i++)
		if (sim_functions[i].function == (bus << 8 | function))
			return sim_functions[i].behind;
	return 0;
}

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sim_panic_line, sizeof(sim_panic_line), format, args);
	va_end(args);
	longjmp(sim_panicked, 1);
}
