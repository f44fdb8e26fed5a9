/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory in which every page has one other that is equal to it:
 *
 *   equal PAGES          fills so many pages, an even number, prints "ready" and sleeps until it is killed
 *   equal PAGES merge    the same, after the kernel has been told that it may merge them (KSM)
 */
#include "guest_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uint64_t pages = argc > 1 ? strtoull(argv[1], NULL, 0) : 0, words = GUEST_PAGE_SIZE / sizeof(uint64_t);
	bool merges = argc == 3 && strcmp(argv[2], "merge") == 0;

	if (pages == 0 || pages % 2 != 0 || (argc > 2 && !merges)) {
		fprintf(stderr, "equal PAGES [merge]\n");
		return 2;
	}
	uint64_t *memory = mmap(NULL, pages * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || (merges && madvise(memory, pages * GUEST_PAGE_SIZE, MADV_MERGEABLE) != 0)) {
		perror("equal");
		return 1;
	}
	for (uint64_t page = 0; page < pages; page++)
		for (uint64_t i = 0; i < words; i++)
			memory[page * words + i] = (page % (pages / 2) + 1) * 0x9e3779b97f4a7c15ull + i;
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
