/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns machine.state. A switch stops nobody: since the map is Identity and locked while CPUs switch one after another, it makes
 * no difference to the OS which of them already translate; each does it by itself, in the exit of the tool's visit.
 */
#include "virt/memvirt.h"

#include "base/str.h"
#include "hw/console.h"
#include "virt/own.h"
#include "mem/mem_check.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/vendor.h"

/* The CPU whose exit runs the engine: flush() below needs it. Under the machine lock. */
static struct cpu *engine_cpu;

static void *table_alloc(void *context)
{
	(void)context;
	return own_table_alloc();
}

static void table_free(void *context, void *page)
{
	(void)context;
	own_table_free(page);
}

static bool map_prepare(void *context, gfn_t page)
{
	struct xlat *xlat = context;
	return xlat->ops->prepare(xlat, page);
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	struct xlat *xlat = context;
	xlat->ops->set(xlat, page, frame, access);
}

static void map_release(void *context, gfn_t page)
{
	struct xlat *xlat = context;
	xlat->ops->release(xlat, page);
}

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	const struct xlat *xlat = context;
	return xlat->ops->get(xlat, page, frame, access);
}

static void flush(void *context)
{
	(void)context;
	machine.vendor->flush(engine_cpu);
	kick_others(engine_cpu, KICK_FLUSH);
}

/* Scrim's own tables map all of the machine's RAM one to one. */
static void *frame_at(mfn_t frame) { return (void *)(uintptr_t)mfn_address(frame); }

static void copy(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	(void)context;
	memcpy((uint8_t *)frame_at(to) + offset, (const uint8_t *)frame_at(from) + offset, bytes);
}

/* FNV-1a over 64-bit words: only sorts pages into candidates, which are compared byte by byte. */
static uint64_t hash(void *context, mfn_t frame)
{
	const uint64_t *word = frame_at(frame);
	uint64_t value = 0xcbf29ce484222325ull;

	(void)context;
	for (uint32_t i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		value = (value ^ word[i]) * 0x100000001b3ull;
	return value ^ value >> 32;
}

static bool equal(void *context, mfn_t a, mfn_t b)
{
	(void)context;
	return memcmp(frame_at(a), frame_at(b), PAGE_SIZE) == 0;
}

static const struct mem_port_ops port_ops = {
	.table_alloc = table_alloc,
	.table_free = table_free,
	.map_prepare = map_prepare,
	.map_set = map_set,
	.map_release = map_release,
	.flush = flush,
	.copy = copy,
	.map_get = map_get,
	.hash = hash,
	.equal = equal,
};

static uint64_t machine_of(void *context, const void *page)
{
	(void)context;
	return (uint64_t)(uintptr_t)page;
}

static void *page_of(void *context, uint64_t address)
{
	(void)context;
	return (void *)(uintptr_t)address;
}

void memvirt_init(const struct mem_config *config)
{
	struct mem_config full = *config;

	machine.xlat.ops = &xlat_nested;
	machine.xlat.port = (struct xlat_port){
		.table_alloc = table_alloc, .table_free = table_free, .machine_of = machine_of, .page_of = page_of
	};
	full.port = &port_ops;
	full.port_context = &machine.xlat;
	mem_init(&machine.mem, &full);
	machine.state = SCRIM_NATIVE;
	memvirt_need_map();
}

bool memvirt_is_on(void)
{
	return machine.state == SCRIM_COMMENCING || machine.state == SCRIM_VIRTUALIZED || machine.state == SCRIM_REMAPPING;
}

void memvirt_need_map(void)
{
	/* Cannot fail: own.c keeps back the pages that the Identity root takes. */
	if (!machine.xlat.root)
		CHECK(machine.xlat.ops->build(&machine.xlat));
}

/* CPUs that are not in the OS have nobody to visit them. They are behind the guard, or do not run: told here. */
static void switch_absent_cpus(void)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (!machine.cpu[i].arrived)
			machine.cpu[i].memory_on = memvirt_is_on();
}

