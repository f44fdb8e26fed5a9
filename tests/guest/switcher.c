/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switches the machine to its map and back again and again, and judges every switch by what Scrim counts: each CPU
 * exits for the requests made on it and for nothing else, its TLB is flushed once, no CPU is kicked, every invariant
 * holds. Talks to the port itself, so a switch costs its visits and not the start of two programs.
 *
 * Owns the order of the visits (by a seed) and the account of one half of a switch. Leaves CPUs that come and go to
 * scrimctl.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

#define CPUS_MAX 64u

struct counters {
	uint64_t kicks, flushes, switches;
	uint64_t exits[SCRIM_EXIT_COUNT]; /* of all CPUs */
};

struct switcher {
	uint64_t seed, random;
	unsigned cpus;
	uint64_t halves, visits;
	uint64_t longest_ns, longest_exit_tsc;
	uint64_t flushes;  /* in switches, as Scrim counts them */
	uint64_t requests; /* that this program has made */
	struct counters begin;
};

static volatile sig_atomic_t stop;

static void on_stop(int signal_number)
{
	(void)signal_number;
	stop = 1;
}

static _Noreturn void fail(const struct switcher *switcher, const char *what, uint64_t seen, uint64_t expected)
{
	fprintf(stderr, "switcher: after %" PRIu64 " halves of seed %" PRIu64 ": %s: %" PRIu64 ", expected %" PRIu64 "\n", switcher->halves,
		switcher->seed, what, seen, expected);
	exit(1);
}

static void expect(const struct switcher *switcher, const char *what, uint64_t seen, uint64_t expected)
{
	if (seen != expected)
		fail(switcher, what, seen, expected);
}

static struct scrim_reply ask(struct switcher *switcher, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	switcher->requests++;
	return scrim_request(op, argument0, argument1);
}

static uint64_t must(struct switcher *switcher, const char *what, enum scrim_op op, uint64_t argument0,
		     uint64_t argument1)
{
	struct scrim_reply reply = ask(switcher, op, argument0, argument1);

	if (reply.status == SCRIM_EINVARIANT)
		fprintf(stderr, "switcher: invariant %" PRIu64 " broken at 0x%" PRIx64 "\n", reply.result[0], reply.result[1]);
	expect(switcher, what, reply.status, SCRIM_OK);
	return reply.result[0];
}

static uint64_t info(struct switcher *switcher, enum scrim_info item)
{
	return must(switcher, "status of INFO", SCRIM_OP_INFO, item, 0);
}

static void count(struct switcher *switcher, struct counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	for (unsigned cpu = 0; cpu < switcher->cpus; cpu++)
		for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
			counters->exits[cause] += must(switcher, "status of CPU_EXITS", SCRIM_OP_CPU_EXITS, cpu, cause);
	counters->kicks = info(switcher, SCRIM_INFO_KICKS);
	counters->flushes = info(switcher, SCRIM_INFO_FLUSHES);
	counters->switches = info(switcher, SCRIM_INFO_SWITCHES);
}

/* An order of all CPUs, each as likely as any other. */
static void shuffle(struct switcher *switcher, unsigned *order)
{
	for (unsigned i = 0; i < switcher->cpus; i++)
		order[i] = i;
	for (unsigned i = switcher->cpus - 1; i > 0; i--) {
		unsigned j = (unsigned)(guest_random(&switcher->random) % (i + 1)), kept = order[i];

		order[i] = order[j];
		order[j] = kept;
	}
}

/* Visits the first `wanted` CPUs of a random order. Returns how many Scrim says are left. */
static uint64_t visit(struct switcher *switcher, unsigned wanted)
{
	unsigned order[CPUS_MAX];
	uint64_t left = switcher->cpus;

	shuffle(switcher, order);
	for (unsigned i = 0; i < wanted; i++) {
		if (!guest_pin(order[i]))
			fail(switcher, "sched_setaffinity refuses CPU", order[i], 0);
		left = must(switcher, "status of VISIT", SCRIM_OP_VISIT, 0, 0);
		expect(switcher, "CPUs left after a visit", left, switcher->cpus - 1 - i);
		switcher->visits++;
	}
	return left;
}

static enum scrim_op next_op(struct switcher *switcher)
{
	return info(switcher, SCRIM_INFO_STATE) == SCRIM_VIRTUALIZED ? SCRIM_OP_DEVIRTUALIZE : SCRIM_OP_VIRTUALIZE;
}

static void judge_half(struct switcher *switcher, enum scrim_op op, const struct counters *before, uint64_t begin_ns)
{
	uint64_t ns = guest_now_ns() - begin_ns, exit_tsc;
	struct counters after;

	if (ns > switcher->longest_ns)
		switcher->longest_ns = ns;
	exit_tsc = info(switcher, SCRIM_INFO_LAST_LONGEST_EXIT_TSC);
	if (exit_tsc > switcher->longest_exit_tsc)
		switcher->longest_exit_tsc = exit_tsc;
	count(switcher, &after);
	expect(switcher, "state after it", info(switcher, SCRIM_INFO_STATE),
	       op == SCRIM_OP_VIRTUALIZE ? SCRIM_VIRTUALIZED : SCRIM_NATIVE);
	expect(switcher, "CPUs that translate", info(switcher, SCRIM_INFO_CPUS_TRANSLATING),
	       op == SCRIM_OP_VIRTUALIZE ? switcher->cpus : 0);
	expect(switcher, "kicks", after.kicks, before->kicks);
	expect(switcher, "flushes", after.flushes - before->flushes, switcher->cpus);
	expect(switcher, "switches", after.switches - before->switches, 1);
	switcher->flushes += after.flushes - before->flushes;
	must(switcher, "status of CHECK", SCRIM_OP_CHECK, 0, 0);
}

