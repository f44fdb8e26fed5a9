/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns time: a timer with a fixed period whose expirations must be as many as the clock says, sleeps that must not end
 * early, and one greatest time seen by any thread, behind which no thread's clock may fall. The task moves to the
 * next CPU at every tick, so every CPU's timer interrupt and clock take part.
 * A late timer is reported, not judged: a busy machine is late too.
 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 10000000u
#define SLEEP_NS  1000000u

static _Atomic uint64_t greatest_ns;

static struct timespec time_of_ns(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
}

uint64_t clock_check(struct load_task *task)
{
	uint64_t seen = atomic_load(&greatest_ns);
	uint64_t now = guest_now_ns();
	uint64_t again = guest_now_ns();

	if (now < seen)
		load_fail(task, "WRONG time: another CPU's clock was at %" PRIu64 " ns, this one's is at %" PRIu64 " ns afterwards",
			  seen, now);
	if (again < now)
		load_fail(task, "WRONG time: the clock went from %" PRIu64 " ns back to %" PRIu64 " ns", now, again);
	task->count.checks += 2;
	while (seen < again && !atomic_compare_exchange_weak(&greatest_ns, &seen, again))
		;
	return again;
}

/* Waits for the timer. The number of expirations must agree with the clock before and after the read. */
static void time_read_timer(struct load_task *task, int fd, uint64_t start_ns)
{
	uint64_t before = (clock_check(task) - start_ns) / PERIOD_NS, after, expirations;

	if (read(fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		load_fail(task, "cannot read the timer: %s", strerror(errno));
	after = (clock_check(task) - start_ns) / PERIOD_NS;
	task->count.ticks += expirations;
	if (task->count.ticks < before)
		load_fail(task, "WRONG ticks: expected at least %" PRIu64 ", found %" PRIu64 ": lost", before, task->count.ticks);
	if (task->count.ticks > after)
		load_fail(task, "WRONG ticks: expected at most %" PRIu64 ", found %" PRIu64, after, task->count.ticks);
	task->count.checks += 2;
}

static void time_sleep(struct load_task *task)
{
	uint64_t until = clock_check(task) + SLEEP_NS, now;
	struct timespec target = time_of_ns(until);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, NULL) == EINTR)
		;
	now = clock_check(task);
	if (now < until)
		load_fail(task, "WRONG sleep: it ended at %" PRIu64 " ns, %" PRIu64 " ns early", now, until - now);
	if (now - until > task->count.late_ns)
		task->count.late_ns = now - until;
	task->count.checks++;
}

void time_run(struct load_task *task)
{
	uint64_t start = clock_check(task);
	struct itimerspec timer = { .it_value = time_of_ns(start + PERIOD_NS), .it_interval = time_of_ns(PERIOD_NS) };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL) != 0)
		load_fail(task, "no timer: %s", strerror(errno));
	for (unsigned cpu = 0; !load_stopping(task); cpu = (cpu + 1) % task->load->cpu_limit) {
		load_turn(task, cpu);
		time_sleep(task);
		time_read_timer(task, fd, start);
	}
	close(fd);
}
