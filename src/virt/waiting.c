/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how long a write waits. The reader is a program of the OS's, and what it needs to go on may be done by the very CPU that waits: an
 * interrupt, the end of a locked section, the program behind its pipe. So nothing waits without end:
 *
 *   frames short     each CPU has a page copied every PACE_MS, whichever it comes to write; while the reader has not come for
 *                    READER_GONE_MS it has been killed, or stopped, and nobody waits
 *   frames too few   nothing is copied, unless the reader has not come for READER_LATE_MS: then the write goes on and the image is lost
 *
 * A CPU that waits goes back to the OS every MOMENT_US and makes its access again. Before that the OS takes interrupts that are pending, also
 * the one by which it schedules another program. Not so where the access was made to deliver an event: it would be delivered anew each time
 * by a kick (svm_exit.c).
 */
#include "virt/waiting.h"

#include "hw/delay.h"
#include "hw/insn.h"
#include "virt/kick.h"

#define PACE_MS 10u
#define READER_LATE_MS 1000u
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
	__atomic_store_n(&machine.waiting.tsc, 0, __ATOMIC_RELAXED);
}

void waiting_reader_came(void)
{
	machine.waiting.reader_tsc = rdtsc();
}

/* Has the reader been here so lately? */
static bool has_reader(uint64_t now, uint64_t ms)
{
	return now - machine.waiting.reader_tsc < ticks_us(ms * 1000);
}

bool waiting_holds(struct cpu *self, gfn_t page)
{
	if (machine.watch.kind != SCRIM_WATCH_IMAGE || machine.waiting.writes != SCRIM_WRITES_WAIT || watch_is_open(&machine.watch, page))
		return false;
	const uint64_t now = rdtsc();
	enum watch_room room = watch_room(&machine.watch);
	if (room == WATCH_TOO_FEW)
		return has_reader(now, READER_LATE_MS);
	if (room == WATCH_ENOUGH || !has_reader(now, READER_GONE_MS))
		return false;
	if (now < self->next_copy_tsc)
		return true;
	self->next_copy_tsc = now + ticks_us(PACE_MS * 1000);
	return false;
}

bool waiting_lets_go(struct cpu *self)
{
	uint64_t start = rdtsc(), now = start;

	while (now - start < ticks_us(MOMENT_US)) {
		kick_serve(self);
		cpu_pause();
		now = rdtsc();
	}
	__atomic_fetch_add(&machine.waiting.tsc, now - start, __ATOMIC_RELAXED);
	return !self->delivers;
}

uint64_t waiting_tsc(void)
{
	return __atomic_load_n(&machine.waiting.tsc, __ATOMIC_RELAXED);
}
