/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the CPUs: a context each, which the scheduler resumes one after another, so that every run can be repeated; TLBs; the
 * vendor's operations; APICs. A CPU changes hands only where Scrim waits, locks or unlocks: what lies between is one step.
 */
#define _GNU_SOURCE
#include "sim_cpu.h"
#include "os.h"
#include "sim_dma.h"

#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include "hw/apic.h"
#include "hw/delay.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/memvirt.h"
#include "virt/vendor.h"
#include "xlat/pte_npt.h"

#define STACK_BYTES KIB(256)
#define TURNS_MAX 40000u /* of a script that goes on: the longest wait is for a deaf CPU */
#define PREEMPTED_TURNS 6u
#define TSC_STEP 20000u
#define TSC_HZ 1000000u
#define NPT_BITS 0x000ffffffffff000ull

/* Where the CPU is in its life; the hardware's view. */
enum life { LIFE_WAITING, LIFE_RUNNING, LIFE_HALTED };

struct sim_cpu {
	ucontext_t context;
	bool made, busy;
	struct sim_task task;
	enum life life;
	bool nmi, starts; /* pending: an NMI; a STARTUP that has come */
	bool holds_init;  /* virtualization is on, of the kind that holds INIT back */
	bool halted;      /* in Scrim, for good */
	bool apic_on;
	uint32_t idt_limit;
	uint64_t deaf_until; /* turns */
	struct sim_translation tlb[SIM_TLB_ENTRIES];
	uint32_t tlb_next;
	bool held[SIM_TABLES_MAX]; /* tables walked since the last flush */
	_Alignas(16) uint8_t stack[STACK_BYTES];
};

static struct sim_cpu sims[SIM_CPUS];
static struct sim_cpu *current;
static ucontext_t scheduler;
static uint64_t turns, tsc;
static uint32_t next_cpu, icr_high;

static struct sim_cpu *sim_of(const struct cpu *cpu)
{
	return &sims[cpu->index];
}

static struct cpu *cpu_of(const struct sim_cpu *sim)
{
	return &machine.cpu[sim - sims];
}

/* --- turns --- */

static void let_others(void)
{
	struct sim_cpu *self = current;

	sim_dma_run();
	swapcontext(&self->context, &scheduler);
}

static void body(void)
{
	for (;;) {
		current->task.run(cpu_of(current), &current->task);
		current->busy = false;
		let_others();
	}
}

static void make_context(struct sim_cpu *sim)
{
	getcontext(&sim->context);
	sim->context.uc_stack.ss_sp = sim->stack;
	sim->context.uc_stack.ss_size = sizeof(sim->stack);
	sim->context.uc_link = &scheduler;
	makecontext(&sim->context, body, 0);
	sim->made = true;
}

static void resume(struct sim_cpu *sim)
{
	if (!sim->made)
		make_context(sim);
	current = sim;
	swapcontext(&scheduler, &sim->context);
	current = NULL;
}

void sim_give(struct cpu *cpu, const struct sim_task *task)
{
	struct sim_cpu *sim = sim_of(cpu);

	if (sim->busy)
		sim_fail("CPU %u is busy", cpu->index);
	sim->task = *task;
	sim->busy = true;
}

bool sim_is_busy(const struct cpu *cpu)
{
	return sim_of(cpu)->busy;
}

bool sim_runs_os(const struct cpu *cpu)
{
	return sim_of(cpu)->life == LIFE_RUNNING;
}

static void task_nmi(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	sim_exit_begin(cpu);
	if (!kick_took_nmi(cpu))
		cpu->nmis_passed++;
	sim_exit_end(cpu);
}

static void task_start(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	sim_of(cpu)->holds_init = machine.vendor->disable;
	guard_on_start(cpu);
	sim_of(cpu)->life = LIFE_RUNNING;
}

/* What the hardware does by itself before the next instruction of the CPU's. */
static bool take_event(struct sim_cpu *sim)
{
	static const struct sim_task start = { .run = task_start }, nmi = { .run = task_nmi };
	bool starts = sim->starts;

	if (sim->busy || (!sim->starts && !sim->nmi))
		return sim->busy;
	sim_give(cpu_of(sim), starts ? &start : &nmi);
	if (starts)
		sim->starts = false;
	else
		sim->nmi = false;
	return true;
}

static bool turn(void)
{
	turns++;
	for (uint32_t tried = 0; tried < SIM_CPUS; tried++) {
		struct sim_cpu *sim = &sims[next_cpu++ % SIM_CPUS];
		if (sim->deaf_until > turns || !take_event(sim))
			continue;
		resume(sim);
		return true;
	}
	return false;
}

static bool all_idle(void)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (sims[i].busy || sims[i].nmi || sims[i].starts)
			return false;
	return true;
}

void sim_turns(uint32_t count)
{
	while (count-- && !all_idle())
		turn();
}

