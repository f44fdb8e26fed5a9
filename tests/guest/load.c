/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verified load: threads that write seeded patterns into every kind of memory that Linux gives, and read all of it
 * back for as long as the program runs.
 *
 * Owns the tasks: N workers (memory), one that keeps time, two that wake each other, and the main thread, which is the
 * watchdog. Any wrong byte or any task without progress for 60 s ends the program with status 1 at once; status 0
 * means that everything was verified once more at the end and that every task made progress.
 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXTRA_TASKS    3u
#define WORKERS_MAX    1024u
#define CHURN_PAGES    128u
#define STEP_PAGES     128u
#define STEP_FILE      64u
#define STEP_MESSAGES  32u
#define CHURN_EVERY    4u /* a flush of other CPUs is slow where CPUs are emulated */
#define FORK_EVERY     8u
#define ROTATE_EVERY   256u /* rounds before a worker moves to the next CPU */
#define PAGES_A_WORKER 64u  /* least */

void load_turn(struct load_task *task, unsigned wanted_cpu)
{
	unsigned limit = task->load->cpu_limit;
	unsigned cpu = guest_pin_near(wanted_cpu % limit, limit);

	if (cpu != wanted_cpu % limit)
		task->count.pins++;
	task->cpu = cpu;
	task->iteration++;
	atomic_fetch_add_explicit(&task->progress, 1, memory_order_relaxed);
}

/*
 * Half of a worker's memory is anonymous, a quarter lies in a file, the rest (512 KiB at most) is for mappings that
 * come and go.
 */
static void worker_run(struct load_task *task)
{
	size_t pages = task->load->bytes / task->load->workers / GUEST_PAGE_SIZE;
	size_t churn = pages / 8 < CHURN_PAGES ? pages / 8 : CHURN_PAGES;
	struct load_region *file = region_new_file(task, pages / 4);
	struct load_region *anonymous = region_new_anonymous(task, pages - pages / 4 - 2 * churn);
	uint64_t round = 0;

	/* At least one round, so that a short run has done something of each kind on a slow machine too. */
	do {
		load_turn(task, task->index + (unsigned)(round / ROTATE_EVERY));
		region_step(task, anonymous, STEP_PAGES);
		region_step(task, file, STEP_FILE);
		ring_send(task, task->out, STEP_MESSAGES);
		ring_receive(task, task->in, STEP_MESSAGES);
		if (round % CHURN_EVERY == 0)
			churn_step(task, churn, round % FORK_EVERY == 0);
		clock_check(task);
		round++;
	} while (!load_stopping(task));
	region_finish(task, anonymous);
	region_finish(task, file);
}

static void *load_thread(void *argument)
{
	struct load_task *task = argument;

	task->run(task);
	atomic_store(&task->ended, true);
	return NULL;
}

/* Returns whether all tasks have ended. */
static bool load_watch(struct load_task *tasks, unsigned count)
{
	uint64_t now = guest_now_ns();
	bool ended = true;

	for (unsigned i = 0; i < count; i++) {
		struct load_task *task = &tasks[i];
		uint64_t progress = atomic_load(&task->progress);

		if (atomic_load(&task->ended))
			continue;
		ended = false;
		if (progress != task->progress_seen || task->progress_seen_ns == 0) {
			task->progress_seen = progress;
			task->progress_seen_ns = now;
		} else if (now - task->progress_seen_ns > LOAD_WATCHDOG_NS) {
			load_fail(task, "HANG: no progress for %" PRIu64 " s", (now - task->progress_seen_ns) / 1000000000u);
		}
	}
	return ended;
}

/* Stops the tasks when the time is over or SIGTERM comes, and waits for their end. */
static void load_supervise(struct load *load, struct load_task *tasks, unsigned count, const sigset_t *signals)
{
	uint64_t end = guest_now_ns() + load->duration_s * 1000000000u;
	struct timespec poll = { .tv_nsec = 50000000 };

	do {
		if (sigtimedwait(signals, NULL, &poll) > 0 || (load->duration_s > 0 && guest_now_ns() >= end))
			atomic_store(&load->stop, true);
	} while (!load_watch(tasks, count));
	for (unsigned i = 0; i < count; i++)
		pthread_join(tasks[i].thread, NULL);
}

static void load_start(struct load *load, struct load_task *tasks, unsigned count)
{
	struct load_pair *pair = pair_new();

	for (unsigned i = 0; i < count; i++)
		tasks[i] = (struct load_task){ .load = load,
					       .role = "worker",
					       .run = worker_run,
					       .index = i,
					       .random = guest_mix(load->seed + i),
					       .pair = pair };
	for (unsigned i = 0; i < load->workers; i++) {
		struct load_ring *ring = ring_new();

		if (ring == NULL || pair == NULL)
			load_fail(&tasks[i], "no memory for what threads share: %s", strerror(errno));
		tasks[i].out = ring;
		tasks[(i + 1) % load->workers].in = ring;
	}
	tasks[load->workers].role = "time";
	tasks[load->workers].run = time_run;
	tasks[load->workers + 1].role = "first player";
	tasks[load->workers + 1].run = pair_run_first;
	tasks[load->workers + 2].role = "second player";
	tasks[load->workers + 2].run = pair_run_second;
	for (unsigned i = 0; i < count; i++)
		if (pthread_create(&tasks[i].thread, NULL, load_thread, &tasks[i]) != 0)
			load_fail(&tasks[i], "cannot start a thread");
}

