/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads all that `status` shows. Each number is true at its own instant: where another program changes the machine
 * meanwhile, two numbers may be of different instants.
 */
#include "status_data.h"

#include <stdlib.h>

#include "explain.h"
#include "names.h"
#include "visit.h"

/* A bound on what a wrong answer could make this program allocate. */
#define CPU_LIMIT 65536u

const char status_reserve_formula[] = "of reserve=, one eighth (at least 256 KiB) is for tables: 4096 bytes x 3 (leaf "
				      "of the map, leaf of the back map, hardware table; 4 with an IOMMU, which has its own) "
				      "for each 2 MiB chunk in which a page is displaced, one (with an IOMMU two) for each "
				      "GiB with such a chunk, and one for each 2 MiB of frames; the rest is free frames: 4096 "
				      "bytes for each page that is displaced at the same time and does not go to the home "
				      "of another";

static bool complain_refused(const struct session *session, enum scrim_op op, const struct reply *reply)
{
	explain(session, "reading the status", op, reply);
	return false;
}

static bool gather_info(const struct session *session, struct status *status)
{
	/* The estimate of a pause is measured anew each time it is asked for, and is no state. */
	for (int what = 0; what < SCRIM_INFO_COUNT; what++)
		if (what != SCRIM_INFO_PAUSE_US && !request_info(session, (enum scrim_info)what, &status->info[what]))
			return false;
	return true;
}

static bool gather_cpu(const struct session *session, uint64_t index, struct status_cpu *cpu)
{
	for (unsigned what = 0; what < SCRIM_CPU_INFO_COUNT; what++) {
		struct reply reply = request(session, SCRIM_OP_CPU_INFO, index, what);

		if (reply.status != SCRIM_OK)
			return complain_refused(session, SCRIM_OP_CPU_INFO, &reply);
		cpu->info[what] = reply.result0;
	}
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++) {
		struct reply reply = request(session, SCRIM_OP_CPU_EXITS, index, cause);

		if (reply.status != SCRIM_OK)
			return complain_refused(session, SCRIM_OP_CPU_EXITS, &reply);
		cpu->exits[cause] = reply.result0;
		cpu->exits_total += reply.result0;
	}
	return true;
}

static bool gather_cpus(const struct session *session, struct status *status)
{
	uint64_t count = status->info[SCRIM_INFO_CPUS];

	if (count > CPU_LIMIT) {
		complain(session,
			 "Scrim reports %llu CPUs, more than this program can show; install the scrimctl that came "
			 "with the scrim.elf that was booted",
			 (unsigned long long)count);
		return false;
	}
	status->cpus = calloc(count == 0 ? 1 : (size_t)count, sizeof(*status->cpus));
	if (status->cpus == NULL) {
		complain(session, "no memory to read the status; free some and try again");
		return false;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (!gather_cpu(session, i, &status->cpus[i]))
			return false;
		for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
			status->exits[cause] += status->cpus[i].exits[cause];
		status->exits_total += status->cpus[i].exits_total;
	}
	return true;
}

/* Where the state of RAM next changes above `from`, or `end`. */
static uint64_t next_border(const struct range_list *list, uint64_t from, uint64_t end)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].start > from && list->items[i].start < end)
			end = list->items[i].start;
		if (list->items[i].end > from && list->items[i].end < end)
			end = list->items[i].end;
	}
	return end;
}

static const char *state_of(const struct status *status, const struct range *piece)
{
	if (ranges_overlap(&status->ranges[SCRIM_RANGE_REMAPPING], piece))
		return "remapping";
	return ranges_overlap(&status->ranges[SCRIM_RANGE_MANAGED], piece) ? "managed" : "locked";
}

/* Adds a piece, or lengthens the last one where it goes on in the same state. */
static bool add_portion(struct status *status, struct range piece)
{
	const char *state = state_of(status, &piece);
	struct status_portion *last = status->portion_count == 0 ? NULL : &status->portions[status->portion_count - 1];
	struct status_portion *portions;

	if (last != NULL && last->state == state && last->range.end == piece.start) {
		last->range.end = piece.end;
		return true;
	}
	portions = realloc(status->portions, (status->portion_count + 1) * sizeof(*portions));
	if (portions == NULL)
		return false;
	portions[status->portion_count++] = (struct status_portion){ piece, state };
	status->portions = portions;
	return true;
}

static bool cut_into_portions(struct status *status, const struct range *ram)
{
	struct range piece = { .end = ram->start };

	while (piece.end < ram->end) {
		piece.start = piece.end;
		piece.end = next_border(&status->ranges[SCRIM_RANGE_MANAGED], piece.start, ram->end);
		piece.end = next_border(&status->ranges[SCRIM_RANGE_REMAPPING], piece.start, piece.end);
		if (!add_portion(status, piece))
			return false;
	}
	return true;
}

static bool gather_portions(const struct session *session, struct status *status)
{
	const struct range_list *ram = &status->ranges[SCRIM_RANGE_RAM];

	for (size_t i = 0; i < ram->count; i++) {
		if (!cut_into_portions(status, &ram->items[i])) {
			complain(session, "no memory to read the status; free some and try again");
			return false;
		}
	}
	return true;
}

/* A guard that has ended is taken off by the CPU's own next request: without it `status` would show what is over. */
static bool settle_guards(const struct session *session)
{
	enum scrim_state state;

	if (!request_state(session, &state))
		return false;
	if (state == SCRIM_GUARDED)
		visit_settle(session);
	return true;
}

bool status_gather(const struct session *session, uint32_t version, struct status *status)
{
	status->version = version;
	if (!settle_guards(session) || !gather_info(session, status) || !gather_cpus(session, status))
		return false;
	for (int kind = 0; kind < SCRIM_RANGE_COUNT; kind++)
		if (!ranges_request(session, (enum scrim_range)kind, &status->ranges[kind]))
			return false;
	return gather_portions(session, status);
}

void status_free(struct status *status)
{
	free(status->cpus);
	free(status->portions);
	for (int kind = 0; kind < SCRIM_RANGE_COUNT; kind++)
		ranges_free(&status->ranges[kind]);
	*status = (struct status){ 0 };
}

const char *status_version(const struct status *status, char text[STATUS_VERSION_SIZE])
{
	snprintf(text, STATUS_VERSION_SIZE, "%u.%u.%u", status->version >> 16, status->version >> 8 & 0xff,
		 status->version & 0xff);
	return text;
}

const char *status_last_name(const struct status *status)
{
	return status->info[SCRIM_INFO_LAST_OP] == 0 ? NULL : name_of_op(status->info[SCRIM_INFO_LAST_OP]);
}

bool status_seconds(const struct status *status, enum scrim_info ticks, double *seconds)
{
	if (status->info[SCRIM_INFO_TSC_HZ] == 0)
		return false;
	*seconds = (double)status->info[ticks] / (double)status->info[SCRIM_INFO_TSC_HZ];
	return true;
}