static void NORETURN say_stuck(void)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		const struct cpu *cpu = &machine.cpu[i];
		fprintf(stderr, "CPU %u: busy %u, life %u, op %x, in_vmm %u, request %u, nmi %u, started %u, arrived %u\n", i,
			sims[i].busy, sims[i].life, sims[i].task.op, cpu->in_vmm, cpu->request, sims[i].nmi, cpu->started,
			cpu->arrived);
	}
	sim_fail("nobody gets on: state %u, %lu in flight, lock %u", machine.state, machine.mem.in_flight, machine.lock.taken);
}

void sim_finish(void)
{
	for (uint32_t i = 0; !all_idle(); i++) {
		turn();
		if (i > TURNS_MAX)
			say_stuck();
	}
}

uint64_t sim_turn_count(void)
{
	return turns;
}

void sim_make_deaf(struct cpu *cpu, uint32_t count)
{
	sim_of(cpu)->deaf_until = turns + count;
}

/* --- hw/ --- */

uint64_t rdtsc(void)
{
	return tsc += TSC_STEP;
}

uint64_t delay_tsc_hz(void)
{
	return TSC_HZ;
}

void cpu_pause(void)
{
	let_others();
}

void hlt(void)
{
	current->halted = true;
	let_others();
}

/* Long enough that others may begin and end something. */
static void be_preempted(void)
{
	for (uint32_t i = 0; current->task.preempted && i < PREEMPTED_TURNS; i++)
		let_others();
}

bool lock_try(struct lock *lock)
{
	be_preempted();
	if (lock->taken)
		return false;
	lock->taken = 1;
	return true;
}

void lock_release(struct lock *lock)
{
	if (!lock->taken)
		sim_fail("the lock is free already");
	lock->taken = 0;
	be_preempted();
}

bool apic_is_x2apic(void)
{
	return false;
}

bool apic_is_enabled(void)
{
	return current->apic_on;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	sim_fail("WRMSR %x %lx", msr, value);
}

uint32_t apic_read(uint32_t reg)
{
	return reg == APIC_REG_ICR_HIGH ? icr_high : 0;
}

static struct sim_cpu *by_apic_id(uint32_t apic_id)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (machine.cpu[i].apic_id == apic_id)
			return &sims[i];
	sim_fail("no CPU has APIC id %u", apic_id);
}

static void init_cpu(struct sim_cpu *sim)
{
	if (sim->holds_init)
		sim_fail("INIT to a CPU that holds it back");
	if (sim->busy && !sim->halted)
		sim_fail("INIT to a CPU that is in Scrim");
	sim->made = sim->busy = sim->halted = false;
	sim->life = LIFE_WAITING;
	sim->nmi = sim->starts = false;
	sim->apic_on = true;
	memset(sim->tlb, 0, sizeof(sim->tlb));
	memset(sim->held, 0, sizeof(sim->held));
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (reg != APIC_REG_ICR_LOW)
		return;
	struct sim_cpu *target = by_apic_id(icr_high >> 24);
	if (ICR_MODE(value) == ICR_MODE_INIT)
		init_cpu(target);
	else if (target->life == LIFE_WAITING)
		target->starts = true;
	if (ICR_MODE(value) == ICR_MODE_STARTUP && ICR_VECTOR(value) != machine.memory.startup_page >> PAGE_SHIFT)
		sim_fail("a STARTUP past Scrim");
}

void apic_send(uint32_t apic_id, uint32_t icr)
{
	if (ICR_MODE(icr) != ICR_MODE_NMI)
		sim_fail("an IPI that is no kick");
	by_apic_id(apic_id)->nmi = true;
}

/* --- the vendor --- */

static void flush(struct cpu *cpu)
{
	memset(sim_of(cpu)->tlb, 0, sizeof(sim_of(cpu)->tlb));
	memset(sim_of(cpu)->held, 0, sizeof(sim_of(cpu)->held));
	machine.count.flushes++;
}

static void set_backend(struct cpu *cpu, enum scrim_backend to)
{
	if (to != SCRIM_BACKEND_NATIVE && !machine.xlat.root)
		sim_fail("CPU %u is to translate without a map", cpu->index);
	cpu->mode = to;
	flush(cpu);
}

static bool can_shadow(const struct cpu *cpu)
{
	return cpu->arrived;
}

static void disable(struct cpu *cpu)
{
	if (!sim_of(cpu)->holds_init)
		sim_fail("CPU %u has switched virtualization off already", cpu->index);
	sim_of(cpu)->holds_init = false;
}

static void intercept_apic_msrs(struct cpu *cpu, bool on)
{
	cpu->guarded_msrs = on;
}

static void intercept_cr3_load(struct cpu *cpu, bool on)
{
	(void)cpu, (void)on;
}

