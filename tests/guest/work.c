/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fixed loads whose instructions are counted: on the bare machine, on Scrim, under another VMM.
 *
 * Owns the definition of "the same work": fixed operations, no time limits, one thread, one CPU, no address-space
 * randomization, no transparent huge pages, all memory touched before its section is timed unless touching is the work.
 * Under `-icount shift=0` the TSC counts instructions (to a fixed factor), so the deltas compare two machines.
 * Each load checks what it reads as far as that costs little beside the work, and folds the rest into a checksum that
 * must be the same everywhere. Memory that is verified to the last byte is what `load` is for.
 */
#include "guest_util.h"
#include "work_around.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH_BYTES    (8u << 20)
#define SYSCALLS      200000u
#define EXECS         300u
#define FAULTS        65536u
#define FAULT_BATCH   512u /* pages of one mmap */
#define COW_FORKS     4u
#define COW_PAGES     4096u /* written by the child of each fork */
#define ROUND_TRIPS   10000u
#define READS         2000000u
#define SHORT_TURNS   8u      /* the first ones */
#define SHORT_TURN    20000u  /* reads between two turns of another process */
#define LONG_TURN     100000u
#define READ_BYTES    (64u << 20)
#define PROTECTS      200u /* two mprotects each */
#define PROTECT_PAGES 4096u
#define CHUNK_BYTES   (64u << 10)
#define FILL_SEED     7u
#define EXIT_OPTION   "--exit"

/* A process on the other end of two pipes, which answers each word with the next of a sequence. */
struct partner {
	int to, from;
	pid_t child;
};

struct work {
	uint64_t percent;
	uint64_t checksum;
	uint64_t operations; /* of the section that ran last */
	const char *around;  /* command that looks at counters, or NULL */
	struct partner partner; /* of the sections that have one */
};

struct section {
	const char *name;
	void (*run)(struct work *work, uint8_t *memory);
	size_t memory_bytes; /* filled before the section starts; 0 for none */
	bool by_kernel; /* filled and put into the page tables by the kernel: the section's accesses are the first */
	bool has_partner; /* which is there before and after */
};

static void work_fold(struct work *work, uint64_t value)
{
	work->checksum = guest_mix(work->checksum ^ value);
}

/* So many of an operation as the percentage leaves of `all`, one at least. */
static uint64_t work_count(const struct work *work, uint64_t all)
{
	uint64_t count = all * work->percent / 100;

	return count > 0 ? count : 1;
}

static uint8_t *work_map(size_t bytes)
{
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	work_require(memory != MAP_FAILED, "mmap");
	return memory;
}

