/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load of so many written pages a millisecond (one), and the work that gets done beside it, on one CPU:
 *
 *   pacer load PAGES SECONDS [RATE]    prints for each tenth of a second when it ended (CLOCK_MONOTONIC, ns) and how many rounds of work it had
 *   pacer drain BYTES                  reads standard input as a disk would: so many bytes a millisecond. Prints when it began and when it ended
 */
#include "guest_util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NS_PER_MS    1000000u
#define NS_PER_TENTH 100000000u
#define ROUND        1000u

static volatile uint64_t work;

static int fail(void)
{
	perror("pacer load PAGES SECONDS [RATE] | pacer drain BYTES");
	return 2;
}

static int load(uint64_t pages, uint64_t tenths, uint64_t ns_per_page)
{
	size_t bytes = pages * GUEST_PAGE_SIZE;
	volatile uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t start = guest_now_ns(), page = 0, rounds = 0;

	if (memory == MAP_FAILED || mlock((void *)(uintptr_t)memory, bytes) != 0)
		return fail();
	for (uint64_t tenth = 0; tenth < tenths;) {
		uint64_t now = guest_now_ns() - start;

		if (now / ns_per_page > page) {
			memory[page % pages * GUEST_PAGE_SIZE] = 1;
			page++;
		}
		if (now / NS_PER_TENTH > tenth) {
			printf("%" PRIu64 " %" PRIu64 "\n", now + start, rounds);
			rounds = 0;
			tenth++;
		}
		for (unsigned i = 0; i < ROUND; i++)
			work += i;
		rounds++;
	}
	return 0;
}

static int drain(size_t bytes)
{
	uint8_t *buffer = malloc(bytes);
	uint64_t start = 0, next = 0;
	ssize_t count;

	if (buffer == NULL)
		return fail();
	while ((count = read(STDIN_FILENO, buffer, bytes)) > 0) {
		uint64_t now = guest_now_ns();

		start = start == 0 ? now : start;
		next = (next < now ? now : next) + (uint64_t)count * NS_PER_MS / bytes;
		if (next > now)
			usleep((useconds_t)((next - now) / 1000));
	}
	printf("%" PRIu64 " %" PRIu64 "\n", start, guest_now_ns());
	return count < 0 ? fail() : 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 0, second = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	uint64_t rate = argc > 4 ? strtoull(argv[4], NULL, 0) : 1;

	if (first != 0 && second != 0 && rate != 0 && strcmp(argv[1], "load") == 0)
		return load(first, 10 * second, NS_PER_MS / rate);
	if (first != 0 && argc == 3 && strcmp(argv[1], "drain") == 0)
		return drain(first);
	return fail();
}
