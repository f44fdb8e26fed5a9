/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that write to few pages without a pause, while the same pages are moved under them, again and again. Each
 * word counts up and is compared before each write with what its thread remembers. So a write that went to a frame
 * after the page had left it is seen at the thread's next pass: a missing flush, a copy made too early, a page shown
 * too soon.
 *
 * The threads make no system call and never sleep, so that nothing but Scrim drops what their CPUs' TLBs hold. Owns the
 * order of the moves. Memory must be virtualized, and stays so: pages come home by a DEVIRTUALIZE that is aborted.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX     64u
#define PAGES_A_THREAD  24u /* fewer than any TLB holds */
#define WORDS           4u  /* counted in each page, spread over it */
#define STEP_MAX        16u
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FRAME   ((1ull << 55) - 1)

struct hammer_thread {
	pthread_t thread;
	unsigned index, cpu;
	volatile uint64_t *pages;
	_Atomic uint64_t passes;
};

struct hammer {
	uint64_t seed, random, seconds;
	unsigned threads, cpu_limit;
	struct hammer_thread thread[THREADS_MAX];
	uint64_t physical[THREADS_MAX * PAGES_A_THREAD];
	uint64_t moves, steps, came_home;
};

static _Atomic bool hammer_stop;

static volatile uint64_t *hammer_word(const struct hammer_thread *thread, unsigned page, unsigned word)
{
	return thread->pages + (page * GUEST_PAGE_SIZE + word * (GUEST_PAGE_SIZE / WORDS)) / sizeof(uint64_t);
}

static void hammer_pass(struct hammer_thread *thread, uint64_t pass)
{
	for (unsigned page = 0; page < PAGES_A_THREAD; page++)
		for (unsigned word = 0; word < WORDS; word++) {
			volatile uint64_t *at = hammer_word(thread, page, word);
			uint64_t expected = pass + ((uint64_t)(thread->index * PAGES_A_THREAD + page) << 48),
				 found = *at;

			if (found != expected) {
				fprintf(stderr,
					"hammer: WRONG: thread %u, page %u, word %u: found 0x%" PRIx64 ", expected 0x%" PRIx64 "\n",
					thread->index, page, word, found, expected);
				_exit(1);
			}
			*at = expected + 1;
		}
}

static void *hammer_run(void *context)
{
	struct hammer_thread *thread = context;

	thread->cpu = guest_pin_near(thread->cpu, guest_cpu_limit());
	for (uint64_t pass = 0; !hammer_stop; pass++) {
		hammer_pass(thread, pass);
		thread->passes = pass + 1;
	}
	return NULL;
}

static _Noreturn void hammer_fail(const char *what, uint64_t status, uint64_t result)
{
	fprintf(stderr, "hammer: %s: status %" PRIu64 ", result 0x%" PRIx64 "\n", what, status, result);
	_exit(1);
}

static uint64_t hammer_ask(const char *what, enum scrim_op op, uint64_t argument)
{
	struct scrim_reply reply = scrim_request(op, argument, 0);

	if (reply.status != SCRIM_OK)
		hammer_fail(what, reply.status, reply.result[0]);
	return reply.result[0];
}

static void hammer_find_pages(struct hammer *hammer)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (unsigned i = 0; i < hammer->threads * PAGES_A_THREAD; i++) {
		const struct hammer_thread *thread = &hammer->thread[i / PAGES_A_THREAD];
		uint64_t entry, number = (uint64_t)(uintptr_t)thread->pages / GUEST_PAGE_SIZE + i % PAGES_A_THREAD;

		if (pread(fd, &entry, sizeof(entry), (off_t)(number * sizeof(entry))) != sizeof(entry) ||
		    !(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_FRAME)) {
			fprintf(stderr, "hammer: a page has no address in /proc/self/pagemap; root is wanted\n");
			exit(1);
		}
		hammer->physical[i] = (entry & PAGEMAP_FRAME) * GUEST_PAGE_SIZE;
	}
	close(fd);
}

