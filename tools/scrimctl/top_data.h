/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what `top` shows: a few of Scrim's counters, and what became of them in an interval. */
#pragma once

#include <stddef.h>

#include "request.h"

struct top_cpu {
	uint64_t exits[SCRIM_EXIT_COUNT];
	uint64_t exits_total;
	uint64_t stalls, stall_tsc;
	uint64_t stall_longest_tsc; /* since boot: no difference */
};

struct top_sample {
	uint64_t at_us;
	uint64_t state, displaced, tsc_hz;
	uint64_t moved, batches;
	uint64_t cpu_count;
	struct top_cpu *cpus;
	struct top_cpu all;
};

/* Fills a zeroed *sample, to be freed in every case. False after a complaint. */
bool top_take(const struct session *session, struct top_sample *sample) MUST_CHECK;
void top_free(struct top_sample *sample);

/* Makes of *now, taken after *before, what came between the two; at_us is how long that was. */
void top_subtract(struct top_sample *now, const struct top_sample *before);

/* What `top` shows of one interval. */
void top_print(const struct session *session, const struct top_sample *change);
enum exit_code top_print_json(const struct session *session, const struct top_sample *change) MUST_CHECK;
