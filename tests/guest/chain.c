/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A causal chain across pages and CPUs, and the judge of whether an image of memory is of one instant.
 *
 *   chain run THREADS PAGES SECONDS    writes; prints the mark by which its pages are found, then runs
 *   chain check MARK PAGES             reads an image from standard input
 *   chain check-kcore MARK PAGES       reads /proc/kcore, that is memory as it changes, one page after another
 *
 * Each page has a stamp that only grows and is written by one thread alone. A thread reads the stamp s of any page p, then
 * records (p, s) in a page of its own, then gives that page a stamp larger than s and than all that it has given before. So in
 * memory as of one instant page p has, for each record (p, s) anywhere, a stamp of at least s (stores and loads of
 * a CPU keep this order, AMD APM vol. 2, 7.2). A record of a stamp that page p does not have yet comes from the future. Each page
 * keeps its last records, of many pages, so that pages that are not of one instant surely contradict each other.
 */
#include "guest_util.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RECORDS      509
#define PAGE_BITS    16
#define PAGES_MAX    (1u << PAGE_BITS)
#define THREADS_MAX  64
#define READ_PAGES   64u

/* The mark comes first, so that a page is known by its first word. A record is one word: it is never half there. */
struct chain_page {
	uint64_t mark;
	uint64_t index;
	volatile uint64_t stamp;
	volatile uint64_t record[RECORDS]; /* stamp << PAGE_BITS | page; 0: none yet */
};
_Static_assert(sizeof(struct chain_page) == GUEST_PAGE_SIZE, "one page");

struct chain {
	uint64_t mark;
	unsigned threads, pages;
	volatile bool stop;
	struct chain_page *page;
};

struct writer {
	struct chain *chain;
	unsigned number;
	uint64_t writes;
};

static void *write_chain(void *argument)
{
	struct writer *writer = argument;
	const struct chain *chain = writer->chain;
	uint64_t random = writer->number, clock = 0;

	guest_pin_near(writer->number, guest_cpu_limit());
	while (!chain->stop) {
		uint64_t number = guest_random(&random);
		unsigned from = (unsigned)(number % chain->pages);
		unsigned own = (unsigned)(number >> 32) % (chain->pages / chain->threads) * chain->threads + writer->number;
		struct chain_page *page = &chain->page[own];
		uint64_t seen = chain->page[from].stamp;

		page->record[(number >> 16) % RECORDS] = seen << PAGE_BITS | from;
		clock = (seen > clock ? seen : clock) + 1;
		page->stamp = clock;
		writer->writes++;
	}
	return NULL;
}

static int run(struct chain *chain, unsigned seconds)
{
	struct writer writers[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	const size_t bytes = (size_t)chain->pages * GUEST_PAGE_SIZE;
	uint64_t writes = 0;

	chain->mark = guest_mix(guest_tsc()) | 1;
	chain->page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chain->page == MAP_FAILED || mlock(chain->page, bytes) != 0) {
		perror("chain: memory");
		return 2;
	}
	for (unsigned i = 0; i < chain->pages; i++) {
		chain->page[i].mark = chain->mark;
		chain->page[i].index = i;
	}
	printf("mark 0x%" PRIx64 "\n", chain->mark);
	fflush(stdout);
	for (unsigned i = 0; i < chain->threads; i++) {
		writers[i] = (struct writer){ .chain = chain, .number = i };
		if (pthread_create(&threads[i], NULL, write_chain, &writers[i]) != 0) {
			perror("chain: thread");
			return 2;
		}
	}
	sleep(seconds);
	chain->stop = true;
	for (unsigned i = 0; i < chain->threads; i++) {
		pthread_join(threads[i], NULL);
		writes += writers[i].writes;
	}
	printf("%" PRIu64 " writes\n", writes);
	return 0;
}

/* --- the judge --- */

/* What has been seen of an image. Copies hold 0 for the mark, so that they are not taken for pages of the chain. */
struct judge {
	uint64_t mark;
	unsigned pages;
	struct chain_page *seen;
	uint64_t *times; /* that a page was met */
};

/* Of two copies of a page (the OS has moved it, or a pipe holds one) the later one is what the program had. */
static void judge_page(struct judge *judge, const void *bytes)
{
	const struct chain_page *page = bytes;

	if (page->mark != judge->mark || page->index >= judge->pages)
		return;
	if (judge->times[page->index]++ != 0 && judge->seen[page->index].stamp > page->stamp)
		return;
	memcpy(&judge->seen[page->index], bytes, GUEST_PAGE_SIZE);
	judge->seen[page->index].mark = 0;
}

