/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the handshake on cpu->request, cpu->in_vmm and cpu->nmi_sent.
 *
 * Race argument. The sender stores request, then reads in_vmm; the target stores in_vmm = 0 (the end of svm_handle_exit()), then
 * reads request; both sequentially consistent, so at least one sees the other. If the sender sees in_vmm == 0 it sends an NMI, which
 * the target, with GIF clear until its VMRUN (AMD APM vol. 2, 15.17), takes as an exit before one more instruction of the
 * OS's. If it sees 1, the target has yet to read request. So kicks go only to CPUs that run the OS.
 *
 * NMIs have one pending bit in the hardware. A kick that meets the OS's own NMI there merges with it and one of the two is lost:
 * the next NMI exit is counted as the kick's. Hence few kicks, none in a switch.
 */
#include "virt/kick.h"

#include "hw/apic.h"
#include "hw/console.h"
#include "hw/delay.h"
#include "virt/guard.h"
#include "virt/meet.h"
#include "virt/shadow.h"
#include "virt/vendor.h"

#define RESEND_MS 2000u
#define GIVE_UP_AFTER 5u /* times */

static void send_nmi(const struct cpu *target)
{
	apic_send(target->apic_id, ICR_MODE_NMI << 8 | ICR_ASSERT);
}

static void send(struct cpu *target)
{
	machine.count.kicks++;
	send_nmi(target);
}

static void ask(struct cpu *target, enum kick_request request)
{
	__atomic_fetch_or(&target->request, request, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&target->in_vmm, __ATOMIC_SEQ_CST))
		return;
	if (__atomic_exchange_n(&target->nmi_sent, 1, __ATOMIC_SEQ_CST))
		return; /* one is on its way and will do */
	send(target);
}

/*
 * A CPU that is very slow to answer is asked again: going on without its answer might do harm, an NMI too many hardly (it
 * merges with the first, or is taken for the OS's if the CPU takes the first at this very moment). For a flush there is no
 * end of waiting: the CPU may hold a translation that lets it write where it must not any more. A guard can be begun
 * without a CPU that is outside Scrim already.
 */
static void wait_for(struct cpu *self, struct cpu *target, enum kick_request request)
{
	uint64_t period = delay_tsc_hz() / 1000 * RESEND_MS, resend = rdtsc() + period;
	uint32_t asked = 1;

	while (__atomic_load_n(&target->request, __ATOMIC_SEQ_CST)) {
		kick_serve(self);
		cpu_pause();
		if (rdtsc() < resend || __atomic_load_n(&target->in_vmm, __ATOMIC_SEQ_CST))
			continue;
		if (asked == GIVE_UP_AFTER && request & KICK_APPLY) {
			target->started = false;
			machine.count.cpus_lost++;
			return;
		}
		__atomic_store_n(&target->nmi_sent, 1, __ATOMIC_SEQ_CST);
		send(target);
		asked++;
		resend = rdtsc() + period; /* from now: all CPUs may have stood still (a debugger, an emulator's pause) */
	}
}

static bool is_meant(const struct cpu *self, const struct cpu *target, uint64_t who)
{
	return target != self && target->started && who >> target->index % 64 & 1;
}

static uint32_t call(struct cpu *self, enum kick_request request, uint64_t who)
{
	uint32_t asked = 0;

	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		if (!is_meant(self, &machine.cpu[i], who))
			continue;
		ask(&machine.cpu[i], request);
		asked++;
	}
	return asked;
}

uint32_t kick_call_others(struct cpu *self, enum kick_request request)
{
	return call(self, request, KICK_EVERYBODY);
}

void kick_those(struct cpu *self, enum kick_request request, uint64_t who)
{
	call(self, request, who);
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (is_meant(self, &machine.cpu[i], who))
			wait_for(self, &machine.cpu[i], request);
}

void kick_others(struct cpu *self, enum kick_request request)
{
	kick_those(self, request, KICK_EVERYBODY);
}

void kick_out(struct cpu *target)
{
	if (__atomic_exchange_n(&target->nmi_sent, 1, __ATOMIC_SEQ_CST))
		return;
	__atomic_fetch_add(&machine.count.kicks_out, 1, __ATOMIC_RELAXED);
	send_nmi(target);
}

void kick_serve(struct cpu *self)
{
	uint32_t request = __atomic_load_n(&self->request, __ATOMIC_SEQ_CST);

	if (!request)
		return;
	if (request & KICK_MEET) {
		/* First: as soon as this one is over, the next may call. */
		__atomic_fetch_and(&self->request, ~(uint32_t)KICK_MEET, __ATOMIC_SEQ_CST);
		meet_attend(self);
	}
	if (request & KICK_APPLY)
		guard_apply(self);
	if (request & KICK_FLUSH) {
		shadow_forget_noted(self);
		machine.vendor->flush(self);
	}
	/* Last: from here on the sender counts on it. */
	__atomic_fetch_and(&self->request, ~(request & ~(uint32_t)KICK_MEET), __ATOMIC_SEQ_CST);
}

bool kick_took_nmi(struct cpu *self)
{
	return __atomic_exchange_n(&self->nmi_sent, 0, __ATOMIC_SEQ_CST);
}

bool machine_try_lock(void)
{
	return !__atomic_load_n(&machine.lock_urgent, __ATOMIC_RELAXED) && lock_try(&machine.lock);
}

void machine_lock(struct cpu *self)
{
	while (!machine_try_lock()) {
		kick_serve(self);
		cpu_pause();
	}
}

void machine_lock_first(struct cpu *self)
{
	__atomic_fetch_add(&machine.lock_urgent, 1, __ATOMIC_RELAXED);
	while (!lock_try(&machine.lock)) {
		kick_serve(self);
		cpu_pause();
	}
	__atomic_fetch_sub(&machine.lock_urgent, 1, __ATOMIC_RELAXED);
}

void machine_unlock(void)
{
	lock_release(&machine.lock);
}
