/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns two players on two CPUs that wake each other: by a futex word, then by two pipes with checked messages. A wake
 * that is lost is a hang, and the watchdog's business: nothing here has a timeout that could hide it.
 * The pair moves on to the next two CPUs every ROUNDS_A_CPU rounds. The first player decides when to stop, and says so
 * through the same channel, so neither is left waiting.
 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS_A_CPU  200u
#define ROUNDS_A_TURN 20u /* rounds of one channel before the other has its turn */
#define REGION_PIPE   17u
#define MESSAGE_BYTES 256u
#define STOP          0xffffffffu

struct load_pair {
	_Atomic uint32_t word; /* odd: the second player's turn */
	int there[2], back[2];
};

struct pipe_message {
	uint64_t sequence; /* UINT64_MAX: stop */
	uint64_t words[MESSAGE_BYTES / 8];
};

struct load_pair *pair_new(void)
{
	struct load_pair *pair = calloc(1, sizeof(*pair));

	if (pair == NULL || pipe2(pair->there, O_CLOEXEC) != 0 || pipe2(pair->back, O_CLOEXEC) != 0)
		return NULL;
	return pair;
}

static void pair_wake(struct load_pair *pair, uint32_t value)
{
	atomic_store(&pair->word, value);
	syscall(SYS_futex, &pair->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns the word's next value, which is `expected` or STOP. */
static uint32_t pair_wait(struct load_task *task, uint32_t now, uint32_t expected)
{
	uint32_t value;

	while ((value = atomic_load(&task->pair->word)) == now)
		syscall(SYS_futex, &task->pair->word, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
	if (value != expected && value != STOP)
		load_fail(task, "WRONG futex word: expected %u, found %u", expected, value);
	task->count.checks++;
	return value;
}

/* `index` of the message's key is the first player's in both directions: whoever reads knows what was sent. */
static void pair_write(struct load_task *task, int fd, uint64_t sequence, uint64_t direction)
{
	struct load_task sender = { .load = task->load };
	struct pipe_message message = { .sequence = sequence };

	pattern_fill(message.words, sizeof(message.words), pattern_key(&sender, REGION_PIPE, sequence, direction));
	if (write(fd, &message, sizeof(message)) != sizeof(message))
		load_fail(task, "cannot write to a pipe: %s", strerror(errno));
}

/* False: the message says stop. */
static bool pair_read(struct load_task *task, int fd, uint64_t sequence, uint64_t direction)
{
	struct load_task sender = { .load = task->load };
	struct pipe_message message;

	if (read(fd, &message, sizeof(message)) != sizeof(message))
		load_fail(task, "cannot read from a pipe: %s", strerror(errno));
	if (message.sequence == UINT64_MAX)
		return false;
	if (message.sequence != sequence)
		load_fail(task, "WRONG message of a pipe: expected number %" PRIu64 ", found %" PRIu64, sequence, message.sequence);
	pattern_verify(task, "a message of a pipe", message.words, sizeof(message.words),
		       pattern_key(&sender, REGION_PIPE, sequence, direction));
	task->count.checks++;
	return true;
}

static bool pair_uses_pipe(uint64_t round)
{
	return round / ROUNDS_A_TURN % 2 == 1;
}

/* Called by both players at the same rounds, so they stay on neighbouring CPUs. */
static void pair_turn(struct load_task *task, uint64_t round, unsigned player)
{
	if (round % ROUNDS_A_CPU == 0)
		task->cpu = (unsigned)(round / ROUNDS_A_CPU + player) % task->load->cpu_limit;
	if (round % ROUNDS_A_TURN == 0) {
		load_turn(task, task->cpu);
		clock_check(task);
	}
}

void pair_run_first(struct load_task *task)
{
	struct load_pair *pair = task->pair;
	uint32_t word = 0;

	for (uint64_t round = 0;; round++) {
		bool stop = load_stopping(task);

		pair_turn(task, round, 0);
		if (pair_uses_pipe(round)) {
			pair_write(task, pair->there[1], stop ? UINT64_MAX : round, 0);
			if (stop)
				return;
			pair_read(task, pair->back[0], round, 1);
		} else {
			/* The word wraps long before it could reach STOP. */
			pair_wake(pair, stop ? STOP : word + 1);
			if (stop)
				return;
			word = pair_wait(task, word + 1, (word + 2) & 0xffffff);
		}
		task->count.switches++;
	}
}

void pair_run_second(struct load_task *task)
{
	struct load_pair *pair = task->pair;
	uint32_t word = 0;

	for (uint64_t round = 0;; round++) {
		pair_turn(task, round, 1);
		if (pair_uses_pipe(round)) {
			if (!pair_read(task, pair->there[0], round, 0))
				return;
			pair_write(task, pair->back[1], round, 1);
		} else {
			if (pair_wait(task, word, word + 1) == STOP)
				return;
			word = (word + 2) & 0xffffff;
			pair_wake(pair, word);
		}
	}
}
