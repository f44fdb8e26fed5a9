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
	uint64_t mib, pool, of_a_kind, writes, random, passes, written;
	size_t pages;
	volatile uint64_t **huge; /* in the order of their physical addresses */
};

struct twins_huge {
	uint64_t physical;
	void *memory;
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

static volatile uint64_t *twins_at(const struct twins *twins, size_t page, unsigned word)
{
	const size_t pages = HUGE_SIZE / GUEST_PAGE_SIZE;

	return twins->huge[page / pages] + page % pages * WORDS + word;
}

static void twins_fill(struct twins *twins)
{
	for (size_t page = 0; page < twins->pages; page++)
		for (unsigned word = 0; word < WORDS; word++)
			*twins_at(twins, page, word) = twins_word(twins, page, word);
}

static void twins_verify(const struct twins *twins, size_t page)
{
	for (unsigned word = 0; word < WORDS; word++) {
		uint64_t found = *twins_at(twins, page, word), expected = twins_word(twins, page, word);

		if (found == expected)
			continue;
		fprintf(stderr,
			"twins: WRONG: page %zu, word %u: found 0x%" PRIx64 ", expected 0x%" PRIx64 "; now 0x%" PRIx64
			"\n",
			page, word, found, expected, *twins_at(twins, page, word));
		_exit(1);
	}
}

/* Some words of one page, written with what they hold. */
static void twins_write(struct twins *twins)
{
	size_t page = (size_t)(guest_random(&twins->random) % twins->pages);

	for (unsigned i = 0; i < 8; i++) {
		unsigned word = (unsigned)(guest_random(&twins->random) % WORDS);

		*twins_at(twins, page, word) = twins_word(twins, page, word);
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
	uint64_t x = ((const struct twins_huge *)a)->physical, y = ((const struct twins_huge *)b)->physical;

	return x < y ? -1 : x > y;
}

static _Noreturn void twins_fail(const char *what)
{
	fprintf(stderr, "twins: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* All that the pool has, in physical order. */
static struct twins_huge *twins_map(size_t count)
{
	struct twins_huge *all = calloc(count, sizeof(*all));
	uint8_t *memory = mmap(NULL, count * HUGE_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (all == NULL || memory == MAP_FAILED || fd < 0)
		twins_fail("huge pages (is hugepages= large enough?)");
	for (size_t i = 0; i < count; i++) {
		uint64_t entry, number = ((uintptr_t)memory + i * HUGE_SIZE) / GUEST_PAGE_SIZE;

		if (pread(fd, &entry, sizeof(entry), (off_t)(number * sizeof(entry))) != sizeof(entry) ||
		    (entry & PAGEMAP_FRAME) == 0)
			twins_fail("/proc/self/pagemap (root is wanted)");
		all[i] = (struct twins_huge){ (entry & PAGEMAP_FRAME) * GUEST_PAGE_SIZE, memory + i * HUGE_SIZE };
	}
	close(fd);
	qsort(all, count, sizeof(*all), twins_compare);
	return all;
}

/* Keeps `count` huge pages that follow each other in physical memory; the others go back. Prints where they lie. */
static void twins_choose(struct twins *twins, struct twins_huge *all, size_t total, size_t count)
{
	size_t first = 0, length = 1;

	while (first + length < total && length < count) {
		if (all[first + length].physical == all[first].physical + length * HUGE_SIZE) {
			length++;
		} else {
			first += length;
			length = 1;
		}
	}
	errno = 0;
	if (length < count)
		twins_fail("the huge pages do not follow each other");
	twins->huge = calloc(count, sizeof(*twins->huge));
	if (twins->huge == NULL)
		twins_fail("no memory");
	for (size_t i = 0; i < total; i++) {
		if (i >= first && i < first + count)
			twins->huge[i - first] = all[i].memory;
		else
			munmap(all[i].memory, HUGE_SIZE);
	}
	printf("0x%" PRIx64 "-0x%" PRIx64 "\n", all[first].physical, all[first].physical + count * HUGE_SIZE);
	free(all);
}

static void twins_usage(int status)
{
	puts("twins [--mib M] [--pool P] [--of-a-kind N] [--writes W]\n"
	     "M MiB (64) of P MiB (M) of huge pages, those that follow each other in physical memory, hold each "
	     "content N (4) "
	     "times. All is verified until SIGTERM; W (0) pages are written "
	     "in each pass.\n"
	     "Prints the physical range first, a report last. Status 0: no wrong byte.");
	exit(status);
}

static void twins_parse(struct twins *twins, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--mib") == 0)
			twins->mib = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--pool") == 0)
			twins->pool = guest_option_number(argc, argv, &i);
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
	if (twins.pool < twins.mib)
		twins.pool = twins.mib;
	twins_choose(&twins, twins_map((size_t)twins.pool / 2), (size_t)twins.pool / 2, (size_t)twins.mib / 2);
	twins_fill(&twins);
	puts("ready");
	fflush(stdout);
	while (!twins_stop)
		twins_pass(&twins);
	twins_pass(&twins);
	printf("{\"tool\": \"twins\", \"mib\": %" PRIu64 ", \"passes\": %" PRIu64 ", \"written\": %" PRIu64
	       ", \"wrong\": 0}\n",
	       twins.mib, twins.passes, twins.written);
	return 0;
}