static void half(struct switcher *switcher)
{
	enum scrim_op op = next_op(switcher);
	struct counters before;
	uint64_t begin;

	count(switcher, &before);
	begin = guest_now_ns();
	must(switcher, op == SCRIM_OP_VIRTUALIZE ? "status of VIRTUALIZE" : "status of DEVIRTUALIZE", op, 0, 0);
	expect(switcher, "CPUs left after all visits", visit(switcher, switcher->cpus), 0);
	judge_half(switcher, op, &before, begin);
	switcher->halves++;
}

/*
 * Requests are exits, and exits by request are requests. Other programs may have asked (scrimctl): then only none may
 * be missing.
 */
static void report(struct switcher *switcher)
{
	static const char *const names[] = SCRIM_EXIT_NAMES;
	uint64_t made = switcher->requests, tsc_hz = info(switcher, SCRIM_INFO_TSC_HZ);
	struct counters end;

	count(switcher, &end);
	printf("{\"tool\": \"switcher\", \"seed\": %" PRIu64 ", \"cpus\": %u, \"halves\": %" PRIu64 ", \"visits\": %" PRIu64 ", \"kicks\": "
	       "%" PRIu64 ", "
	       "\"flushes\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"longest_half_us\": %" PRIu64 ", \"longest_exit_us\": %.1f, \"exits\": {",
	       switcher->seed, switcher->cpus, switcher->halves, switcher->visits, end.kicks - switcher->begin.kicks,
	       switcher->flushes, made, switcher->longest_ns / 1000u,
	       tsc_hz == 0 ? 0.0 : (double)switcher->longest_exit_tsc * 1e6 / (double)tsc_hz);
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		printf("%s\"%s\": %" PRIu64, cause == 0 ? "" : ", ", names[cause],
		       end.exits[cause] - switcher->begin.exits[cause]);
	printf("}}\n");
	fflush(stdout);
}

/* What a tool leaves that is killed after `visits` visits. */
static void leave_half_done(struct switcher *switcher, unsigned visits)
{
	must(switcher, "status of the request", next_op(switcher), 0, 0);
	if (visits < switcher->cpus)
		printf("%" PRIu64 " left\n", visit(switcher, visits));
	else
		fail(switcher, "CPUs to visit", visits, switcher->cpus - 1);
}

static void connect_to_scrim(struct switcher *switcher)
{
	struct scrim_reply version;

	if (ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) != 0) {
		fprintf(stderr, "switcher: ioperm: %s\n", strerror(errno));
		exit(1);
	}
	version = ask(switcher, SCRIM_OP_VERSION, 0, 0);
	if (version.status != SCRIM_OK || version.result[0] != SCRIM_ABI_VERSION) {
		fprintf(stderr, "switcher: no Scrim of ABI %u answers\n", SCRIM_ABI_VERSION);
		exit(1);
	}
	switcher->cpus = (unsigned)info(switcher, SCRIM_INFO_CPUS);
	expect(switcher, "CPUs in the OS", info(switcher, SCRIM_INFO_CPUS_IN_OS), switcher->cpus);
	if (switcher->cpus > CPUS_MAX)
		fail(switcher, "CPUs", switcher->cpus, CPUS_MAX);
}

static void usage(void)
{
	puts("switcher [--switches N] [--seed X] | --half-done VISITS\n"
	     "Virtualizes and devirtualizes memory N (0: until SIGTERM) times; judges each switch by Scrim's "
	     "counters.\n"
	     "--half-done  only begins the next switch and leaves it after VISITS visits");
	exit(0);
}

int main(int argc, char **argv)
{
	static struct switcher switcher = { .seed = 1 };
	uint64_t switches = 1, half_done = UINT64_MAX;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--switches") == 0)
			switches = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seed") == 0)
			switcher.seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--half-done") == 0)
			half_done = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--help") == 0)
			usage();
		else {
			fprintf(stderr, "switcher: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	signal(SIGTERM, on_stop);
	switcher.random = guest_mix(switcher.seed);
	connect_to_scrim(&switcher);
	if (half_done != UINT64_MAX) {
		leave_half_done(&switcher, half_done > UINT32_MAX ? UINT32_MAX : (unsigned)half_done);
		return 0;
	}
	count(&switcher, &switcher.begin);
	while (!stop && (switches == 0 || switcher.halves < 2 * switches))
		half(&switcher);
	if (switcher.halves % 2 != 0)
		half(&switcher);
	report(&switcher);
	return 0;
}
