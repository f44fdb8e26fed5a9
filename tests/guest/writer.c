/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes to some of its pages and reads the others: `writer PAGES SEED GO`. It has all of them in memory first and prints `ready`, waits for
 * the file GO, then writes to those that the seed chooses, about one in three, and reads all. Keeps them until GO is gone: others would write to them.
 * Prints for each page its physical address, and w where it has written to it. Ends with status 3 where the OS has moved a page meanwhile.
 */
#include "guest_util.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PFN_MASK ((1ull << 55) - 1)
#define POLL_US  20000

static bool read_frames(const volatile uint8_t *memory, size_t pages, uint64_t *frames)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)memory / GUEST_PAGE_SIZE * sizeof(*frames));
	ssize_t bytes = (ssize_t)(pages * sizeof(*frames));
	bool good = fd >= 0 && pread(fd, frames, (size_t)bytes, at) == bytes;

	if (fd >= 0)
		close(fd);
	for (size_t i = 0; good && i < pages; i++)
		frames[i] = (frames[i] & PFN_MASK) * GUEST_PAGE_SIZE;
	return good;
}

int main(int argc, char **argv)
{
	size_t pages = argc == 4 ? strtoul(argv[1], NULL, 0) : 0, bytes = pages * GUEST_PAGE_SIZE;
	uint64_t seed = argc == 4 ? strtoull(argv[2], NULL, 0) : 0, sum = 0;
	uint64_t *before = calloc(pages + 1, sizeof(*before)), *after = calloc(pages + 1, sizeof(*after));
	volatile uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == 0 || before == NULL || after == NULL || memory == MAP_FAILED || mlock((void *)(uintptr_t)memory, bytes) != 0) {
		fputs("writer PAGES SEED GO\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < bytes; i += GUEST_PAGE_SIZE)
		memory[i] = 1;
	if (!read_frames(memory, pages, before))
		return 2;
	puts("ready");
	fflush(stdout);
	while (access(argv[3], F_OK) != 0)
		usleep(POLL_US);
	for (size_t i = 0; i < pages; i++) {
		if (guest_mix(seed + i) % 3 == 0)
			memory[i * GUEST_PAGE_SIZE + 8] = 2;
		sum += memory[i * GUEST_PAGE_SIZE];
	}
	puts("written");
	fflush(stdout);
	while (access(argv[3], F_OK) == 0)
		usleep(POLL_US);
	if (!read_frames(memory, pages, after) || sum != pages)
		return 2;
	for (size_t i = 0; i < pages; i++) {
		if (before[i] != after[i])
			return 3;
		printf("0x%" PRIx64 "%s\n", before[i], guest_mix(seed + i) % 3 == 0 ? " w" : "");
	}
	return 0;
}
