/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the requests of a switch cost, in TSC ticks: under `-icount shift=0` those are instructions. For a machine of
 * one CPU in state native, and back in it at the end.
 *
 * Each request is timed alone, ROUNDS times, by rdtsc right before and after its IN; the median leaves out the rounds
 * that an interrupt fell into. VERSION does nothing, so what it costs is the way into Scrim and back, and is taken off.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>

#define ROUNDS 100u

static const struct part {
	const char *name;
	enum scrim_op op;
} parts[] = {
	{ "empty", SCRIM_OP_VERSION },   { "virtualize", SCRIM_OP_VIRTUALIZE },
	{ "visit_on", SCRIM_OP_VISIT },  { "devirtualize", SCRIM_OP_DEVIRTUALIZE },
	{ "visit_off", SCRIM_OP_VISIT },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static uint64_t ticks[PARTS][ROUNDS];

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "switchcost: %s\n", what);
	exit(1);
}

static uint64_t timed(enum scrim_op op)
{
	uint64_t start = guest_tsc();
	struct scrim_reply reply = scrim_request(op, 0, 0);
	uint64_t end = guest_tsc();

	require(reply.status == SCRIM_OK, "a request was refused");
	return end - start;
}

static bool in_state(enum scrim_state state)
{
	struct scrim_reply reply = scrim_request(SCRIM_OP_INFO, SCRIM_INFO_STATE, 0);

	return reply.status == SCRIM_OK && reply.result[0] == state;
}

static uint64_t info(enum scrim_info item)
{
	return scrim_request(SCRIM_OP_INFO, item, 0).result[0];
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values)
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

int main(void)
{
	uint64_t cost[PARTS], flushes, kicks;

	require(guest_pin(0) && ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) == 0, "no right to the port");
	require(mlockall(MCL_CURRENT) == 0, "mlockall failed");
	require(in_state(SCRIM_NATIVE), "the state is not native, or Scrim is not there");
	require(info(SCRIM_INFO_CPUS) == 1, "more than one CPU");
	flushes = info(SCRIM_INFO_FLUSHES);
	kicks = info(SCRIM_INFO_KICKS);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < PARTS; i++)
			ticks[i][round] = timed(parts[i].op);
		require(in_state(SCRIM_NATIVE), "a round did not end in native");
	}
	flushes = info(SCRIM_INFO_FLUSHES) - flushes;
	kicks = info(SCRIM_INFO_KICKS) - kicks;
	for (unsigned i = 0; i < PARTS; i++)
		cost[i] = median(ticks[i]);
	printf("{\"tool\": \"switchcost\", \"rounds\": %u, \"flushes\": %" PRIu64 ", \"kicks\": %" PRIu64, ROUNDS,
	       flushes, kicks);
	printf(", \"empty\": %" PRIu64, cost[0]);
	for (unsigned i = 1; i < PARTS; i++)
		printf(", \"%s\": %" PRId64, parts[i].name, (int64_t)(cost[i] - cost[0]));
	puts("}");
	return 0;
}
