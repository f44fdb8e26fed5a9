/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a way home costs: scatters a range, or lets its equal pages share frames, brings it home by STEPs, and times each of them by rdtsc right before and
 * after its IN. Under `-icount shift=0` a tick is an instruction. Memory must be VIRTUALIZED; it is CEASING at the end.
 *
 * The median step leaves out those that an interrupt fell into. What copying a page costs is known from Scrim's own
 * estimate of a pause: on one CPU that is twice the copy for each displaced page, with the copy timed when it is asked.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>

#define STEPS_MAX 65536u

struct step {
	uint64_t pages, ticks;
};

struct stepcost {
	uint64_t start, end, batch, reverse, seed, share;
	unsigned count;
	struct step step[STEPS_MAX];
	uint64_t sorted[STEPS_MAX];
};

static struct scrim_reply ask(enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	struct scrim_reply reply = scrim_request(op, argument0, argument1);

	if (reply.status == SCRIM_OK)
		return reply;
	fprintf(stderr, "stepcost: operation %u has status %u, result 0x%" PRIx64 "\n", op, reply.status,
		reply.result[0]);
	exit(1);
}

static uint64_t info(enum scrim_info item)
{
	return ask(SCRIM_OP_INFO, item, 0).result[0];
}

static uint64_t exits(enum scrim_exit cause)
{
	uint64_t sum = 0, cpus = info(SCRIM_INFO_CPUS);

	for (uint64_t cpu = 0; cpu < cpus; cpu++)
		sum += ask(SCRIM_OP_CPU_EXITS, cpu, cause).result[0];
	return sum;
}

static void displace(const struct stepcost *cost)
{
	ask(SCRIM_OP_REVERSE, cost->reverse, 0);
	ask(SCRIM_OP_AIM, cost->start, cost->end);
	if (cost->share)
		ask(SCRIM_OP_SHARE, 0, 0);
	else
		ask(SCRIM_OP_SCATTER, cost->seed, SCRIM_FRACTION_ALL);
	while (ask(cost->share ? SCRIM_OP_SHARE_STEP : SCRIM_OP_SCATTER_STEP, SCRIM_BATCH_MAX, 0).result[0] != 0)
		;
}

/* To the last page. */
static void come_home(struct stepcost *cost, uint64_t displaced)
{
	uint64_t state = SCRIM_REMAPPING;

	ask(SCRIM_OP_DEVIRTUALIZE, 0, 0);
	while (state == SCRIM_REMAPPING) {
		struct step *step = &cost->step[cost->count];
		uint64_t start = guest_tsc();
		struct scrim_reply reply = scrim_request(SCRIM_OP_STEP, cost->batch, 0);

		step->ticks = guest_tsc() - start;
		if (reply.status != SCRIM_OK || cost->count + 1 == STEPS_MAX) {
			fprintf(stderr, "stepcost: STEP has status %u after %u steps\n", reply.status, cost->count);
			exit(1);
		}
		step->pages = displaced - reply.result[0];
		displaced = reply.result[0];
		state = reply.result[1];
		cost->count++;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Of the steps that brought a whole batch home. */
static void print_steps(struct stepcost *cost)
{
	uint64_t full = 0, total = 0, empty = 0;
	unsigned longest = 0;

	for (unsigned i = 0; i < cost->count; i++) {
		total += cost->step[i].ticks;
		longest = cost->step[i].ticks > cost->step[longest].ticks ? i : longest;
		empty += cost->step[i].pages == 0;
		if (cost->step[i].pages == cost->batch)
			cost->sorted[full++] = cost->step[i].ticks;
	}
	qsort(cost->sorted, full, sizeof(cost->sorted[0]), compare);
	printf(", \"steps\": %u, \"full\": %" PRIu64 ", \"empty\": %" PRIu64 ", \"total\": %" PRIu64
	       ", \"longest\": %" PRIu64 ", \"longest_at\": %u, \"median\": %" PRIu64 ", \"p90\": %" PRIu64,
	       cost->count, full, empty, total, cost->step[longest].ticks, longest + 1,
	       full > 0 ? cost->sorted[full / 2] : 0, full > 0 ? cost->sorted[full * 9 / 10] : 0);
}

static void parse(struct stepcost *cost, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--start") == 0)
			cost->start = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--end") == 0)
			cost->end = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--batch") == 0)
			cost->batch = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--reverse") == 0)
			cost->reverse = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seed") == 0)
			cost->seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--share") == 0)
			cost->share = guest_option_number(argc, argv, &i);
		else {
			puts("stepcost --start A --end B [--batch N] [--reverse 0|1|2] [--seed X] [--share 0|1]\n"
			     "Scatters [A, B), or lets its equal pages share, and brings it home in STEPs of N (64) pages, each timed. Memory must be "
			     "virtualized.");
			exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
		}
	}
}

int main(int argc, char **argv)
{
	static struct stepcost cost = { .batch = 64, .reverse = SCRIM_REVERSE_BACKMAP, .seed = 1 };
	static const enum scrim_exit causes[] = { SCRIM_EXIT_REQUEST, SCRIM_EXIT_NMI, SCRIM_EXIT_MAP };
	static const char *const names[] = SCRIM_EXIT_NAMES;
	uint64_t before[3], displaced, pause, flushes, kicks;

	parse(&cost, argc, argv);
	if (!guest_pin(0) || ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) != 0 || mlockall(MCL_CURRENT) != 0) {
		perror("stepcost");
		return 1;
	}
	memset(cost.step, 0, sizeof(cost.step)); /* no page fault between the two readings of the counter */
	displace(&cost);
	displaced = info(SCRIM_INFO_PAGES_DISPLACED);
	pause = info(SCRIM_INFO_PAUSE_US);
	flushes = info(SCRIM_INFO_FLUSHES);
	kicks = info(SCRIM_INFO_KICKS);
	for (unsigned i = 0; i < 3; i++)
		before[i] = exits(causes[i]);
	come_home(&cost, displaced);
	flushes = info(SCRIM_INFO_FLUSHES) - flushes;
	kicks = info(SCRIM_INFO_KICKS) - kicks;
	printf("{\"tool\": \"stepcost\", \"batch\": %" PRIu64 ", \"reverse\": %" PRIu64 ", \"displaced\": %" PRIu64
	       ", \"copies\": %" PRIu64 ", \"pause_us\": %" PRIu64 ", \"tsc_hz\": %" PRIu64,
	       cost.batch, cost.reverse, displaced, info(SCRIM_INFO_LAST_COPIES), pause, info(SCRIM_INFO_TSC_HZ));
	print_steps(&cost);
	for (unsigned i = 0; i < 3; i++)
		printf(", \"exits_%s\": %" PRIu64, names[causes[i]], exits(causes[i]) - before[i]);
	printf(", \"flushes\": %" PRIu64 ", \"kicks\": %" PRIu64 "}\n", flushes, kicks);
	return 0;
}
