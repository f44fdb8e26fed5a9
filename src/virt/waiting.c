/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how long a write waits. The reader is a program of the OS's. It does not wait itself, nor does the kernel for it, in its address space, nor
 * the kernel with interrupts off, whose CPU does nothing else meanwhile. Programs wait where they have had their part of the frames, in
 * proportion to what has been read (mem/watch.h: watch_has_room()), the kernel behind them; what is left is for those that never wait:
 *
 *     all        1/2                 1/4                          none
 *     |  nobody   |  programs wait    |  the kernel waits, too     |  the image is lost
 *
 * What the reader needs to go on may be done by the very CPU that waits: an interrupt, the end of a locked section, the program behind its
 * pipe. So nothing waits without end: a write goes on when for so many ms (PROGRAM_MS, KERNEL_MS) neither the reader has come nor, on this CPU,
 * another write has gone on. As long as the reader comes, none does. And nobody waits while it has not come for READER_GONE_MS: it has been killed, or stopped.
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

#define PROGRAM_PART 2u
#define KERNEL_PART 4u
#define PROGRAM_MS 50u
#define KERNEL_MS 5u
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

/* The reader has not come for so long, nor has a write gone on here for want of it. */
static bool is_stuck(const struct cpu *self, uint64_t now, uint64_t ms)
{
	return now - machine.waiting.reader_tsc >= ticks_us(ms * 1000) && now - self->went_on_tsc >= ticks_us(ms * 1000);
}

bool waiting_holds(struct cpu *self, gfn_t page)
{
	bool is_user;

	if (machine.watch.kind != SCRIM_WATCH_IMAGE || machine.waiting.writes != SCRIM_WRITES_WAIT || watch_is_open(&machine.watch, page) ||
	    watch_has_room(&machine.watch, PROGRAM_PART))
		return false;
	if (guest_memory_space(self, &is_user) == machine.waiting.reader_space || !machine.vendor->guest_is_interruptible(self) ||
	    (!is_user && watch_has_room(&machine.watch, KERNEL_PART)))
		return false;
	const uint64_t now = rdtsc();
	if (now - machine.waiting.reader_tsc >= ticks_us(READER_GONE_MS * 1000))
		return false;
	if (!is_stuck(self, now, is_user ? PROGRAM_MS : KERNEL_MS))
		return true;
	self->went_on_tsc = now;
	return false;
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
