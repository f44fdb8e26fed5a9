/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the meeting. All words are atomic; `round` is written last by the leader and read first by the others, so that who sees a new
 * round sees its batch. Columns, not rows: in a chain each page goes where the one before was, so a CPU has to copy in the order of
 * the batch, but bytes at one offset never meet those at another.
 */
#include "virt/meet.h"

#include "hw/delay.h"
#include "virt/dma.h"
#include "virt/kick.h"
#include "virt/shadow.h"
#include "virt/vendor.h"

#define COME_MS 10000u
#define WORD 8u /* columns begin at multiples: the engine's copy asks for it */

static struct {
	const struct mem_batch *batch;
	uint32_t called, here; /* others */
	uint32_t round;        /* 0: gathering; then one batch each */
	uint32_t copied;       /* others that are through with this round's */
	bool save;
	bool over;
} meeting;

/* Column `place` of `parts`. */
static void copy_column(uint32_t place, uint32_t parts)
{
	uint32_t words = (uint32_t)PAGE_SIZE / WORD;
	uint32_t first = words * place / parts, last = words * (place + 1) / parts;

	if (last > first)
		mem_batch_copy_slice(&machine.mem, meeting.batch, first * WORD, (last - first) * WORD);
}

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

void meet_attend(struct cpu *self)
{
	if (meeting.save) {
		machine.vendor->save_registers(self, self->saved);
		self->has_saved = true;
	}

	uint32_t place = __atomic_add_fetch(&meeting.here, 1, __ATOMIC_ACQ_REL), seen = 0;

	while (!__atomic_load_n(&meeting.over, __ATOMIC_ACQUIRE)) {
		if (load(&meeting.round) == seen) {
			cpu_pause();
			continue;
		}
		seen++;
		copy_column(place, meeting.called + 1);
		__atomic_add_fetch(&meeting.copied, 1, __ATOMIC_RELEASE);
	}
	shadow_forget_all(self); /* of many batches: more than was noted */
	machine.vendor->flush(self);
	__atomic_sub_fetch(&meeting.here, 1, __ATOMIC_RELEASE);
}

bool meet_begin(struct cpu *self, bool save)
{
	uint64_t give_up = rdtsc() + delay_tsc_hz() / 1000 * COME_MS;

	meeting.round = meeting.copied = meeting.here = 0;
	meeting.save = save;
	__atomic_store_n(&meeting.over, false, __ATOMIC_RELEASE);
	meeting.called = kick_call_others(self, KICK_MEET);
	while (load(&meeting.here) != meeting.called) {
		cpu_pause();
		if (rdtsc() > give_up) {
			meet_end();
			return false;
		}
	}
	return true;
}

void meet_copy(const struct mem_batch *batch)
{
	if (dma_translates()) {
		mem_batch_copy(&machine.mem, batch); /* its invalidations are in an order that is one CPU's */
		return;
	}
	meeting.batch = batch;
	__atomic_store_n(&meeting.copied, 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&meeting.round, 1, __ATOMIC_RELEASE);
	copy_column(0, meeting.called + 1);
	while (load(&meeting.copied) != meeting.called)
		cpu_pause();
}

void meet_end(void)
{
	__atomic_store_n(&meeting.over, true, __ATOMIC_RELEASE);
	while (load(&meeting.here))
		cpu_pause();
}
