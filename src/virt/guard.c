/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns machine.guard, machine.arrived and each CPU's started/arrived. All changes under the machine lock.
 *
 * Why no CPU escapes: INIT and STARTUP are sent by writing the ICR. While a CPU is out of the OS, every CPU that could
 * write it has the page read-only (or the MSR intercepted); the STARTUP that the target gets carries Scrim's vector.
 * The end of the guard needs no kick: a CPU that is still behind it takes it off in its next APIC write (an EOI at the latest).
 * Its beginning does: the CPU that parks waits for all others before it goes on (guard_on_wbinvd). An OS may start a CPU
 * again before that one has come to its WBINVD. But before any INIT it writes the shutdown code to the CMOS, as it has
 * been done since the first multiprocessors (guard_on_cmos_write), and that CPU waits for all others as well.
 */
#include "virt/guard.h"

#include "hw/apic.h"
#include "hw/delay.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/kick.h"
#include "virt/memvirt.h"
#include "virt/moving.h"
#include "virt/shadow.h"
#include "virt/vendor.h"
#include "virt/watching.h"

#define APIC_GFN gfn_of_address(APIC_PAGE)

/* CMOS shutdown code for an INIT that goes on at the warm reset vector: firmware leaves the machine alone (MP specification B.4). */
#define CMOS_WARM_RESET 0x0a

#define LEAVE_MS 1000u

/* Its paging is off, or the instruction that is about to execute switches it off. */
static bool needs_map(const struct cpu *self)
{
	return machine.vendor->unpaged_needs_map && (self->step_aside || !machine.vendor->guest_is_paging(self));
}

/*
 * V2M tables are for a CPU in its stride. One that starts up is behind the guard, which traps in the nested tables; one whose registers
 * they cannot serve translates by those as well. They follow the map in any case.
 */
static enum scrim_backend wanted(const struct cpu *self, bool guard)
{
	if (guard)
		return SCRIM_BACKEND_NESTED;
	if (!self->memory_on)
		return needs_map(self) ? SCRIM_BACKEND_NESTED : SCRIM_BACKEND_NATIVE;
	if (shadow_is_v2m(self->backend) && !self->step_aside && machine.vendor->can_shadow(self))
		return self->backend;
	return SCRIM_BACKEND_NESTED;
}

void guard_apply(struct cpu *self)
{
	bool guard = machine.guard;
	enum scrim_backend to = wanted(self, guard);

	if (self->guarded_msrs != guard)
		machine.vendor->intercept_apic_msrs(self, guard);
	if (self->mode != to) {
		machine.vendor->set_backend(self, to);
		self->translating = to != SCRIM_BACKEND_NATIVE;
		__atomic_store_n(&self->heeds_links, shadow_is_v2m(to), __ATOMIC_SEQ_CST);
	}
}

void guard_on_paging_off(struct cpu *self)
{
	machine_lock(self);
	memvirt_need_map();
	guard_trap_apic();
	self->translating = true; /* or memvirt_tidy() might take the map away before guard_apply() comes */
	machine_unlock();
	self->step_aside = true;
}

bool guard_traps_apic(gfn_t page)
{
	/* In NATIVE the entry stays read-only also without a guard: it makes the CPUs that are still behind it leave. */
	return page.n == APIC_GFN.n && (machine.guard || machine.state == SCRIM_NATIVE);
}

void guard_trap_apic(void)
{
	bool trap = guard_traps_apic(APIC_GFN);

	if (machine.xlat.root)
		machine.xlat.ops->set(&machine.xlat, APIC_GFN, gfn_home(APIC_GFN), trap ? MEM_ACCESS_READ : MEM_ACCESS_ALL);
}

static void begin_guard(struct cpu *self)
{
	if (machine.guard)
		return;
	memvirt_need_map();
	shadow_unlink_all(self);
	machine.guard = true;
	guard_trap_apic();
	/* Flushed as well: where they translate already, the APIC page's rights have shrunk. */
	guard_apply(self);
	machine.vendor->flush(self);
	kick_others(self, KICK_APPLY | KICK_FLUSH);
}

static void end_guard(void)
{
	if (machine.arrived < machine.cpu_count || machine.starting)
		return;
	machine.guard = false;
	guard_trap_apic();
}

static void arrive(struct cpu *self)
{
	self->arrived = true;
	self->parked = false;
	machine.arrived++;
	end_guard();
}

static void park(struct cpu *cpu)
{
	cpu->parked = true;
	cpu->memory_on = memvirt_is_on(); /* nobody can visit it any more; it is behind the guard, or does not run */
	cpu->backend = machine.backend;
	if (cpu->arrived) {
		cpu->arrived = false;
		machine.arrived--;
	}
}

