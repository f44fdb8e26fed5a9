/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the machine's memory, its layout, and the pages for tables. A table that is given back is junk and poisoned; whose CPU
 * may still walk it is asked first.
 *
 *    64 K  640 K   1 M      6.25 M  7 M       9 M    12 M                             14 M        16 M
 *     | RAM |       | RAM      |     | RAM    |       | image | tables | ... | frames | RAM       |
 */
#define _GNU_SOURCE
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include "hw/console.h"
#include "sim_cpu.h"
#include "sim_dma.h"
#include "virt/guard.h"
#include "virt/memvirt.h"
#include "virt/own.h"
#include "virt/port.h"
#include "virt/guest_memory.h"
#include "virt/shadow.h"
#include "virt/trace.h"
#include "virt/watching.h"

#define OWN_START MIB(12)
#define OWN_END MIB(14)
#define TABLES_START (OWN_START + KIB(64))
#define SHARE_SLOTS 1024u
#define STARTUP_PAGE KIB(636)

struct machine machine;

static struct {
	bool used[SIM_TABLES_MAX];
	uint32_t out, next, fixed, left;
	bool dirty[SIM_PAGES], fresh[SIM_PAGES];
} sim;

static struct cpu cpus[SIM_CPUS];
static struct mem_batch batches[SIM_CPUS];
static struct trace_event events[SIM_CPUS][64];
static struct mem_port_ops port;
static uint64_t share_slots[SHARE_SLOTS], storage[8192], watch_storage[128];
static const uint64_t boundaries[] = { KIB(640), MIB(1), MIB(7), MIB(12) + KIB(512), MIB(14) };

void (*sim_at_failure)(void);

static void NORETURN end(void)
{
	__sanitizer_print_stack_trace();
	if (sim_at_failure)
		sim_at_failure();
	abort();
}

void sim_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("simulated machine: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	end();
}

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("panic: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	end();
}

/* Scrim has nothing to complain of in these runs. */
void console_line(const char *format, ...)
{
	sim_fail("a line on the console: %s", format);
}