static bool guest_is_paging(const struct cpu *cpu)
{
	return cpu->arrived;
}

static uint32_t guest_idt_limit(const struct cpu *cpu)
{
	return sim_of(cpu)->idt_limit;
}

/* The CPU that leads a meeting is the last: nobody writes from here on until a watch is on. */
static void save_registers(struct cpu *cpu, uint64_t *to)
{
	to[SCRIM_REG_RIP] = cpu->index;
	os_note_instant();
}

#define VENDOR_OPS                                                                                                       \
	.nested_format = &pte_npt, .set_backend = set_backend, .can_shadow = can_shadow, .flush = flush,                 \
	.intercept_apic_msrs = intercept_apic_msrs, .intercept_cr3_load = intercept_cr3_load,                            \
	.save_registers = save_registers, .guest_is_paging = guest_is_paging, .guest_idt_limit = guest_idt_limit

/* AMD's kind, and Intel's. */
static const struct vendor_ops vendor[] = { { .id = SCRIM_VENDOR_AMD, VENDOR_OPS },
					    { .id = SCRIM_VENDOR_INTEL, .disable = disable, VENDOR_OPS } };

void sim_exit_begin(struct cpu *cpu)
{
	__atomic_store_n(&cpu->in_vmm, 1, __ATOMIC_SEQ_CST);
	guard_wait_held_off(cpu);
	cpu->exit_start_tsc = rdtsc();
}

void sim_exit_end(struct cpu *cpu)
{
	guard_apply(cpu);
	memvirt_tidy(cpu);
	for (;;) {
		kick_serve(cpu);
		__atomic_store_n(&cpu->in_vmm, 0, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&cpu->request, __ATOMIC_SEQ_CST))
			return;
		__atomic_store_n(&cpu->in_vmm, 1, __ATOMIC_SEQ_CST);
	}
}

/* --- the TLB --- */

static const uint64_t *table_of(struct sim_cpu *keeper, uint64_t address)
{
	/* A watch makes some of frames that it has taken. */
	if (ranges_contain(&machine.mem.withdrawn, address, address + PAGE_SIZE, RANGE_RAM))
		return (const uint64_t *)(uintptr_t)address;

	uint32_t slot = sim_table_slot(address);

	if (keeper)
		keeper->held[slot] = true;
	return (const uint64_t *)(uintptr_t)address;
}

static struct sim_translation walk(struct sim_cpu *keeper, uint64_t address)
{
	struct sim_translation found = { .present = true, .writable = true };
	uint64_t next = machine.xlat.root;

	for (uint32_t shift = 39;; shift -= 9) {
		uint64_t entry = table_of(keeper, next)[address >> shift & 511];
		found.bytes = 1ull << shift;
		found.start = align_down(address, found.bytes);
		if (!(entry & 1))
			return (struct sim_translation){ .start = found.start, .bytes = found.bytes };
		found.writable &= entry >> 1 & 1;
		next = entry & NPT_BITS;
		if (shift > 12 && !(entry & 0x80))
			continue;
		if (next & (found.bytes - 1))
			sim_fail("reserved bits in the entry of 0x%lx", address);
		found.frame = next;
		return found;
	}
}

/* Of a leaf, the page at `address`. */
static struct sim_translation page_of(struct sim_translation leaf, uint64_t address)
{
	leaf.frame += align_down(address - leaf.start, PAGE_SIZE);
	return leaf;
}

struct sim_translation sim_walk(uint64_t address)
{
	return page_of(walk(NULL, address), address);
}

static void keep(struct sim_cpu *sim, const struct sim_translation *found)
{
	for (uint32_t i = 0; i < SIM_TLB_ENTRIES; i++) {
		const struct sim_translation *kept = &sim->tlb[i];
		if (kept->present && kept->bytes != found->bytes && kept->start < found->start + found->bytes &&
		    found->start < kept->start + kept->bytes)
			sim_fail("two sizes of 0x%lx in a TLB: break before make was not kept", found->start);
	}
	sim->tlb[sim->tlb_next++ % SIM_TLB_ENTRIES] = *found;
}

struct sim_translation sim_translate(struct cpu *cpu, uint64_t address)
{
	struct sim_cpu *sim = sim_of(cpu);
	struct sim_translation found = { true, true, align_down(address, PAGE_SIZE), PAGE_SIZE, align_down(address, PAGE_SIZE) };

	if (!cpu->translating)
		return found;
	for (uint32_t i = 0; i < SIM_TLB_ENTRIES; i++)
		if (sim->tlb[i].present && address - sim->tlb[i].start < sim->tlb[i].bytes)
			return page_of(sim->tlb[i], address);
	found = walk(sim, address);
	if (found.present)
		keep(sim, &found);
	return page_of(found, address);
}

