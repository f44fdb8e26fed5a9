/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the parts of the verified load to each other. Every byte that a task verifies is a function of the seed, so
 * a wrong one is known without a second copy.
 */
#pragma once

#include "guest_util.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOAD_WATCHDOG_NS 60000000000u /* no progress for so long is a hang */

struct load {
	uint64_t seed;
	uint64_t duration_s; /* 0: until SIGTERM */
	size_t bytes;        /* of all workers together */
	unsigned workers;
	unsigned cpu_limit;
	const char *directory; /* where the files of page-cache pages lie */
	_Atomic bool stop;
};

/* Written by one task, read after that task has ended. */
struct load_count {
	uint64_t pages; /* verified, as are bytes and checks */
	uint64_t bytes;
	uint64_t checks; /* comparisons that are not of memory: order, time, sequence numbers */
	uint64_t forks;
	uint64_t messages;
	uint64_t switches; /* round trips by futex or pipe */
	uint64_t ticks;
	uint64_t late_ns; /* the longest that a timer came late */
	uint64_t pins;    /* times that the kernel refused the CPU wanted: offline */
};

struct load_ring;
struct load_pair;

struct load_task {
	struct load *load;
	const char *role;
	void (*run)(struct load_task *task);
	unsigned index; /* of the worker; beyond those, a number of its own */
	unsigned cpu;
	uint64_t iteration;
	uint64_t random;
	struct load_ring *in, *out; /* workers */
	struct load_pair *pair;     /* players */
	struct load_count count;
	_Atomic uint64_t progress;
	_Atomic bool ended;
	uint64_t progress_seen, progress_seen_ns; /* the watchdog's */
	pthread_t thread;
};

/* load_pattern.c */
/* Identity of one generation of one page; regions of one task have different numbers. */
uint64_t pattern_key(const struct load_task *task, unsigned region, uint64_t page, uint64_t generation);
void pattern_fill(void *memory, size_t bytes, uint64_t key);
/* Ends the program at the first wrong byte. `where` names the region in the message. */
void pattern_verify(struct load_task *task, const char *where, const void *memory, size_t bytes, uint64_t key);
void pattern_verify_zero(struct load_task *task, const char *where, const void *memory, size_t bytes);
/* Says what is wrong, in words on stderr and as JSON on stdout, and ends the process with status 1 at once. */
void load_fail(const struct load_task *task, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* load_region.c: memory that a worker keeps for the whole run and walks through again and again. */
struct load_region;
struct load_region *region_new_anonymous(struct load_task *task, size_t pages);
struct load_region *region_new_file(struct load_task *task, size_t pages);
/* Verifies the next pages and writes their next generation. */
void region_step(struct load_task *task, struct load_region *region, size_t pages);
/* Verifies all pages. */
void region_finish(struct load_task *task, struct load_region *region);

/* load_ring.c: pages shared by two workers; every message carries its number and a checksum. */
struct load_ring *ring_new(void);
void ring_send(struct load_task *task, struct load_ring *ring, unsigned messages);
/* Takes what is there, at most so many. Returns the number taken. */
unsigned ring_receive(struct load_task *task, struct load_ring *ring, unsigned messages);

/* load_churn.c: mappings that live for one iteration: mmap, mprotect, mremap, munmap, fork with copy on write. */
void churn_step(struct load_task *task, size_t pages_limit, bool with_fork);

/* load_time.c */
/* CLOCK_MONOTONIC never goes backwards, neither on this CPU nor from one CPU to another. Returns it. */
uint64_t clock_check(struct load_task *task);
void time_run(struct load_task *task);

/* load_pair.c: two threads on two CPUs that wake each other, by futex and by pipe. */
struct load_pair *pair_new(void);
void pair_run_first(struct load_task *task);
void pair_run_second(struct load_task *task);

/* load.c */
/* Pins the task to a CPU near the wanted one, notes whether it was refused, and counts one iteration as progress. */
void load_turn(struct load_task *task, unsigned wanted_cpu);
static inline bool load_stopping(const struct load_task *task)
{
	return atomic_load_explicit(&task->load->stop, memory_order_relaxed);
}
