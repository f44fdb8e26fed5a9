/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the instant of an image costs, in TSC ticks: under `-icount shift=0` those are instructions. For a machine of one CPU in state
 * native, and back in it at the end. WATCH(IMAGE) is the whole of it: all CPUs meet, all RAM becomes read-only, all go on. Timed ROUNDS times by
 * rdtsc right before and after its IN; the median leaves out rounds that an interrupt fell into. What a request costs that does
 * nothing (VERSION) is taken off.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>

#define ROUNDS 100u

static uint64_t empty[ROUNDS], begin[ROUNDS], end[ROUNDS];

static uint64_t timed(enum scrim_op op, uint64_t argument)
{
	uint64_t start = guest_tsc();
	struct scrim_reply reply = scrim_request(op, argument, 0);
	uint64_t stop = guest_tsc();

	if (reply.status == SCRIM_OK)
		return stop - start;
	fprintf(stderr, "watchcost: operation %u: status %u\n", (unsigned)op, reply.status);
	exit(1);
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
	uint64_t nothing;

	if (!guest_pin(0) || ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) != 0 || mlockall(MCL_CURRENT) != 0) {
		perror("watchcost");
		return 1;
	}
	timed(SCRIM_OP_VIRTUALIZE, 0);
	timed(SCRIM_OP_VISIT, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		empty[i] = timed(SCRIM_OP_VERSION, 0);
		begin[i] = timed(SCRIM_OP_WATCH, SCRIM_WATCH_IMAGE);
		end[i] = timed(SCRIM_OP_WATCH, SCRIM_WATCH_NONE);
	}
	timed(SCRIM_OP_DEVIRTUALIZE, 0);
	timed(SCRIM_OP_VISIT, 0);
	nothing = median(empty);
	printf("{\"rounds\": %u, \"empty\": %" PRIu64 ", \"begin\": %" PRIu64 ", \"end\": %" PRIu64 "}\n", ROUNDS, nothing, median(begin) - nothing,
	       median(end) - nothing);
	return 0;
}
