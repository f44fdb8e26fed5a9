/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how long a write waits. The reader is a program of the OS's. It does not wait itself, nor does the kernel for it, in its address space;
 * but what it needs to go on may be done by the very CPU that waits: an interrupt, the end of a locked section, the program behind its
 * pipe. So nothing waits without end: while frames are short each CPU has a page copied for a program every PACE_MS, for the kernel every
 * PACE_KERNEL_MS; of the last eighth every PACE_LAST_MS and PACE_KERNEL_LAST_MS. The kernel with interrupts off never waits: its CPU does nothing else
 * meanwhile. And nobody does while the reader has not come for READER_GONE_MS: it has been killed, or stopped.
 *
 * A CPU that waits goes back to the OS every MOMENT_US and makes its access again. Before that the OS takes interrupts that are pending, also
 * the one by which it schedules another program.
 */
#include "virt/waiting.h"

#include "hw/delay.h"
#include "hw/insn.h"
#include "virt/guest_memory.h"
#include "virt/kick.h"
#include "virt/vendor.h"

#define PACE_MS 10u
#define PACE_LAST_MS 100u
#define PACE_KERNEL_MS 1u
#define PACE_KERNEL_LAST_MS 5u
#define READER_GONE_MS 10000u
#define MOMENT_US 50u

static uint64_t ticks_us(uint64_t microseconds)
{
	return delay_tsc_hz() / 1000000 * microseconds;
}

void waiting_begin(enum scrim_writes writes)
{
	machine.waiting.writes = writes;
	machine.waiting.reader_tsc = rdtsc();
	machine.waiting.reader_space = UINT64_MAX;
	__atomic_store_n(&machine.waiting.tsc, 0, __ATOMIC_RELAXED);
}

void waiting_reader_came(const struct cpu *self)
{
	bool is_user;

	machine.waiting.reader_tsc = rdtsc();
	machine.waiting.reader_space = guest_memory_space(self, &is_user);
}

/* Has the reader been here so lately? */
static bool has_reader(uint64_t now, uint64_t ms)
{
	return now - machine.waiting.reader_tsc < ticks_us(ms * 1000);
}

/* One page in so many ms. */
static bool comes_too_early(struct cpu *self, uint64_t now, uint64_t ms)
{
	if (now < self->next_copy_tsc)
		return true;
	self->next_copy_tsc = now + ticks_us(ms * 1000);
	return false;
}

bool waiting_holds(struct cpu *self, gfn_t page)
{
	bool is_user;

	if (machine.watch.kind != SCRIM_WATCH_IMAGE || machine.waiting.writes != SCRIM_WRITES_WAIT || watch_is_open(&machine.watch, page))
		return false;
	enum watch_room room = watch_room(&machine.watch);
	if (room == WATCH_ENOUGH || !machine.vendor->guest_is_interruptible(self) ||
	    guest_memory_space(self, &is_user) == machine.waiting.reader_space)
		return false;
	const uint64_t now = rdtsc();
	if (!has_reader(now, READER_GONE_MS))
		return false;
	if (room == WATCH_SHORT)
		return comes_too_early(self, now, is_user ? PACE_MS : PACE_KERNEL_MS);
	return comes_too_early(self, now, is_user ? PACE_LAST_MS : PACE_KERNEL_LAST_MS);
}

void waiting_moment(struct cpu *self)
{
	uint64_t start = rdtsc(), now = start;

	while (now - start < ticks_us(MOMENT_US)) {
		kick_serve(self);
		cpu_pause();
		now = rdtsc();
	}
	__atomic_fetch_add(&machine.waiting.tsc, now - start, __ATOMIC_RELAXED);
}

uint64_t waiting_tsc(void)
{
	return __atomic_load_n(&machine.waiting.tsc, __ATOMIC_RELAXED);
}