/* The OS gives up the machine to another kernel: all other CPUs are halted for good and will be started anew. */
static void park_others(struct cpu *self)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (&machine.cpu[i] != self)
			park(&machine.cpu[i]);
	watching_end(self);
	moving_end_lending(self);
	if (machine.arrived == machine.cpu_count)
		return; /* there are no others */
	/* They are in HLT with interrupts off, or will take the kick: either way none writes the ICR without an exit first. */
	begin_guard(self);
}

void guard_on_cr3_load(struct cpu *self)
{
	machine.vendor->intercept_cr3_load(self, false);
	machine_lock(self);
	if (!self->arrived)
		arrive(self);
	else if (self->watching_cr3 && machine.vendor->guest_idt_limit(self) == 0)
		park_others(self);
	self->watching_cr3 = false;
	machine_unlock();
}

void guard_on_lidt(struct cpu *self)
{
	/*
	 * Linux empties the IDT on two occasions: to reset by triple fault, and to hand the machine to another kernel, when
	 * the next thing it does is to load CR3. The operand need not be decoded: the limit is read at that exit.
	 */
	self->watching_cr3 = true;
	machine.vendor->intercept_cr3_load(self, true);
}

void guard_on_wbinvd(struct cpu *self)
{
	/* A CPU that goes offline does this last, its APIC off. At boot the APIC is on, in start-up code paging is off. */
	if (!self->arrived || !machine.vendor->guest_is_paging(self) || apic_is_enabled())
		return;
	machine_lock_first(self); /* until the others are behind the guard, the OS may send this CPU INIT unseen */
	park(self);
	/* Should it go on all the same, it is no parked CPU, and its next CR3 load tells. */
	machine.vendor->intercept_cr3_load(self, true);
	begin_guard(self);
	machine_unlock();
}

void guard_on_cmos_write(struct cpu *self, uint8_t value)
{
	machine_lock(self);
	/* To which of its bytes is not asked: another one with this value guards for nothing, until the next write. */
	machine.starting = value == CMOS_WARM_RESET;
	if (machine.starting)
		begin_guard(self);
	else
		end_guard();
	machine_unlock();
}

void guard_on_start(struct cpu *self)
{
	machine_lock(self);
	self->memory_on = memvirt_is_on();
	self->backend = machine.backend;
	self->request = 0;
	self->nmi_sent = 0;
	/* INIT may have caught it in an exit. From `started` on kicks are sent to it; they wait for its VMRUN. */
	__atomic_store_n(&self->in_vmm, 0, __ATOMIC_SEQ_CST);
	self->started = true;
	guard_apply(self);
	machine.vendor->intercept_cr3_load(self, true);
	machine_unlock();
}

/* Of cpu->held_off. */
enum held_off {
	HELD_NOT,
	HELD_OFF,      /* it must not come to want the machine lock */
	HELD_TO_LEAVE, /* it is to switch virtualization off */
	HELD_LEFT,     /* and has */
};

static bool is_in_exit(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->started, __ATOMIC_RELAXED) && __atomic_load_n(&cpu->in_vmm, __ATOMIC_SEQ_CST);
}

/*
 * Where virtualization holds INIT back for good (Intel SDM vol. 3, 23.8; and in the OS it is an exit, which resets nothing), the target
 * switches it off first. It stands at the beginning of an exit, or comes there by the kick, and has nothing else to do any more. A CPU that is outside Scrim already
 * does not answer, and needs not.
 */
static void make_leave(struct cpu *self, struct cpu *target)
{
	uint64_t give_up = rdtsc() + delay_tsc_hz() / 1000 * LEAVE_MS;

	if (!machine.vendor->disable || target == self || !target->started)
		return;
	__atomic_store_n(&target->held_off, HELD_TO_LEAVE, __ATOMIC_SEQ_CST);
	kick_out(target);
	while (__atomic_load_n(&target->held_off, __ATOMIC_SEQ_CST) != HELD_LEFT && rdtsc() < give_up) {
		kick_serve(self);
		cpu_pause();
	}
}

/*
 * INIT takes effect at once on some machines (QEMU), even inside Scrim, and would take the machine lock along with a CPU that
 * holds it or waits for it. So the target is let out of Scrim first, with the lock free in case it wants it, and kept out of
 * all that the lock protects until the INIT is on its way: it stores in_vmm, then reads held_off (guard_wait_held_off()), here
 * it is the other way about, both sequentially consistent, so at least one sees the other. Then it is let go, for where GIF
 * holds INIT back (AMD APM vol. 2, 15.17) it is to finish its exit first.
 */
static void before_init(struct cpu *self, struct cpu *target)
{
	for (;;) {
		__atomic_store_n(&target->held_off, HELD_OFF, __ATOMIC_SEQ_CST);
		if (target == self || !is_in_exit(target))
			break;
		__atomic_store_n(&target->held_off, HELD_NOT, __ATOMIC_SEQ_CST);
		machine_unlock();
		while (is_in_exit(target)) {
			kick_serve(self);
			cpu_pause();
		}
		machine_lock(self);
	}
	make_leave(self, target);
	park(target);
	target->started = target->parked = target->translating = false;
	target->mode = SCRIM_BACKEND_NATIVE;
	target->heeds_links = false;
}