static void hammer_start(struct hammer *hammer)
{
	for (unsigned i = 0; i < hammer->threads; i++) {
		struct hammer_thread *thread = &hammer->thread[i];
		void *pages = mmap(NULL, PAGES_A_THREAD * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (pages == MAP_FAILED || mlock(pages, PAGES_A_THREAD * GUEST_PAGE_SIZE) != 0) {
			perror("hammer: memory");
			exit(1);
		}
		thread->pages = pages;
		thread->index = i;
		thread->cpu = i + 1;
		for (unsigned page = 0; page < PAGES_A_THREAD; page++)
			for (unsigned word = 0; word < WORDS; word++)
				*hammer_word(thread, page, word) = (uint64_t)(i * PAGES_A_THREAD + page) << 48;
	}
	hammer_find_pages(hammer);
	for (unsigned i = 0; i < hammer->threads; i++)
		if (pthread_create(&hammer->thread[i].thread, NULL, hammer_run, &hammer->thread[i]) != 0)
			exit(1);
}

/* Every page at a random moment; those that are displaced already are refused. */
static void hammer_move_all(struct hammer *hammer)
{
	unsigned pages = hammer->threads * PAGES_A_THREAD;

	for (unsigned i = 0; i < pages; i++) {
		uint64_t page = hammer->physical[guest_random(&hammer->random) % pages];
		struct scrim_reply reply = scrim_request(SCRIM_OP_MOVE, page, 0);

		if (reply.status != SCRIM_OK && reply.status != SCRIM_EDISPLACED)
			hammer_fail("MOVE", reply.status, page);
		hammer->moves += reply.status == SCRIM_OK;
	}
}

/* Some pages come home, in steps of random size; at least one stays, so that the state can go back without a switch. */
static void hammer_bring_some_home(struct hammer *hammer)
{
	uint64_t left = hammer_ask("INFO", SCRIM_OP_INFO, SCRIM_INFO_PAGES_DISPLACED), before = left;

	hammer_ask("DEVIRTUALIZE", SCRIM_OP_DEVIRTUALIZE, 0);
	while (left > STEP_MAX) {
		left = hammer_ask("STEP", SCRIM_OP_STEP, 1 + guest_random(&hammer->random) % STEP_MAX);
		hammer->steps++;
	}
	hammer_ask("ABORT", SCRIM_OP_ABORT, 0);
	hammer_ask("CHECK", SCRIM_OP_CHECK, 0);
	hammer->came_home += before - left;
}

static void hammer_report(const struct hammer *hammer)
{
	uint64_t passes = 0, fewest = UINT64_MAX;

	for (unsigned i = 0; i < hammer->threads; i++) {
		passes += hammer->thread[i].passes;
		if (hammer->thread[i].passes < fewest)
			fewest = hammer->thread[i].passes;
	}
	printf("{\"tool\": \"hammer\", \"seed\": %" PRIu64 ", \"threads\": %u, \"pages\": %u, \"moves\": %" PRIu64 ", \"steps\": %" PRIu64 ", "
	       "\"came_home\": %" PRIu64 ", \"verified\": %" PRIu64 ", \"fewest_passes\": %" PRIu64 ", \"wrong\": 0}\n",
	       hammer->seed, hammer->threads, hammer->threads * PAGES_A_THREAD, hammer->moves, hammer->steps,
	       hammer->came_home, passes * PAGES_A_THREAD * WORDS, fewest);
}

static void hammer_usage(void)
{
	puts("hammer [--threads N] [--seconds S] [--seed X]\n"
	     "N (CPUs less one) threads count in pages of their own while these are moved and brought home for S (10) "
	     "seconds.\n"
	     "Root only, on Scrim, in state virtualized with dma-free=all. Status 0: no write was lost.");
	exit(0);
}

static void hammer_parse(struct hammer *hammer, int argc, char **argv)
{
	uint64_t threads = hammer->cpu_limit > 1 ? hammer->cpu_limit - 1 : 1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--threads") == 0)
			threads = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seconds") == 0)
			hammer->seconds = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seed") == 0)
			hammer->seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--help") == 0)
			hammer_usage();
		else {
			fprintf(stderr, "hammer: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
	if (threads == 0 || threads > THREADS_MAX) {
		fprintf(stderr, "hammer: 1 to %u threads are wanted\n", THREADS_MAX);
		exit(2);
	}
	hammer->threads = (unsigned)threads;
	hammer->random = guest_mix(hammer->seed);
}

int main(int argc, char **argv)
{
	static struct hammer hammer = { .seed = 1, .seconds = 10 };
	uint64_t end;

	hammer.cpu_limit = guest_cpu_limit();
	hammer_parse(&hammer, argc, argv);
	if (ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) != 0) {
		fprintf(stderr, "hammer: ioperm: %s\n", strerror(errno));
		return 1;
	}
	if (hammer_ask("INFO", SCRIM_OP_INFO, SCRIM_INFO_STATE) != SCRIM_VIRTUALIZED) {
		fprintf(stderr, "hammer: memory is not virtualized\n");
		return 1;
	}
	guest_pin(0);
	hammer_start(&hammer);
	end = guest_now_ns() + hammer.seconds * 1000000000u;
	while (guest_now_ns() < end) {
		hammer_move_all(&hammer);
		hammer_bring_some_home(&hammer);
	}
	hammer_stop = true;
	for (unsigned i = 0; i < hammer.threads; i++)
		pthread_join(hammer.thread[i].thread, NULL);
	hammer_report(&hammer);
	return 0;
}
