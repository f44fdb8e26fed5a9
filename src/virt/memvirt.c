/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns machine.state. A switch stops nobody: since the map is Identity and locked while CPUs switch one after another, it makes
 * no difference to the OS which of them already translate; each does it by itself, in the exit of the tool's visit.
 */
#include "virt/memvirt.h"

#include "hw/console.h"
#include "mem/mem_check.h"
#include "virt/dma.h"
#include "virt/guard.h"
#include "virt/machine_check.h"
#include "virt/port.h"
#include "virt/shadow.h"
#include "virt/trace.h"
#include "virt/vendor.h"

void memvirt_init(const struct mem_config *config)
{
	struct mem_config full = *config;

	machine.xlat.ops = &xlat_nested;
	machine.xlat.format = machine.vendor->nested_format;
	machine.xlat.port = port_tables;
	machine.xlat.port.memory_type = machine.vendor->memory_type;
	full.port = &port_ops;
	full.port_context = &machine.xlat;
	full.movable = dma_movable();
	mem_init(&machine.mem, &full);
	machine.state = SCRIM_NATIVE;
	machine.backend = SCRIM_BACKEND_NESTED;
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
		if (!machine.cpu[i].arrived) {
			machine.cpu[i].memory_on = memvirt_is_on();
			machine.cpu[i].backend = machine.backend;
		}
}

void memvirt_use_backend(enum scrim_backend backend)
{
	machine.backend = backend;
	if (shadow_is_v2m(backend))
		shadow_begin();
	switch_absent_cpus();
}

err_t memvirt_event(enum memvirt_event event)
{
	struct memvirt_transition transition = memvirt_next(machine.state, event);

	if (transition.action == MEMVIRT_REFUSE)
		return SCRIM_ESTATE;
	if (transition.action == MEMVIRT_BUILD_MAP) {
		memvirt_need_map();
		dma_start();
	}
	if (transition.action == MEMVIRT_DROP_MAP) {
		dma_stop();
		machine_check_forget();
	}
	if (transition.next == machine.state)
		return SCRIM_OK;
	machine.state = transition.next;
	if (transition.action == MEMVIRT_BUILD_MAP || transition.action == MEMVIRT_NEW_EPOCH)
		switch_absent_cpus();
	if (event == MEMVIRT_ALL_SWITCHED)
		machine.count.switches++;
	/* Unflushed also where rights shrink (NATIVE): a CPU that keeps the larger right is one that a visit has yet to settle. */
	guard_trap_apic();
	return SCRIM_OK;
}

uint64_t memvirt_ram_end(void)
{
	return machine.os_ram.entry[machine.os_ram.count - 1].end;
}

uint64_t memvirt_top(void)
{
	return align_up(memvirt_ram_end(), MIB(2));
}

void memvirt_manage_all(bool all, bool begins)
{
	uint64_t top = memvirt_top(); /* as far as the engine's list goes at its start */

	/* Neither can fail: the map is Identity, and each leaves one entry in the list. */
	if (all)
		CHECK(mem_manage(&machine.mem, 0, top) == SCRIM_OK);
	else if (begins)
		CHECK(mem_unmanage(&machine.mem, 0, top) == SCRIM_OK);
}

static uint32_t cpus_left(void)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		const struct cpu *cpu = &machine.cpu[i];
		left += cpu->arrived && machine.state != SCRIM_NATIVE &&
			(cpu->memory_on != memvirt_is_on() || cpu->backend != machine.backend);
	}
	return left;
}

/* All CPUs translate by the one back-end, or none does. */
static void settle_backend(void)
{
	if (machine.state == SCRIM_NATIVE)
		machine.backend = SCRIM_BACKEND_NESTED;
	if (!shadow_is_v2m(machine.backend))
		shadow_end();
}

uint32_t memvirt_visit(struct cpu *self)
{
	bool goes_over = self->memory_on != memvirt_is_on() || (memvirt_is_on() && self->backend != machine.backend);

	self->memory_on = memvirt_is_on();
	self->backend = machine.backend;
	shadow_unlink_all(self);
	guard_apply(self);
	if (goes_over && trace_is_on())
		trace_record(self, SCRIM_TRACE_SWITCH, memvirt_is_on() ? machine.backend : SCRIM_BACKEND_NATIVE, self->exit_start_tsc, rdtsc());
	uint32_t left = cpus_left();
	if (left)
		return left;
	CHECK(memvirt_event(MEMVIRT_ALL_SWITCHED) == SCRIM_OK);
	settle_backend();
	return 0;
}

enum scrim_violation memvirt_check(uint64_t *where)
{
	struct mem_view view = { .state = machine.state, .all_cpus_translate = true, .devices_bypass = !dma_holds() };

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