bool sim_map_memory(void)
{
	void *wanted = (void *)(uintptr_t)SIM_START;
	void *got = mmap(wanted, SIM_END - SIM_START, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return got == wanted;
}

/* --- tables --- */

static uint8_t *table_at(uint32_t slot)
{
	return (uint8_t *)(uintptr_t)(TABLES_START + slot * PAGE_SIZE);
}

uint32_t sim_table_slot(uint64_t address)
{
	uint64_t slot = (address - TABLES_START) >> PAGE_SHIFT;

	if (address < TABLES_START || address & PAGE_MASK || slot >= SIM_TABLES_MAX || !sim.used[slot])
		sim_fail("0x%lx is no table", address);
	return (uint32_t)slot;
}

static bool is_building(const struct xlat *xlat)
{
	return !xlat->root || !xlat->built_count || xlat->table_count < xlat->built_count;
}

void *own_table_alloc(void)
{
	bool for_root = is_building(&machine.xlat) || (machine.dma.ops && is_building(&machine.dma.xlat));

	if (!for_root && (!sim.left || sim.out >= sim.fixed))
		return NULL;
	for (uint32_t tried = 0; tried < SIM_TABLES_MAX; tried++) {
		uint32_t slot = sim.next++ % SIM_TABLES_MAX; /* not used again at once: mistakes show */
		if (sim.used[slot])
			continue;
		sim.used[slot] = true;
		sim.out++;
		if (!for_root && sim.left != UINT32_MAX)
			sim.left--;
		ASAN_UNPOISON_MEMORY_REGION(table_at(slot), PAGE_SIZE);
		return memset(table_at(slot), 0, PAGE_SIZE);
	}
	return NULL;
}

void own_table_free(void *page)
{
	uint32_t slot = sim_table_slot((uint64_t)(uintptr_t)page);

	sim_assert_not_held(slot);
	memset(page, 0xa5, PAGE_SIZE);
	ASAN_POISON_MEMORY_REGION(page, PAGE_SIZE);
	sim.used[slot] = false;
	sim.out--;
}

bool own_is_table(const void *page)
{
	return (uint64_t)(uintptr_t)page - TABLES_START < SIM_TABLES_MAX * PAGE_SIZE;
}

void sim_limit_tables(uint32_t count)
{
	sim.left = count;
}

uint32_t sim_tables_out(void)
{
	return sim.out;
}

/* --- dirty frames --- */

void sim_mark_dirty(uint64_t frame_address)
{
	if (frame_address < SIM_START || frame_address >= SIM_END)
		sim_fail("frame 0x%lx is no RAM", frame_address);
	sim.dirty[frame_address >> PAGE_SHIFT] = sim.fresh[frame_address >> PAGE_SHIFT] = true;
}

bool sim_is_dirty(uint64_t frame_address)
{
	return sim.dirty[frame_address >> PAGE_SHIFT];
}

bool sim_is_fresh(uint64_t frame_address)
{
	return sim.fresh[frame_address >> PAGE_SHIFT];
}

void sim_clear_dirty(void)
{
	memset(sim.dirty, 0, sizeof(sim.dirty));
	sim_clear_fresh();
}

void sim_clear_fresh(void)
{
	memset(sim.fresh, 0, sizeof(sim.fresh));
}

static void copy(void *context, const struct mem_move *move, uint32_t count, uint32_t offset, uint32_t bytes)
{
	sim_dma_run();
	for (uint32_t i = 0; i < count; i++)
		sim_mark_dirty(mfn_address(move[i].to));
	port_ops.copy(context, move, count, offset, bytes);
}

/* --- the start --- */

static void add(struct range_list *list, uint64_t start, uint64_t end)
{
	if (!ranges_add(list, start, end, RANGE_RAM))
		sim_fail("too many ranges");
}

static void lay_out(const struct sim_config *config)
{
	machine.memory = (struct machine_memory){ .own_start = OWN_START, .own_end = OWN_END, .image_bytes = KIB(64),
						  .frames_start = OWN_END - config->reserve_frames * PAGE_SIZE,
						  .frames_end = OWN_END, .startup_page = STARTUP_PAGE,
						  .reserve_bytes = (config->reserve_frames + SIM_TABLES_MAX) * PAGE_SIZE };
	add(&machine.os_ram, KIB(64), STARTUP_PAGE);
	add(&machine.os_ram, MIB(1), MIB(6) + KIB(256));
	add(&machine.os_ram, MIB(7), MIB(9));
	add(&machine.os_ram, MIB(14), MIB(16) - KIB(8));
	add(&machine.dma_free, KIB(256), KIB(512));
	add(&machine.dma_free, MIB(1) + KIB(512), MIB(5) + KIB(64));
	add(&machine.dma_free, MIB(6), MIB(8) + KIB(12)); /* over the hole */
	add(&machine.dma_free, MIB(15), MIB(16));
}

static uint64_t near[SIM_END / MIB(2) - 2]; /* not of all: the long way is one as well */
static uint64_t dma_near[SIM_END / MIB(2)];
static _Alignas(PAGE_SIZE) uint8_t dma_memory[SIM_CPUS * (DMA_GROUP + 1) * PAGE_SIZE];

static void make_iommu(const struct sim_config *config)
{
	const struct dma_limits limits = { .units = 1, .address_bits = 36, .has_1g = config->has_1g };

	memset(dma_near, 0, sizeof(dma_near));
	memset(dma_memory, 0, sizeof(dma_memory));
	if (dma_fixed_bytes(SIM_CPUS) > sizeof(dma_memory))
		sim_fail("devices want more memory");
	sim_dma_reset(config->has_iommu);
	machine.dma.xlat.near = dma_near;
	machine.dma.xlat.near_count = ARRAY_SIZE(dma_near);
	dma_init(config->has_iommu ? &sim_dma_ops : NULL, &limits, dma_memory);
}

static void make_memory(const struct sim_config *config)
{
	struct mem_config memory = { .ram = &machine.os_ram, .dma_free = &machine.dma_free,
				     .reserve_first = mfn_of_address(machine.memory.frames_start),
				     .reserve_frames = config->reserve_frames, .storage = storage };

	if (mem_storage_bytes(SIM_END, SIM_END) > sizeof(storage))
		sim_fail("the engine wants more memory");
	memset(storage, 0, sizeof(storage));
	memset(near, 0, sizeof(near));
	machine.share_slots = share_slots;
	machine.share_slot_count = SHARE_SLOTS;
	machine.xlat.address_bits = 36;
	machine.xlat.has_1g = config->has_1g;
	machine.xlat.near = near;
	machine.xlat.near_count = ARRAY_SIZE(near);
	machine.xlat.boundary = boundaries;
	machine.xlat.boundary_count = ARRAY_SIZE(boundaries);
	machine.map_late = config->map_late;
	make_iommu(config);
	machine.guard = true;
	memvirt_init(&memory);
	if (watch_storage_bytes(SIM_END) > sizeof(watch_storage))
		sim_fail("watches want more memory");
	memset(watch_storage, 0, sizeof(watch_storage));
	watching_init(watch_storage);
	sim.fixed = sim.out + config->tables + (config->map_late && config->has_iommu ? sim.out : 0);
	port = port_ops;
	port.copy = copy;
	machine.mem.config.port = &port;
	guard_trap_apic();
}

uint8_t sim_buffer[SIM_CPUS][SCRIM_IMAGE_READ_MAX * PAGE_SIZE];

uint8_t *guest_memory_writable(const struct cpu *self, uint64_t linear)
{
	return linear < sizeof(sim_buffer[0]) ? sim_buffer[self->index] + linear : NULL;
}

mfn_t guest_memory_frame(void *context, gfn_t page, enum mem_access *access)
{
	(void)context;
	return mem_translate(&machine.mem, page, access);
}

uint8_t *guest_memory_page(void *context, gfn_t page, enum mem_access *access)
{
	(void)context, (void)page, (void)access;
	return NULL;
}

/* No CPU here walks V2M tables: which back-end it is asked to use is what is tested. */
static _Alignas(PAGE_SIZE) uint8_t v2m_memory[SIM_CPUS][KIB(64)];
static _Alignas(8) uint8_t notes[KIB(24)];

void sim_start(const struct sim_config *config)
{
	memset(&machine, 0, sizeof(machine));
	memset(cpus, 0, sizeof(cpus));
	memset(sim.used, 0, sizeof(sim.used));
	sim.out = sim.next = 0;
	sim.fixed = SIM_TABLES_MAX;
	sim.left = UINT32_MAX;
	ASAN_POISON_MEMORY_REGION(table_at(0), SIM_TABLES_MAX * PAGE_SIZE);
	shadow_init(notes);
	machine.cpu_count = SIM_CPUS;
	machine.cpu = cpus;
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		cpus[i].index = i;
		cpus[i].apic_id = 2 * i;
		cpus[i].batch = &batches[i];
		trace_give_memory(&cpus[i], events[i], sizeof(events[i]));
	}
	lay_out(config);
	sim_cpus_reset(config->holds_init);
	make_memory(config);
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		memset(v2m_memory[i], 0, sizeof(v2m_memory[i]));
		shadow_give_memory(&machine.cpu[i], v2m_memory[i], sizeof(v2m_memory[i]));
	}
	sim_cpus_arrive(config->last_stays_out ? SIM_CPUS - 1 : SIM_CPUS);
}