void guard_leave(struct cpu *self)
{
	machine.vendor->disable(self);
	__atomic_store_n(&self->held_off, HELD_LEFT, __ATOMIC_SEQ_CST);
	/* Interrupts are off, an NMI goes on: what ends this is the OS's INIT. */
	for (;;)
		hlt();
}

void guard_wait_held_off(struct cpu *self)
{
	uint32_t held;

	while ((held = __atomic_load_n(&self->held_off, __ATOMIC_SEQ_CST)) != HELD_NOT) {
		if (held == HELD_TO_LEAVE)
			guard_leave(self);
		kick_serve(self);
		cpu_pause();
	}
}

static void before_startup(struct cpu *target, uint8_t vector)
{
	if (!target->started) /* a second STARTUP is ignored by a running CPU, as on the bare machine */
		target->start_vector = vector;
}

static bool is_target(const struct cpu *self, const struct cpu *cpu, uint64_t icr)
{
	uint32_t destination = (uint32_t)(icr >> 32), all = apic_is_x2apic() ? 0xffffffffu : 0xffu;

	switch (ICR_SHORTHAND(icr)) {
	case ICR_SHORTHAND_SELF:
		return cpu == self;
	case ICR_SHORTHAND_ALL:
		return true;
	case ICR_SHORTHAND_OTHERS:
		return cpu != self;
	default:
		/* No OS starts CPUs by logical destination; taken for all others, which is the safe side. */
		return cpu->apic_id == destination || (cpu != self && (icr & ICR_LOGICAL || destination == all));
	}
}

static bool send_icr(uint64_t icr)
{
	if (apic_is_x2apic())
		return wrmsr_safe(MSR_X2APIC_ICR, icr);
	apic_write(APIC_REG_ICR_LOW, (uint32_t)icr); /* ICR high is the OS's own already */
	return true;
}

static bool starts_cpus(uint64_t icr)
{
	if (ICR_MODE(icr) == ICR_MODE_INIT)
		return icr & ICR_ASSERT; /* the deassertion does nothing but to old APICs */
	return ICR_MODE(icr) == ICR_MODE_STARTUP;
}

/* Sends the OS's IPI; an INIT or a STARTUP under the lock, so that its target is not in an exit that holds it. */
static bool pass_icr(struct cpu *self, uint64_t icr)
{
	bool sent, init = ICR_MODE(icr) == ICR_MODE_INIT, to_self = false;

	if (!starts_cpus(icr))
		return send_icr(icr);
	machine_lock(self);
	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		struct cpu *target = &machine.cpu[i];
		if (!is_target(self, target, icr))
			continue;
		to_self |= target == self;
		if (init)
			before_init(self, target);
		else
			before_startup(target, (uint8_t)ICR_VECTOR(icr));
	}
	sent = send_icr(init ? icr : (icr & ~0xffull) | machine.memory.startup_page >> PAGE_SHIFT);
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		__atomic_store_n(&machine.cpu[i].held_off, HELD_NOT, __ATOMIC_SEQ_CST);
	machine_unlock();
	if (init && to_self && machine.vendor->disable)
		guard_leave(self);
	return sent;
}

bool guard_apic_write(struct cpu *self, uint32_t reg, uint64_t value)
{
	if (reg == APIC_REG_ICR_LOW && apic_is_x2apic())
		return pass_icr(self, value);
	if (reg == APIC_REG_ICR_LOW)
		return pass_icr(self, (uint64_t)(apic_read(APIC_REG_ICR_HIGH) >> 24) << 32 | (uint32_t)value);
	if (apic_is_x2apic())
		return wrmsr_safe(MSR_X2APIC_EOI, value);
	apic_write(reg, (uint32_t)value);
	return true;
}

enum scrim_cpu_mode guard_cpu_mode(const struct cpu *cpu)
{
	if (!cpu->arrived)
		return cpu->parked ? SCRIM_CPU_PARKED : cpu->started ? SCRIM_CPU_STARTING : SCRIM_CPU_WAITING;
	if (!cpu->translating)
		return SCRIM_CPU_NATIVE;
	return cpu->memory_on ? SCRIM_CPU_TRANSLATING : SCRIM_CPU_GUARDED;
}

enum scrim_state guard_machine_state(void)
{
	bool guarded = machine.guard;

	if (machine.state != SCRIM_NATIVE)
		return machine.state;
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		guarded |= machine.cpu[i].arrived && machine.cpu[i].translating;
	return guarded ? SCRIM_GUARDED : SCRIM_NATIVE;
}
