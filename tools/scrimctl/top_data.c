/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the counters. Each is true at its own instant, and reading them causes exits, which are among them. */
#include "top_data.h"

#include <stdlib.h>

#include "explain.h"
#include "live.h"

#define CPU_LIMIT 65536u /* a bound on what a wrong answer could make this program allocate */

static bool ask(const struct session *session, enum scrim_op op, uint64_t cpu, uint64_t what, uint64_t *value)
{
	struct reply reply = request(session, op, cpu, what);

	*value = reply.result0;
	if (reply.status == SCRIM_OK)
		return true;
	explain(session, "reading the counters", op, &reply);
	return false;
}

static bool take_cpu(const struct session *session, uint64_t index, struct top_cpu *cpu)
{
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++) {
		if (!ask(session, SCRIM_OP_CPU_EXITS, index, cause, &cpu->exits[cause]))
			return false;
		cpu->exits_total += cpu->exits[cause];
	}
	return ask(session, SCRIM_OP_CPU_INFO, index, SCRIM_CPU_STALLS, &cpu->stalls) &&
	       ask(session, SCRIM_OP_CPU_INFO, index, SCRIM_CPU_STALL_TSC, &cpu->stall_tsc) &&
	       ask(session, SCRIM_OP_CPU_INFO, index, SCRIM_CPU_STALL_LONGEST_TSC, &cpu->stall_longest_tsc);
}

static void add(struct top_cpu *all, const struct top_cpu *cpu)
{
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		all->exits[cause] += cpu->exits[cause];
	all->exits_total += cpu->exits_total;
	all->stalls += cpu->stalls;
	all->stall_tsc += cpu->stall_tsc;
	if (cpu->stall_longest_tsc > all->stall_longest_tsc)
		all->stall_longest_tsc = cpu->stall_longest_tsc;
}

static bool take_cpus(const struct session *session, struct top_sample *sample)
{
	sample->cpus = sample->cpu_count > CPU_LIMIT ? NULL : calloc((size_t)sample->cpu_count + 1, sizeof(*sample->cpus));
	if (sample->cpus == NULL) {
		complain(session, "no memory for the counters of %llu CPUs; free some and try again",
			 (unsigned long long)sample->cpu_count);
		return false;
	}
	for (uint64_t i = 0; i < sample->cpu_count; i++) {
		if (!take_cpu(session, i, &sample->cpus[i]))
			return false;
		add(&sample->all, &sample->cpus[i]);
	}
	return true;
}

bool top_take(const struct session *session, struct top_sample *sample)
{
	sample->at_us = live_now_us();
	return request_info(session, SCRIM_INFO_STATE, &sample->state) &&
	       request_info(session, SCRIM_INFO_PAGES_DISPLACED, &sample->displaced) &&
	       request_info(session, SCRIM_INFO_TSC_HZ, &sample->tsc_hz) &&
	       request_info(session, SCRIM_INFO_PAGES_MOVED, &sample->moved) &&
	       request_info(session, SCRIM_INFO_BATCHES, &sample->batches) &&
	       request_info(session, SCRIM_INFO_CPUS, &sample->cpu_count) && take_cpus(session, sample);
}

void top_free(struct top_sample *sample)
{
	free(sample->cpus);
	*sample = (struct top_sample){ 0 };
}

static void subtract(struct top_cpu *now, const struct top_cpu *before)
{
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		now->exits[cause] -= before->exits[cause];
	now->exits_total -= before->exits_total;
	now->stalls -= before->stalls;
	now->stall_tsc -= before->stall_tsc;
}

void top_subtract(struct top_sample *now, const struct top_sample *before)
{
	now->at_us -= before->at_us;
	now->moved -= before->moved;
	now->batches -= before->batches;
	subtract(&now->all, &before->all);
	for (uint64_t i = 0; i < now->cpu_count && i < before->cpu_count; i++)
		subtract(&now->cpus[i], &before->cpus[i]);
}