/* Messages that were under way when the workers stopped; then every task must have done something of each kind. */
static void load_conclude(struct load *load, struct load_task *tasks)
{
	for (unsigned i = 0; i < load->workers; i++) {
		struct load_task *task = &tasks[i];

		while (ring_receive(task, task->in, STEP_MESSAGES) > 0)
			;
		if (task->count.pages == 0 || task->count.messages == 0 || task->count.forks == 0)
			load_fail(task, "no progress: %" PRIu64 " pages, %" PRIu64 " messages, %" PRIu64 " forks in all the time",
				  task->count.pages, task->count.messages, task->count.forks);
	}
	if (tasks[load->workers].count.ticks == 0)
		load_fail(&tasks[load->workers], "no progress: no tick in all the time");
	if (tasks[load->workers + 1].count.switches == 0)
		load_fail(&tasks[load->workers + 1], "no progress: no round in all the time");
}

static void load_report(const struct load *load, const struct load_task *tasks, unsigned count, uint64_t ns)
{
	struct load_count sum = { 0 };

	for (unsigned i = 0; i < count; i++) {
		const struct load_count *one = &tasks[i].count;

		sum.pages += one->pages;
		sum.bytes += one->bytes;
		sum.checks += one->checks;
		sum.forks += one->forks;
		sum.messages += one->messages;
		sum.switches += one->switches;
		sum.ticks += one->ticks;
		sum.pins += one->pins;
		if (one->late_ns > sum.late_ns)
			sum.late_ns = one->late_ns;
	}
	printf("{\"tool\": \"load\", \"threads\": %u, \"mib\": %zu, \"seed\": %" PRIu64 ", \"seconds\": %" PRIu64 ", "
	       "\"pages_verified\": %" PRIu64 ", "
	       "\"bytes_verified\": %" PRIu64 ", \"checks\": %" PRIu64 ", \"forks\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"switches\": %" PRIu64 ", "
	       "\"ticks\": %" PRIu64 ", "
	       "\"lost_ticks\": 0, \"longest_late_us\": %" PRIu64 ", \"pins_refused\": %" PRIu64 ", \"wrong\": 0}\n",
	       load->workers, load->bytes >> 20, load->seed, ns / 1000000000u, sum.pages, sum.bytes, sum.checks,
	       sum.forks, sum.messages, sum.switches, sum.ticks, sum.late_ns / 1000u, sum.pins);
	fflush(stdout);
}

static void load_usage(void)
{
	puts("load --threads N --mib M --seconds S [--seed X] [--directory DIR]\n"
	     "Writes patterns to M MiB of memory with N threads and verifies all of it for S seconds (0: until "
	     "SIGTERM).\n"
	     "Status 0: no wrong byte, and every thread made progress. Files of page-cache pages lie in DIR (/tmp).");
	exit(0);
}

static void load_parse(struct load *load, int argc, char **argv)
{
	uint64_t mib = 64, threads = load->cpu_limit;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--threads") == 0)
			threads = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--mib") == 0)
			mib = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seconds") == 0)
			load->duration_s = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seed") == 0)
			load->seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--directory") == 0 && i + 1 < argc)
			load->directory = argv[++i];
		else if (strcmp(argv[i], "--help") == 0)
			load_usage();
		else {
			fprintf(stderr, "load: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
	if (threads == 0 || threads > WORKERS_MAX || mib > SIZE_MAX >> 20 ||
	    (mib << 20) / threads < PAGES_A_WORKER * GUEST_PAGE_SIZE) {
		fprintf(stderr, "load: 1 to %u threads and at least %u KiB for each are wanted\n", WORKERS_MAX,
			PAGES_A_WORKER * GUEST_PAGE_SIZE >> 10);
		exit(2);
	}
	load->workers = (unsigned)threads;
	load->bytes = (size_t)mib << 20;
}

int main(int argc, char **argv)
{
	struct load load = { .seed = 1, .duration_s = 10, .cpu_limit = guest_cpu_limit(), .directory = "/tmp" };
	struct load_task *tasks;
	uint64_t start = guest_now_ns();
	sigset_t signals;
	unsigned count;

	load_parse(&load, argc, argv);
	count = load.workers + EXTRA_TASKS;
	tasks = calloc(count, sizeof(*tasks));
	if (tasks == NULL)
		return 1;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	load_start(&load, tasks, count);
	load_supervise(&load, tasks, count, &signals);
	load_conclude(&load, tasks);
	load_report(&load, tasks, count, guest_now_ns() - start);
	return 0;
}