void sim_check_tlbs(void)
{
	for (uint32_t i = 0; i < SIM_CPUS * SIM_TLB_ENTRIES; i++) {
		const struct sim_translation *kept = &sims[i / SIM_TLB_ENTRIES].tlb[i % SIM_TLB_ENTRIES];
		if (!machine.cpu[i / SIM_TLB_ENTRIES].translating || !kept->present)
			continue;
		struct sim_translation now = walk(NULL, kept->start);
		if (now.present && now.bytes != kept->bytes)
			sim_fail("CPU %u holds 0x%lx of another size: break before make was not kept", i / SIM_TLB_ENTRIES, kept->start);
	}
}

void sim_forget(struct cpu *cpu, uint64_t address)
{
	struct sim_cpu *sim = sim_of(cpu);

	for (uint32_t i = 0; i < SIM_TLB_ENTRIES; i++)
		if (address - sim->tlb[i].start < sim->tlb[i].bytes)
			sim->tlb[i].present = false;
}

void sim_assert_not_held(uint32_t slot)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (machine.cpu[i].translating && sims[i].held[slot])
			sim_fail("a table is given back that CPU %u may still walk", i);
}

/* --- what an OS does with CPUs --- */

void sim_task_exit(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	sim_exit_begin(cpu);
	sim_exit_end(cpu);
}

void sim_task_arrive(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	sim_exit_begin(cpu);
	guard_on_cr3_load(cpu);
	sim_of(cpu)->life = LIFE_RUNNING;
	sim_exit_end(cpu);
}

void sim_task_offline(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	sim_of(cpu)->apic_on = false;
	sim_of(cpu)->life = LIFE_HALTED;
	sim_exit_begin(cpu);
	guard_on_wbinvd(cpu);
	sim_exit_end(cpu);
}

void sim_task_cmos(struct cpu *cpu, struct sim_task *task)
{
	sim_exit_begin(cpu);
	guard_on_cmos_write(cpu, (uint8_t)task->argument[0]);
	sim_exit_end(cpu);
}

/* True: the write of this APIC register exits, and Scrim does it. */
static bool write_apic(struct cpu *cpu, uint32_t reg, uint32_t value)
{
	if (sim_translate(cpu, SIM_APIC).writable)
		return false;
	sim_exit_begin(cpu);
	if (!guard_apic_write(cpu, reg, value))
		sim_fail("an APIC write is refused");
	sim_exit_end(cpu);
	return true;
}

void sim_task_eoi(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	write_apic(cpu, APIC_REG_EOI, 0);
}

void sim_task_start_cpu(struct cpu *cpu, struct sim_task *task)
{
	struct sim_task cmos = { .argument[0] = 0x0a };

	sim_task_cmos(cpu, &cmos);
	icr_high = machine.cpu[task->argument[0]].apic_id << 24;
	if (!write_apic(cpu, APIC_REG_ICR_LOW, ICR_MODE_INIT << 8 | ICR_ASSERT | ICR_LEVEL) ||
	    !write_apic(cpu, APIC_REG_ICR_LOW, ICR_MODE_STARTUP << 8 | ICR_ASSERT | 0x9a))
		sim_fail("INIT or STARTUP past Scrim");
	cmos.argument[0] = 0;
	sim_task_cmos(cpu, &cmos);
}

/* Linux's machine_kexec(): an empty IDT, then the new page tables. The other CPUs have been halted. */
void sim_task_kexec(struct cpu *cpu, struct sim_task *task)
{
	(void)task;
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (&machine.cpu[i] != cpu && sims[i].life == LIFE_RUNNING)
			sims[i].life = LIFE_HALTED;
	sim_exit_begin(cpu);
	guard_on_lidt(cpu);
	sim_exit_end(cpu);
	sim_of(cpu)->idt_limit = 0;
	sim_exit_begin(cpu);
	guard_on_cr3_load(cpu);
	sim_exit_end(cpu);
	sim_of(cpu)->idt_limit = 0xfff;
}

/* --- the start --- */

void sim_cpus_reset(bool holds_init)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		if (sims[i].busy)
			sim_fail("CPU %u has not come to an end", i);
		sims[i].holds_init = false;
		init_cpu(&sims[i]);
		sims[i].deaf_until = 0;
		sims[i].idt_limit = 0xfff;
		sims[i].tlb_next = 0;
	}
	current = NULL;
	turns = tsc = next_cpu = 0;
	machine.vendor = &vendor[holds_init];
}

void sim_cpus_arrive(uint32_t count)
{
	static const struct sim_task start = { .run = task_start }, arrive = { .run = sim_task_arrive };

	for (uint32_t i = 0; i < count; i++) {
		machine.cpu[i].ready = true;
		sim_give(&machine.cpu[i], &start);
		sim_finish();
		sim_give(&machine.cpu[i], &arrive);
		sim_finish();
	}
}
