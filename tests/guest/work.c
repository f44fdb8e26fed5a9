/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fixed workload whose instructions are counted, on Scrim and on the bare machine.
 *
 * Owns the definition of "the same work": fixed operations, no time limits, one thread, one CPU, no address-space
 * randomization, no transparent huge pages, all memory touched before its section is timed unless touching is the work.
 * Under `-icount shift=0` the TSC counts instructions (to a fixed factor), so the deltas compare two machines.
 * Does not verify memory beyond a checksum: that is what `load` is for.
 */
#include "guest_util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH_BYTES    (8u << 20)
#define SYSCALLS      20000u
#define FORKS         200u
#define FAULTS        20000u
#define FAULT_BATCH   500u /* pages of one mmap */
#define SWITCHES      20000u
#define READS         1000000u
#define READ_BYTES    (64u << 20)
#define PROTECTS      2000u
#define PROTECT_PAGES 256u

struct work {
	uint64_t scale;
	uint64_t checksum;
};

struct section {
	const char *name;
	void (*run)(struct work *work, uint8_t *memory);
	size_t memory_bytes; /* touched before the section starts; 0 for none */
};

static void work_require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "work: %s failed\n", what);
	exit(1);
}

static void work_fold(struct work *work, uint64_t value)
{
	work->checksum = guest_mix(work->checksum ^ value);
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

	for (uint64_t round = 0; round < work->scale; round++)
		for (size_t i = 0; i < HASH_BYTES; i += 4) {
			uint32_t word, t1, t2;

			memcpy(&word, memory + i, 4);
			t1 = s[7] + ((s[4] >> 6 | s[4] << 26) ^ (s[4] >> 11 | s[4] << 21)) +
			     ((s[4] & s[5]) ^ (~s[4] & s[6])) + word;
			t2 = ((s[0] >> 2 | s[0] << 30) ^ (s[0] >> 13 | s[0] << 19)) +
			     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
			memmove(s + 1, s, 7 * sizeof(s[0]));
			s[4] += t1;
			s[0] = t1 + t2;
		}
	for (unsigned i = 0; i < 8; i++)
		work_fold(work, s[i]);
}

static void run_syscall(struct work *work, uint8_t *memory)
{
	long first = syscall(SYS_getppid);

	(void)memory;
	for (uint64_t i = 0; i < SYSCALLS * work->scale; i++)
		work_require(syscall(SYS_getppid) == first, "getppid");
}

static void run_fork(struct work *work, uint8_t *memory)
{
	(void)memory;
	for (uint64_t i = 0; i < FORKS * work->scale; i++) {
		int status;
		pid_t child = fork();

		work_require(child >= 0, "fork");
		if (child == 0)
			_exit((int)(i & 0x7f));
		work_require(waitpid(child, &status, 0) == child && WIFEXITED(status), "waitpid");
		work_fold(work, (uint64_t)WEXITSTATUS(status));
	}
}

static void run_fault(struct work *work, uint8_t *memory)
{
	(void)memory;
	for (uint64_t i = 0; i < FAULTS * work->scale / FAULT_BATCH; i++) {
		volatile uint8_t *batch = work_map(FAULT_BATCH * GUEST_PAGE_SIZE);

		for (unsigned page = 0; page < FAULT_BATCH; page++)
			batch[page * GUEST_PAGE_SIZE] = (uint8_t)page;
		work_fold(work, batch[(i % FAULT_BATCH) * GUEST_PAGE_SIZE]);
		work_require(munmap((void *)(uintptr_t)batch, FAULT_BATCH * GUEST_PAGE_SIZE) == 0, "munmap");
	}
}

