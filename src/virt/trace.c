/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the rings. Each has one writer, its CPU, without a lock, and one reader, who holds the machine lock:
 *
 *   taken                    written             both only grow; an event's place is its number modulo the ring's size
 *     |                         |
 *   | e e e e e e e e e e e e e | free ... |
 *
 * `written` is stored with release behind the event, and `taken` with release behind the copy of it, so that neither sees a place half done. What
 * does not fit is counted and dropped: were the oldest written over, the reader would have to find out that it read two events in one.
 * START empties the rings by taking all; the count of the lost is not reset, which its writer could undo, but subtracted from.
 */
#include "virt/trace.h"

uint64_t trace_ring_bytes(uint64_t bytes)
{
	uint64_t ring = PAGE_SIZE;

	if (bytes < ring)
		return 0;
	while (ring * 2 <= bytes)
		ring *= 2;
	return ring;
}

void trace_give_memory(struct cpu *cpu, void *memory, uint64_t bytes)
{
	cpu->trace.event = memory;
	cpu->trace.size = bytes / sizeof(struct trace_event);
}

uint64_t trace_events(void)
{
	return machine.cpu[0].trace.size;
}

void trace_start(void)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		struct trace_ring *ring = &machine.cpu[i].trace;

		__atomic_store_n(&ring->taken, __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		ring->lost_before = __atomic_load_n(&ring->lost, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&machine.tracing, true, __ATOMIC_RELAXED);
}

void trace_stop(void)
{
	__atomic_store_n(&machine.tracing, false, __ATOMIC_RELAXED);
}

bool trace_take(struct cpu *cpu, struct trace_event *event)
{
	struct trace_ring *ring = &cpu->trace;
	uint64_t taken = ring->taken;

	if (taken == __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE))
		return false;
	*event = ring->event[taken & (ring->size - 1)];
	__atomic_store_n(&ring->taken, taken + 1, __ATOMIC_RELEASE);
	return true;
}

uint64_t trace_lost(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->trace.lost, __ATOMIC_RELAXED) - cpu->trace.lost_before;
}

void trace_record(struct cpu *self, enum scrim_trace_kind kind, uint64_t number, uint64_t start_tsc, uint64_t end_tsc)
{
	struct trace_ring *ring = &self->trace;
	uint64_t written = ring->written, ticks = end_tsc - start_tsc;

	if (written - __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE) == ring->size) {
		__atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
		return;
	}
	ring->event[written & (ring->size - 1)] = (struct trace_event){
		.start_tsc = start_tsc,
		.what = (uint64_t)kind << SCRIM_TRACE_KIND_SHIFT | (number & SCRIM_TRACE_NUMBER_MAX) << SCRIM_TRACE_NUMBER_SHIFT |
			(ticks < SCRIM_TRACE_TICKS_MAX ? ticks : SCRIM_TRACE_TICKS_MAX)
	};
	__atomic_store_n(&ring->written, written + 1, __ATOMIC_RELEASE);
}
