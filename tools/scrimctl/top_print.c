/* SPDX-License-Identifier: BSD-2-Clause */
/* An interval as lines to read, by the second, or as JSON, as it was counted. */
#include <inttypes.h>

#include "json.h"
#include "names.h"
#include "text.h"
#include "top_data.h"

static double per_second(const struct top_sample *change, uint64_t count)
{
	return change->at_us == 0 ? 0 : (double)count * 1e6 / (double)change->at_us;
}

/* 0 where Scrim could not measure how fast the TSC runs. */
static uint64_t us_of(const struct top_sample *change, uint64_t tsc)
{
	return change->tsc_hz == 0 ? 0 : (uint64_t)((double)tsc * 1e6 / (double)change->tsc_hz);
}

static const char *end_of_line(const struct session *session)
{
	return session->redraws ? "\033[K\n" : "\n";
}

static void print_cpu(const struct session *session, const struct top_sample *change, const char *name,
		      const struct top_cpu *cpu)
{
	char longest[TEXT_DURATION];

	fprintf(session->out, "%4s %9.0f %9.1f %10s ", name, per_second(change, cpu->exits_total),
		per_second(change, cpu->stalls), text_duration(longest, us_of(change, cpu->stall_longest_tsc)));
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		if (cpu->exits[cause] != 0)
			fprintf(session->out, " %s %.0f", name_of_exit(cause), per_second(change, cpu->exits[cause]));
	fputs(end_of_line(session), session->out);
}

void top_print(const struct session *session, const struct top_sample *change)
{
	const char *end = end_of_line(session);

	if (session->redraws)
		fputs("\033[H", session->out);
	fprintf(session->out, "%s, %" PRIu64 " pages displaced; each second: %.0f pages moved in %.0f batches%s%s",
		name_of_state(change->state), change->displaced, per_second(change, change->moved),
		per_second(change, change->batches), end, end);
	fprintf(session->out, " CPU   exits/s  stalls/s    longest  exits/s by cause%s", end);
	for (uint64_t i = 0; i < change->cpu_count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%" PRIu64, i);
		print_cpu(session, change, name, &change->cpus[i]);
	}
	print_cpu(session, change, "all", &change->all);
	fputs(session->redraws ? "\033[J" : "\n", session->out);
}

static json_t *cpu_json(const struct top_sample *change, const struct top_cpu *cpu)
{
	json_t *object = json_object(), *exits = json_object(), *causes = json_object(), *stalls = json_object();

	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		json_put(&causes, name_of_exit(cause), json_count(cpu->exits[cause]));
	json_put(&exits, "total", json_count(cpu->exits_total));
	json_put(&exits, "by_cause", causes);
	json_put(&stalls, "count", json_count(cpu->stalls));
	json_put(&stalls, "us", json_count(us_of(change, cpu->stall_tsc)));
	json_put(&stalls, "longest_us", json_count(us_of(change, cpu->stall_longest_tsc)));
	json_put(&object, "exits", exits);
	json_put(&object, "stalls", stalls);
	return object;
}

enum exit_code top_print_json(const struct session *session, const struct top_sample *change)
{
	json_t *root = json_object(), *cpus = json_array();

	for (uint64_t i = 0; i < change->cpu_count; i++)
		json_append(&cpus, cpu_json(change, &change->cpus[i]));
	json_put(&root, "seconds", json_real((double)change->at_us / 1e6));
	json_put(&root, "state", json_string(name_of_state(change->state)));
	json_put(&root, "pages_displaced", json_count(change->displaced));
	json_put(&root, "pages_moved", json_count(change->moved));
	json_put(&root, "batches", json_count(change->batches));
	json_put(&root, "all", cpu_json(change, &change->all));
	json_put(&root, "cpus", cpus);
	return json_print(session, root);
}