/* Every round is two switches: there and back, on one CPU. */
static void run_switch(struct work *work, uint8_t *memory)
{
	uint64_t rounds = SWITCHES * work->scale / 2;
	int there[2], back[2], status;
	uint32_t word = 1;
	pid_t child;

	(void)memory;
	work_require(pipe(there) == 0 && pipe(back) == 0, "pipe");
	child = fork();
	work_require(child >= 0, "fork");
	if (child == 0) {
		for (uint64_t i = 0; i < rounds; i++) {
			if (read(there[0], &word, sizeof(word)) != sizeof(word))
				_exit(1);
			word = word * 1664525u + 1013904223u;
			if (write(back[1], &word, sizeof(word)) != sizeof(word))
				_exit(1);
		}
		_exit(0);
	}
	for (uint64_t i = 0; i < rounds; i++) {
		work_require(write(there[1], &word, sizeof(word)) == sizeof(word), "write to a pipe");
		work_require(read(back[0], &word, sizeof(word)) == sizeof(word), "read from a pipe");
	}
	work_require(waitpid(child, &status, 0) == child && status == 0, "the child of the pipes");
	for (unsigned i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	work_fold(work, word);
}

static void run_read(struct work *work, uint8_t *memory)
{
	uint64_t state = 1, sum = 0;

	for (uint64_t i = 0; i < READS * work->scale; i++) {
		uint64_t at = guest_random(&state) % (READ_BYTES / 8), word;

		memcpy(&word, memory + at * 8, 8);
		sum += word;
	}
	work_fold(work, sum);
}

static void run_mprotect(struct work *work, uint8_t *memory)
{
	volatile uint8_t *bytes = memory;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < PROTECTS * work->scale; i++) {
		size_t at = (size_t)(i % PROTECT_PAGES) * GUEST_PAGE_SIZE;

		work_require(mprotect(memory, PROTECT_PAGES * GUEST_PAGE_SIZE, PROT_READ) == 0, "mprotect");
		sum += bytes[at];
		work_require(mprotect(memory, PROTECT_PAGES * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0,
			     "mprotect");
		bytes[at] = (uint8_t)(sum + i);
	}
	work_fold(work, sum);
}

static const struct section sections[] = {
	{ "hash", run_hash, HASH_BYTES },
	{ "syscall", run_syscall, 0 },
	{ "fork", run_fork, 0 },
	{ "fault", run_fault, 0 },
	{ "switch", run_switch, 0 },
	{ "read", run_read, READ_BYTES },
	{ "mprotect", run_mprotect, PROTECT_PAGES *GUEST_PAGE_SIZE },
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

/* TSC ticks of one section; the memory that it reads is filled before and freed after. */
static uint64_t work_run_section(struct work *work, const struct section *section)
{
	uint64_t state = 7, start, ticks;
	uint8_t *memory = NULL;

	if (section->memory_bytes > 0) {
		memory = work_map(section->memory_bytes);
		for (size_t i = 0; i < section->memory_bytes; i += 8) {
			uint64_t word = guest_random(&state);

			memcpy(memory + i, &word, 8);
		}
	}
	start = guest_tsc();
	section->run(work, memory);
	ticks = guest_tsc() - start;
	if (memory != NULL)
		munmap(memory, section->memory_bytes);
	return ticks;
}

/* Addresses of mappings decide how many page-table pages a fork copies: no randomization, by starting over once. */
static bool work_fix_addresses(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona < 0)
		return false;
	if ((persona & ADDR_NO_RANDOMIZE) != 0)
		return true;
	if (personality((unsigned long)persona | ADDR_NO_RANDOMIZE) >= 0) {
		execv("/proc/self/exe", argv);
		execv(argv[0], argv);
	}
	return false;
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
	puts("work [--section NAME] [--scale K]\n"
	     "Runs a fixed set of operations (K times as many; 1) and prints TSC ticks of each section as one line of "
	     "JSON.");
	exit(0);
}

int main(int argc, char **argv)
{
	struct work work = { .scale = 1 };
	const struct section *only = NULL;
	uint64_t ticks[SECTION_COUNT] = { 0 }, total = 0;
	const char *separator = "";
	bool fixed;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--scale") == 0)
			work.scale = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--section") == 0 && i + 1 < argc)
			only = work_find_section(argv[++i]);
		else if (strcmp(argv[i], "--help") == 0)
			work_usage();
		else {
			fprintf(stderr, "work: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	fixed = work_fix_addresses(argv);
	work_require(guest_pin_near(0, guest_cpu_limit()) < guest_cpu_limit(), "pinning to a CPU");
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		if (only == NULL || only == &sections[i])
			total += ticks[i] = work_run_section(&work, &sections[i]);

	printf("{\"tool\": \"work\", \"scale\": %" PRIu64 ", \"fixed_addresses\": %s, \"sections\": {", work.scale,
	       fixed ? "true" : "false");
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		if (only == NULL || only == &sections[i]) {
			printf("%s\"%s\": %" PRIu64, separator, sections[i].name, ticks[i]);
			separator = ", ";
		}
	printf("}, \"total\": %" PRIu64 ", \"checksum\": \"%016" PRIx64 "\"}\n", total, work.checksum);
	return 0;
}