static int judge_all(const struct judge *judge)
{
	uint64_t missing = 0, records = 0, future = 0, furthest = 0;

	for (unsigned i = 0; i < judge->pages; i++) {
		missing += judge->times[i] == 0;
		for (unsigned j = 0; j < RECORDS; j++) {
			uint64_t record = judge->seen[i].record[j], seen = record >> PAGE_BITS;
			uint64_t stamp = judge->seen[record % PAGES_MAX % judge->pages].stamp;

			records += record != 0;
			if (seen <= stamp)
				continue;
			future++;
			furthest = seen - stamp > furthest ? seen - stamp : furthest;
		}
	}
	printf("pages %u missing %" PRIu64 " records %" PRIu64 " future %" PRIu64 " furthest %" PRIu64 "\n", judge->pages, missing,
	       records, future, furthest);
	return missing != 0 || records == 0 ? 2 : future != 0;
}

/* Reads whole pages; what is left at the end is no page. */
static bool judge_stream(struct judge *judge, int fd, uint64_t bytes)
{
	static uint8_t buffer[READ_PAGES * GUEST_PAGE_SIZE] __attribute__((aligned(GUEST_PAGE_SIZE)));
	size_t used = 0;

	while (bytes != 0) {
		size_t room = sizeof(buffer) - used;
		ssize_t count = read(fd, buffer + used, bytes < room ? (size_t)bytes : room);

		if (count < 0)
			return false;
		if (count == 0)
			return true;
		used += (size_t)count;
		bytes -= (uint64_t)count;
		if (used < sizeof(buffer) && bytes != 0)
			continue;
		for (size_t at = 0; at + GUEST_PAGE_SIZE <= used; at += GUEST_PAGE_SIZE)
			judge_page(judge, buffer + at);
		/* No copy stays that a later look at memory would meet. */
		memset(buffer, 0, sizeof(buffer));
		used = 0;
	}
	return true;
}

/* Every segment that is physical memory, the direct map's; in what the kernel's own text has there is no page of ours. */
static bool judge_kcore(struct judge *judge)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;
	Elf64_Phdr entry;

	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)header.e_phoff + (off_t)i * (off_t)sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			return false;
		if (entry.p_type != PT_LOAD || entry.p_paddr == UINT64_MAX || lseek(fd, (off_t)entry.p_offset, SEEK_SET) < 0)
			continue;
		if (!judge_stream(judge, fd, entry.p_filesz))
			return false;
	}
	close(fd);
	return true;
}

static int check(const struct chain *chain, bool kcore)
{
	struct judge judge = { .mark = chain->mark, .pages = chain->pages };

	judge.seen = calloc(chain->pages, sizeof(*judge.seen));
	judge.times = calloc(chain->pages, sizeof(*judge.times));
	if (judge.seen == NULL || judge.times == NULL || !(kcore ? judge_kcore(&judge) : judge_stream(&judge, 0, UINT64_MAX))) {
		perror("chain: cannot read the memory");
		return 2;
	}
	return judge_all(&judge);
}

static void usage(void)
{
	fputs("chain run THREADS PAGES SECONDS | chain check MARK PAGES <IMAGE | chain check-kcore MARK PAGES\n"
	      "Exit status of a check: 0 memory as of one instant, 1 pages from the future, 2 not all pages are there.\n",
	      stderr);
	exit(2);
}

static uint64_t number_of(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end == text || *end != '\0')
		usage();
	return value;
}

int main(int argc, char **argv)
{
	struct chain chain = { 0 };
	bool kcore;

	if (argc == 5 && strcmp(argv[1], "run") == 0) {
		chain.threads = (unsigned)number_of(argv[2]);
		chain.pages = (unsigned)number_of(argv[3]);
		if (chain.threads < 1 || chain.threads > THREADS_MAX || chain.pages % chain.threads != 0 ||
		    chain.pages < chain.threads || chain.pages > PAGES_MAX)
			usage();
		return run(&chain, (unsigned)number_of(argv[4]));
	}
	if (argc != 4)
		usage();
	kcore = strcmp(argv[1], "check-kcore") == 0;
	if (!kcore && strcmp(argv[1], "check") != 0)
		usage();
	chain.mark = number_of(argv[2]);
	chain.pages = (unsigned)number_of(argv[3]);
	if (chain.pages < 1 || chain.pages > PAGES_MAX)
		usage();
	return check(&chain, kcore);
}
