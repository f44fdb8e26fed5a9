/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of a disk, past the page cache, of which every byte is known. Each thread writes a piece of its own part of
 * the disk, spoils its buffer, reads the piece back into it and compares. Runs until SIGTERM, then prints what came of
 * it as JSON; the exit status is 1 when a byte was wrong. A piece is two pages, so that a request names both itself.
 */
#include "guest_util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS     4u
#define PIECE       (2 * GUEST_PAGE_SIZE)
#define WORDS       (PIECE / sizeof(uint64_t))
#define WRONG_SHOWN 20u
#define SPOILT      0xa5

struct diskload_thread {
	pthread_t thread;
	int disk;
	uint64_t first, pieces; /* its part of the disk, in pieces */
	uint64_t random, verified;
	uint64_t *buffer;
};

static _Atomic bool diskload_stop;
static _Atomic uint64_t diskload_wrong;

static _Noreturn void diskload_fail(const char *what)
{
	fprintf(stderr, "diskload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_end(int signal)
{
	(void)signal;
	diskload_stop = true;
}

static uint64_t word_of(uint64_t number, size_t i)
{
	return guest_mix(number + i);
}

static void compare(struct diskload_thread *thread, uint64_t number, uint64_t piece)
{
	size_t i = 0;

	while (i < WORDS && thread->buffer[i] == word_of(number, i))
		i++;
	if (i == WORDS)
		thread->verified += PIECE;
	else if (diskload_wrong++ < WRONG_SHOWN)
		fprintf(stderr,
			"diskload: WRONG: byte %zu of piece %" PRIu64 ": found 0x%" PRIx64 ", expected 0x%" PRIx64 "\n",
			i * sizeof(uint64_t), piece, thread->buffer[i], word_of(number, i));
}

static void *run(void *context)
{
	struct diskload_thread *thread = context;

	while (!diskload_stop) {
		uint64_t number = guest_random(&thread->random), piece = thread->first + number % thread->pieces;

		for (size_t i = 0; i < WORDS; i++)
			thread->buffer[i] = word_of(number, i);
		if (pwrite(thread->disk, thread->buffer, PIECE, (off_t)(piece * PIECE)) != PIECE)
			diskload_fail("write");
		memset(thread->buffer, SPOILT, PIECE);
		if (pread(thread->disk, thread->buffer, PIECE, (off_t)(piece * PIECE)) != PIECE)
			diskload_fail("read");
		compare(thread, number, piece);
	}
	return NULL;
}

static void start(struct diskload_thread *thread, unsigned index)
{
	thread->first = index * thread->pieces;
	thread->random = index;
	thread->buffer = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (thread->buffer == MAP_FAILED || mlock(thread->buffer, PIECE) != 0)
		diskload_fail("memory");
	if (pthread_create(&thread->thread, NULL, run, thread) != 0)
		diskload_fail("thread");
}

int main(int argc, char **argv)
{
	static struct diskload_thread thread[THREADS];
	uint64_t verified = 0;

	if (argc != 2) {
		fputs("diskload DISK\n"
		      "Writes a disk and reads it back until SIGTERM, every byte verified. What was on it is lost.\n",
		      stderr);
		return 2;
	}
	int disk = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	off_t bytes = disk < 0 ? -1 : lseek(disk, 0, SEEK_END);
	if (bytes < (off_t)(THREADS * PIECE))
		diskload_fail(argv[1]);
	signal(SIGTERM, on_end);
	for (unsigned i = 0; i < THREADS; i++) {
		thread[i] = (struct diskload_thread){ .disk = disk, .pieces = (uint64_t)bytes / PIECE / THREADS };
		start(&thread[i], i);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i].thread, NULL);
		verified += thread[i].verified;
	}
	printf("{\"tool\": \"diskload\", \"wrong\": %" PRIu64 ", \"bytes_verified\": %" PRIu64 "}\n",
	       (uint64_t)diskload_wrong, verified);
	return diskload_wrong == 0 ? 0 : 1;
}