/* A compression of eight 32-bit words in the manner of SHA-2: rotations, additions, choice and majority. */
static void run_hash(struct work *work, uint8_t *memory)
{
	uint32_t s[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	size_t words = (size_t)work_count(work, HASH_BYTES / 4);

	for (size_t i = 0; i < words; i++) {
		uint32_t word, t1, t2;

		memcpy(&word, memory + i * 4, 4);
		t1 = s[7] + ((s[4] >> 6 | s[4] << 26) ^ (s[4] >> 11 | s[4] << 21)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) +
		     word;
		t2 = ((s[0] >> 2 | s[0] << 30) ^ (s[0] >> 13 | s[0] << 19)) +
		     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof(s[0]));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		work_fold(work, s[i]);
	work->operations = words;
}

static void run_syscall(struct work *work, uint8_t *memory)
{
	long first = syscall(SYS_getppid);

	(void)memory;
	work->operations = work_count(work, SYSCALLS);
	for (uint64_t i = 0; i < work->operations; i++)
		work_require(syscall(SYS_getppid) == first, "getppid");
}

/* The program that is started is this one, told to end at once with a status. */
static void work_exec_exit(unsigned code)
{
	char option[] = EXIT_OPTION, text[12], name[] = "work";
	char *argv[] = { name, option, text, NULL };

	snprintf(text, sizeof(text), "%u", code);
	execv("/proc/self/exe", argv);
	_exit(255);
}

static void run_exec(struct work *work, uint8_t *memory)
{
	(void)memory;
	work->operations = work_count(work, EXECS);
	for (uint64_t i = 0; i < work->operations; i++) {
		unsigned code = (unsigned)(i & 0x7f);
		int status;
		pid_t child = fork();

		work_require(child >= 0, "fork");
		if (child == 0)
			work_exec_exit(code);
		work_require(waitpid(child, &status, 0) == child, "waitpid");
		work_require(WIFEXITED(status) && WEXITSTATUS(status) == (int)code, "the program started");
		work_fold(work, (uint64_t)WEXITSTATUS(status));
	}
}

/* The word at an offset of memory that work_fill_words has filled. */
static uint64_t work_word_at(size_t offset)
{
	uint64_t state = FILL_SEED + offset / 8 * GUEST_RANDOM_STEP;

	return guest_random(&state);
}

/* The child writes the first word of each page, and finds it and, behind it, what its parent had written. */
static int work_cow_child(uint8_t *memory, uint64_t pages, uint64_t key)
{
	for (size_t at = 0; at < pages * GUEST_PAGE_SIZE; at += GUEST_PAGE_SIZE) {
		uint64_t word = at ^ key;

		memcpy(memory + at, &word, 8);
	}
	for (size_t at = 0; at < pages * GUEST_PAGE_SIZE; at += GUEST_PAGE_SIZE) {
		uint64_t words[2];

		memcpy(words, memory + at, 16);
		if (words[0] != (at ^ key) || words[1] != work_word_at(at + 8))
			return 1;
	}
	return 0;
}

static void run_cow(struct work *work, uint8_t *memory)
{
	uint64_t pages = work_count(work, COW_PAGES);

	for (unsigned i = 0; i < COW_FORKS; i++) {
		int status;
		pid_t child = fork();

		work_require(child >= 0, "fork");
		if (child == 0)
			_exit(work_cow_child(memory, pages, guest_mix(i + 1)));
		work_require(waitpid(child, &status, 0) == child && status == 0, "the child that writes");
		for (size_t at = 0; at < pages * GUEST_PAGE_SIZE; at += GUEST_PAGE_SIZE) {
			uint64_t word;

			memcpy(&word, memory + at, 8);
			work_require(word == work_word_at(at), "the parent's memory");
		}
	}
	work_fold(work, pages);
	work->operations = COW_FORKS * pages;
}

static void run_fault(struct work *work, uint8_t *memory)
{
	uint64_t batches = work_count(work, FAULTS / FAULT_BATCH);

	(void)memory;
	for (uint64_t i = 0; i < batches; i++) {
		volatile uint8_t *batch = work_map(FAULT_BATCH * GUEST_PAGE_SIZE);

		for (unsigned page = 0; page < FAULT_BATCH; page++)
			batch[page * GUEST_PAGE_SIZE] = (uint8_t)(page + i);
		for (unsigned page = 0; page < FAULT_BATCH; page++)
			work_require(batch[page * GUEST_PAGE_SIZE] == (uint8_t)(page + i), "a new page");
		work_require(munmap((void *)(uintptr_t)batch, FAULT_BATCH * GUEST_PAGE_SIZE) == 0, "munmap");
	}
	work_fold(work, batches);
	work->operations = batches * FAULT_BATCH;
}

static void partner_begin(struct partner *partner)
{
	int there[2], back[2];
	uint32_t word;

	work_require(pipe(there) == 0 && pipe(back) == 0, "pipe");
	partner->child = fork();
	work_require(partner->child >= 0, "fork");
	/* Each keeps its own ends alone: it is told where the other has gone. */
	close(there[partner->child > 0 ? 0 : 1]);
	close(back[partner->child > 0 ? 1 : 0]);
	if (partner->child > 0) {
		partner->to = there[1];
		partner->from = back[0];
		return;
	}
	while (read(there[0], &word, sizeof(word)) == sizeof(word)) {
		word = word * 1664525u + 1013904223u;
		if (write(back[1], &word, sizeof(word)) != sizeof(word))
			_exit(1);
	}
	_exit(0);
}

/* Two switches: there and back, on one CPU. */
static uint32_t partner_turn(const struct partner *partner, uint32_t word)
{
	work_require(write(partner->to, &word, sizeof(word)) == sizeof(word), "write to a pipe");
	work_require(read(partner->from, &word, sizeof(word)) == sizeof(word), "read from a pipe");
	return word;
}

static void partner_end(const struct partner *partner)
{
	int status;

	close(partner->to);
	work_require(waitpid(partner->child, &status, 0) == partner->child && status == 0, "the child of the pipes");
	close(partner->from);
}

static void run_pipe(struct work *work, uint8_t *memory)
{
	uint32_t word = 1;

	(void)memory;
	work->operations = work_count(work, ROUND_TRIPS);
	for (uint64_t i = 0; i < work->operations; i++)
		word = partner_turn(&work->partner, word);
	work_fold(work, word);
}

/*
 * Another process has its turn now and then, as on any machine in use. And an emulator gives its TLB the size that the
 * accesses ask for only where the TLB is flushed, at most twice the size at a time: with no switch at all, what the
 * emulator takes would depend on whether a VMM happens to flush. So the first turns come soon after one another.
 */
static void run_read(struct work *work, uint8_t *memory)
{
	uint64_t state = 1, sum = 0;
	uint32_t turn = 1;

	work->operations = work_count(work, READS);
	for (uint64_t left = work->operations, some, turns = 0; left > 0; left -= some) {
		turn = partner_turn(&work->partner, turn);
		some = turns++ < SHORT_TURNS ? SHORT_TURN : LONG_TURN;
		if (some > left)
			some = left;
		for (uint64_t i = 0; i < some; i++) {
			uint64_t word, at;

			state = state * 6364136223846793005u + 1442695040888963407u;
			at = (state >> 32) % (READ_BYTES / 8);
			memcpy(&word, memory + at * 8, 8);
			sum += word;
		}
	}
	work_fold(work, sum ^ turn);
}

/* Another page in each round: the factor is odd, the pages are a power of two. */
static size_t work_protect_offset(uint64_t round)
{
	return round * 7919 % PROTECT_PAGES * GUEST_PAGE_SIZE;
}

static void run_mprotect(struct work *work, uint8_t *memory)
{
	size_t bytes = PROTECT_PAGES * GUEST_PAGE_SIZE;
	uint64_t rounds = work_count(work, PROTECTS), last = 0, again = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		uint8_t *at = memory + work_protect_offset(i);
		uint64_t word;

		work_require(mprotect(memory, bytes, PROT_READ) == 0, "mprotect");
		memcpy(&word, at, 8);
		work_require(word == work_word_at(work_protect_offset(i)), "a page made read-only");
		work_require(mprotect(memory, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
		last ^= word;
		memcpy(at + 8, &last, 8);
	}
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t words[2];

		memcpy(words, memory + work_protect_offset(i), 16);
		again ^= words[0];
		work_require(words[1] == again, "a page made writable");
	}
	work_fold(work, last);
	work->operations = 2 * rounds;
}

static const struct section sections[] = {
	{ .name = "hash", .run = run_hash, .memory_bytes = HASH_BYTES },
	{ .name = "exec", .run = run_exec },
	{ .name = "fault", .run = run_fault },
	{ .name = "cow", .run = run_cow, .memory_bytes = COW_PAGES * GUEST_PAGE_SIZE },
	{ .name = "mprotect", .run = run_mprotect, .memory_bytes = PROTECT_PAGES * GUEST_PAGE_SIZE },
	{ .name = "syscall", .run = run_syscall },
	{ .name = "pipe", .run = run_pipe, .has_partner = true },
	{ .name = "read", .run = run_read, .memory_bytes = READ_BYTES, .by_kernel = true, .has_partner = true },
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static void work_fill_words(uint8_t *memory, size_t bytes, uint64_t *state)
{
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t word = guest_random(state);

		memcpy(memory + i, &word, 8);
	}
}

/* The kernel copies the words into a file of memory, and maps it with every page present: no access through the
 * mapping. */
static uint8_t *work_map_by_kernel(size_t bytes)
{
	uint64_t state = FILL_SEED;
	uint8_t *chunk = work_map(CHUNK_BYTES), *memory;
	int file = memfd_create("work", 0);

	work_require(file >= 0, "memfd_create");
	for (size_t done = 0; done < bytes; done += CHUNK_BYTES) {
		work_fill_words(chunk, CHUNK_BYTES, &state);
		work_require(write(file, chunk, CHUNK_BYTES) == CHUNK_BYTES, "write to a memory file");
	}
	memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
	work_require(memory != MAP_FAILED, "mmap of a memory file");
	close(file);
	munmap(chunk, CHUNK_BYTES);
	return memory;
}

/* TSC ticks of one section; the memory that it works on is filled before and freed after. */
static uint64_t work_run_section(struct work *work, const struct section *section)
{
	uint64_t state = FILL_SEED, start, ticks;
	uint8_t *memory = NULL;

	if (section->by_kernel)
		memory = work_map_by_kernel(section->memory_bytes);
	else if (section->memory_bytes > 0) {
		memory = work_map(section->memory_bytes);
		work_fill_words(memory, section->memory_bytes, &state);
	}
	if (section->has_partner)
		partner_begin(&work->partner);
	work_look(work->around);
	work_look(work->around);
	work_settle();
	start = guest_tsc();
	section->run(work, memory);
	ticks = guest_tsc() - start;
	work_look(work->around);
	if (section->has_partner)
		partner_end(&work->partner);
	if (memory != NULL)
		munmap(memory, section->memory_bytes);
	return ticks;
}

static const struct section *work_find_section(const char *name)
{
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		if (strcmp(sections[i].name, name) == 0)
			return &sections[i];
	fprintf(stderr, "work: no section %s; there are:", name);
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		fprintf(stderr, " %s", sections[i].name);
	fputc('\n', stderr);
	exit(2);
}

static void work_usage(void)
{
	puts("work [--section NAME] [--percent P] [--around COMMAND]\n"
	     "Runs the fixed loads (P percent of the operations; 100) and prints TSC ticks of each as one line of "
	     "JSON.\n"
	     "COMMAND is run twice right before each load, so that what it costs itself is known, and once right "
	     "after.");
	exit(0);
}

static const struct section *work_parse(int argc, char **argv, struct work *work)
{
	const struct section *only = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], EXIT_OPTION) == 0)
			_exit((int)guest_option_number(argc, argv, &i));
		else if (strcmp(argv[i], "--percent") == 0)
			work->percent = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--section") == 0 && i + 1 < argc)
			only = work_find_section(argv[++i]);
		else if (strcmp(argv[i], "--around") == 0 && i + 1 < argc)
			work->around = argv[++i];
		else if (strcmp(argv[i], "--help") == 0)
			work_usage();
		else {
			fprintf(stderr, "work: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
	/* More than all would leave the memory that the sections work on. */
	if (work->percent < 1 || work->percent > 100) {
		fputs("work: --percent takes 1 to 100\n", stderr);
		exit(2);
	}
	return only;
}

static void work_print_numbers(const char *name, const uint64_t *numbers, const bool *ran)
{
	const char *separator = "";

	printf(", \"%s\": {", name);
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		if (ran[i]) {
			printf("%s\"%s\": %" PRIu64, separator, sections[i].name, numbers[i]);
			separator = ", ";
		}
	putchar('}');
}

int main(int argc, char **argv)
{
	struct work work = { .percent = 100 };
	const struct section *only = work_parse(argc, argv, &work);
	uint64_t ticks[SECTION_COUNT] = { 0 }, operations[SECTION_COUNT] = { 0 }, total = 0;
	bool fixed = work_fix_addresses(argv), ran[SECTION_COUNT];

	work_require(guest_pin_near(0, guest_cpu_limit()) < guest_cpu_limit(), "pinning to a CPU");
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		ran[i] = only == NULL || only == &sections[i];
		if (ran[i]) {
			total += ticks[i] = work_run_section(&work, &sections[i]);
			operations[i] = work.operations;
		}
	}
	printf("{\"tool\": \"work\", \"percent\": %" PRIu64 ", \"fixed_addresses\": %s", work.percent,
	       fixed ? "true" : "false");
	work_print_numbers("sections", ticks, ran);
	work_print_numbers("operations", operations, ran);
	printf(", \"total\": %" PRIu64 ", \"checksum\": \"%016" PRIx64 "\"}\n", total, work.checksum);
	return 0;
}
