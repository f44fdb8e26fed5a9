/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the rings: one producer, one consumer, no lock. A message is written, then published by a release store of the
 * head, so a consumer that sees the number must see the bytes, on whatever CPU it is. Nobody waits for anybody here:
 * a full or empty ring is left alone until the next iteration.
 */
#include "load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RING_SLOTS    64u
#define MESSAGE_WORDS 61u
#define REGION_RING   16u /* above the numbers of the regions proper */

struct message {
	uint64_t sequence;
	uint64_t checksum;
	uint64_t from; /* index of the producer */
	uint64_t words[MESSAGE_WORDS];
};

/* Head and tail on pages of their own: three kinds of page are shared. */
struct load_ring {
	_Atomic uint64_t head __attribute__((aligned(4096))); /* messages sent */
	_Atomic uint64_t tail __attribute__((aligned(4096))); /* messages taken */
	struct message slots[RING_SLOTS] __attribute__((aligned(4096)));
};

struct load_ring *ring_new(void)
{
	struct load_ring *ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return ring == MAP_FAILED ? NULL : ring;
}

/* FNV-1a over words. */
static uint64_t ring_checksum(const struct message *message)
{
	uint64_t sum = 0xcbf29ce484222325u ^ message->sequence;

	for (unsigned i = 0; i < MESSAGE_WORDS; i++)
		sum = (sum ^ message->words[i]) * 0x100000001b3u;
	return sum;
}

void ring_send(struct load_task *task, struct load_ring *ring, unsigned messages)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	for (unsigned i = 0; i < messages && head - tail < RING_SLOTS; i++, head++) {
		struct message *message = &ring->slots[head % RING_SLOTS];

		message->sequence = head;
		message->from = task->index;
		pattern_fill(message->words, sizeof(message->words), pattern_key(task, REGION_RING, head, 0));
		message->checksum = ring_checksum(message);
		atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	}
}

static void ring_verify(struct load_task *task, const struct message *message, uint64_t sequence)
{
	struct load_task from = { .load = task->load, .index = (unsigned)message->from };
	uint64_t sum = ring_checksum(message);

	if (message->sequence != sequence)
		load_fail(task, "WRONG message at %p: expected number %" PRIu64 ", found %" PRIu64, (const void *)message, sequence,
			  message->sequence);
	pattern_verify(task, "a message", message->words, sizeof(message->words),
		       pattern_key(&from, REGION_RING, sequence, 0));
	if (message->checksum != sum)
		load_fail(task, "WRONG message %" PRIu64 " at %p: expected checksum 0x%" PRIx64 ", found 0x%" PRIx64, sequence,
			  (const void *)message, message->checksum, sum);
	task->count.checks += 2;
	task->count.messages++;
}

unsigned ring_receive(struct load_task *task, struct load_ring *ring, unsigned messages)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	unsigned taken = 0;

	for (; taken < messages && tail != head; taken++, tail++) {
		ring_verify(task, &ring->slots[tail % RING_SLOTS], tail);
		atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	}
	return taken;
}