err_t memvirt_event(enum memvirt_event event)
{
	struct memvirt_transition transition = memvirt_next(machine.state, event);

	if (transition.action == MEMVIRT_REFUSE)
		return SCRIM_ESTATE;
	if (transition.action == MEMVIRT_BUILD_MAP)
		memvirt_need_map();
	if (transition.next == machine.state)
		return SCRIM_OK;
	if (transition.action == MEMVIRT_LOCK_MAP) {
		err_t err = mem_remap_start(&machine.mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX));

		if (err != SCRIM_OK)
			return err;
	}
	if (machine.state == SCRIM_REMAPPING)
		mem_remap_stop(&machine.mem);
	machine.state = transition.next;
	if (transition.action == MEMVIRT_BUILD_MAP || transition.action == MEMVIRT_NEW_EPOCH)
		switch_absent_cpus();
	if (event == MEMVIRT_ALL_SWITCHED)
		machine.count.switches++;
	/* Unflushed also where rights shrink (NATIVE): a CPU that keeps the larger right is one that a visit has yet to settle. */
	guard_trap_apic();
	return SCRIM_OK;
}

static uint32_t cpus_left(void)
{
	uint32_t left = 0;

	if (machine.state != SCRIM_COMMENCING && machine.state != SCRIM_CEASING)
		return 0;
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		left += machine.cpu[i].arrived && machine.cpu[i].memory_on != memvirt_is_on();
	return left;
}

uint32_t memvirt_visit(struct cpu *self)
{
	self->memory_on = memvirt_is_on();
	guard_apply(self);
	uint32_t left = cpus_left();
	if (!left)
		CHECK(memvirt_event(MEMVIRT_ALL_SWITCHED) == SCRIM_OK);
	return left;
}

err_t memvirt_displace(struct cpu *self, gfn_t page, mfn_t *frame, struct mem_moved *moved)
{
	engine_cpu = self;
	return mem_displace(&machine.mem, page, frame, moved);
}

err_t memvirt_step(struct cpu *self, uint32_t pages, uint64_t *left)
{
	static struct mem_batch batch; /* the lock is held until it has ended */
	enum mem_step step;

	engine_cpu = self;
	step = mem_remap_begin(&machine.mem, &batch, pages);
	if (step == MEM_STEP_NO_FRAME)
		return SCRIM_ENOFRAME;
	if (step == MEM_STEP_NO_TABLE)
		return SCRIM_ENOTABLE;
	if (step == MEM_STEP_MOVES) {
		flush(&machine.xlat);
		mem_batch_copy(&machine.mem, &batch);
		mem_batch_end(&machine.mem, &batch, &machine.last.moved);
	}
	*left = machine.mem.displaced;
	if (!*left)
		CHECK(memvirt_event(MEMVIRT_ALL_HOME) == SCRIM_OK);
	return SCRIM_OK;
}

enum scrim_violation memvirt_check(uint64_t *where)
{
	struct mem_view view = { .state = machine.state, .all_cpus_translate = true };

	for (uint32_t i = 0; i < machine.cpu_count; i++)
		view.all_cpus_translate &= !machine.cpu[i].arrived || machine.cpu[i].translating;
	return mem_check(&machine.mem, &view, where);
}

static bool anybody_translates(void)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (machine.cpu[i].translating)
			return true;
	return false;
}

void memvirt_tidy(struct cpu *self)
{
	if (machine.state != SCRIM_NATIVE || machine.guard || !machine.xlat.root)
		return;
	if (!machine.map_late && machine.xlat.table_count == machine.xlat.built_count)
		return;
	machine_lock(self);
	if (machine.state == SCRIM_NATIVE && !machine.guard && !anybody_translates()) {
		if (machine.map_late)
			machine.xlat.ops->drop(&machine.xlat);
		else
			machine.xlat.ops->tidy(&machine.xlat);
	}
	machine_unlock();
}
