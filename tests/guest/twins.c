/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that this program alone has, full of equal pages: what `scrimctl share` finds, and every byte of it known. All
 * of it is read again and again while its pages are scattered, shared and brought home; the first wrong byte ends the
 * program with status 1. Huge pages, so that whole ranges of physical memory are its own and nobody else writes there.
 *
 * With --writes some pages are written in each pass, with what they hold already: that ends a page's sharing and leaves
 * its twins as equal as before.
 */
#include "guest_util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_SIZE     (2u << 20)
#define WORDS         (GUEST_PAGE_SIZE / 8)
#define PAGEMAP_FRAME ((1ull << 55) - 1)

struct twins {
	uint64_t mib, of_a_kind, writes, random, passes, written;
	size_t pages;
	volatile uint64_t *memory;
};

static _Atomic bool twins_stop;

static void twins_end(int signal)
{
	(void)signal;
	twins_stop = true;
}

static uint64_t twins_word(const struct twins *twins, size_t page, unsigned word)
{
	return guest_mix((page % (twins->pages / twins->of_a_kind)) * WORDS + word + 1);
}

static void twins_fill(struct twins *twins)
{
	for (size_t page = 0; page < twins->pages; page++)
		for (unsigned word = 0; word < WORDS; word++)
			twins->memory[page * WORDS + word] = twins_word(twins, page, word);
}

static void twins_verify(const struct twins *twins, size_t page)
{
	for (unsigned word = 0; word < WORDS; word++) {
		uint64_t found = twins->memory[page * WORDS + word], expected = twins_word(twins, page, word);

		if (found == expected)
			continue;
		fprintf(stderr,
			"twins: WRONG: page %zu, word %u: found 0x%" PRIx64 ", expected 0x%" PRIx64 "; now 0x%" PRIx64
			"\n",
			page, word, found, expected, twins->memory[page * WORDS + word]);
		_exit(1);
	}
}

/* Some words of one page, written with what they hold. */
static void twins_write(struct twins *twins)
{
	size_t page = guest_random(&twins->random) % twins->pages;

	for (unsigned i = 0; i < 8; i++) {
		unsigned word = (unsigned)(guest_random(&twins->random) % WORDS);

		twins->memory[page * WORDS + word] = twins_word(twins, page, word);
	}
	twins_verify(twins, page);
	twins->written++;
}

static void twins_pass(struct twins *twins)
{
	uint64_t every = twins->writes != 0 ? twins->pages / twins->writes + 1 : 0;

	for (size_t page = 0; page < twins->pages; page++) {
		twins_verify(twins, page);
		if (every != 0 && page % every == 0)
			twins_write(twins);
	}
	twins->passes++;
	usleep(300000); /* it is the map that is tried here, not the scheduler */
}

static int twins_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Prints where the memory lies: physical ranges, ascending. */
static void twins_print_ranges(const struct twins *twins)
{
	size_t huge_pages = (size_t)twins->mib / 2;
	uint64_t *frames = calloc(huge_pages, sizeof(*frames)), start;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < huge_pages; i++) {
		uint64_t number = (uint64_t)(uintptr_t)twins->memory / GUEST_PAGE_SIZE + i * (HUGE_SIZE / GUEST_PAGE_SIZE);

		if (frames == NULL || pread(fd, &frames[i], sizeof(*frames), (off_t)(number * 8)) != 8 ||
		    (frames[i] & PAGEMAP_FRAME) == 0) {
			fprintf(stderr, "twins: a page has no address in /proc/self/pagemap; root is wanted\n");
			exit(1);
		}
		frames[i] = (frames[i] & PAGEMAP_FRAME) * GUEST_PAGE_SIZE;
	}
	close(fd);
	qsort(frames, huge_pages, sizeof(*frames), twins_compare);
	start = frames[0];
	for (size_t i = 1; i <= huge_pages; i++)
		if (i == huge_pages || frames[i] != frames[i - 1] + HUGE_SIZE) {
			printf("0x%" PRIx64 "-0x%" PRIx64 "\n", start, frames[i - 1] + HUGE_SIZE);
			start = i < huge_pages ? frames[i] : 0;
		}
	puts("ready");
	fflush(stdout);
	free(frames);
}

static void twins_usage(int status)
{
	puts("twins [--mib M] [--of-a-kind N] [--writes W]\n"
	     "M MiB (64) of huge pages hold each content N (4) times. All is verified until SIGTERM; W (0) pages are written "
	     "in each pass.\n"
	     "Prints the physical ranges first, a report last. Status 0: no wrong byte.");
	exit(status);
}

static void twins_parse(struct twins *twins, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--mib") == 0)
			twins->mib = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--of-a-kind") == 0)
			twins->of_a_kind = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--writes") == 0)
			twins->writes = guest_option_number(argc, argv, &i);
		else
			twins_usage(strcmp(argv[i], "--help") == 0 ? 0 : 2);
	}
	twins->pages = (size_t)(twins->mib << 20) / GUEST_PAGE_SIZE;
	if (twins->mib == 0 || twins->mib % 2 != 0 || twins->of_a_kind == 0 || twins->pages % twins->of_a_kind != 0)
		twins_usage(2);
}

int main(int argc, char **argv)
{
	static struct twins twins = { .mib = 64, .of_a_kind = 4, .random = 1 };

	twins_parse(&twins, argc, argv);
	signal(SIGTERM, twins_end);
	if (nice(10) == -1)
		perror("twins: nice");
	twins.memory = mmap(NULL, twins.mib << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (twins.memory == MAP_FAILED) {
		fprintf(stderr, "twins: %" PRIu64 " MiB of huge pages: %s; is hugepages= large enough?\n", twins.mib,
			strerror(errno));
		return 1;
	}
	twins_fill(&twins);
	twins_print_ranges(&twins);
	while (!twins_stop)
		twins_pass(&twins);
	twins_pass(&twins);
	printf("{\"tool\": \"twins\", \"mib\": %" PRIu64 ", \"passes\": %" PRIu64 ", \"written\": %" PRIu64
	       ", \"wrong\": 0}\n",
	       twins.mib, twins.passes, twins.written);
	return 0;
}
