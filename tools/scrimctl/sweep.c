/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sweep over a range of memory that is VIRTUALIZED. Every step leaves a valid map, so a sweep that ends early, by a
 * signal, a refusal or a kill, is no state that anything would have to resume.
 */
#include "sweep.h"

#include <inttypes.h>

#include "explain.h"
#include "names.h"

bool sweep_one_range(const struct session *session, const char *verb, const struct range_list *ranges)
{
	if (ranges->count <= 1)
		return true;
	complain(session, "%s takes one --range; run it once for each", verb);
	return false;
}

/* Asked first, so that a wrong state is named before the lack of managed memory that it brings with it. */
static bool check_state(const struct session *session, const struct sweep *sweep)
{
	enum scrim_state state;

	if (!request_state(session, &state))
		return false;
	if (state != SCRIM_VIRTUALIZED) {
		struct reply reply = { .status = SCRIM_ESTATE, .result0 = state };

		explain(session, sweep->verb, sweep->begin, &reply);
		return false;
	}
	return true;
}

/* From the first managed byte to the last. Pages between that may not be displaced are passed over by Scrim. */
static bool span_managed(const struct session *session, struct sweep *sweep)
{
	struct range_list managed = { 0 };
	struct range span = { .start = UINT64_MAX, .end = 0 };

	if (!ranges_request(session, SCRIM_RANGE_MANAGED, &managed)) {
		ranges_free(&managed);
		return false;
	}
	for (size_t i = 0; i < managed.count; i++) {
		span.start = managed.items[i].start < span.start ? managed.items[i].start : span.start;
		span.end = managed.items[i].end > span.end ? managed.items[i].end : span.end;
	}
	ranges_free(&managed);
	if (span.end == 0) {
		complain(session, "%s refused, no memory is managed; name some with scrimctl virtualize --range A-B",
			 sweep->verb);
		return false;
	}
	sweep->range = span;
	return true;
}

/* One without any RAM would be a sweep over nothing, which Scrim does not begin. */
static bool check_range(const struct session *session, struct sweep *sweep, const struct range *range)
{
	struct range_list ram = { 0 };
	bool known = ranges_request(session, SCRIM_RANGE_RAM, &ram);
	bool good = known && ranges_overlap(&ram, range);

	ranges_free(&ram);
	if (known && !good)
		complain(session,
			 "%s refused, no RAM of the OS's is in 0x%" PRIx64 "-0x%" PRIx64
			 "; scrimctl status lists the RAM",
			 sweep->verb, range->start, range->end);
	sweep->range = *range;
	return good;
}

static bool ask(const struct session *session, const struct sweep *sweep, enum scrim_op op, uint64_t argument0,
		uint64_t argument1)
{
	struct reply reply = request(session, op, argument0, argument1);

	if (reply.status != SCRIM_OK)
		explain(session, sweep->verb, op, &reply);
	return reply.status == SCRIM_OK;
}

static bool nothing_left(const struct reply *answer)
{
	return answer->result0 == 0;
}

static enum exit_code report_end(const struct session *session, const struct sweep *sweep, enum steps_end end,
				 const struct reply *answer)
{
	char subject[96];

	snprintf(subject, sizeof(subject), "%s stopped after %" PRIu64 " page(s) %s", sweep->verb, sweep->pages,
		 sweep->done);
	switch (end) {
	case STEPS_DONE:
		return EXIT_DONE;
	case STEPS_INTERRUPTED:
		complain(session,
			 "%s interrupted after %" PRIu64 " page(s) %s, the map is valid; run it again to do more, or "
			 "scrimctl devirtualize to bring all home",
			 sweep->verb, sweep->pages, sweep->done);
		break;
	case STEPS_ELSEWHERE:
	case STEPS_REFUSED:
		explain(session, subject, sweep->step, answer);
		break;
	}
	return EXIT_REFUSED;
}

static enum exit_code step_through(const struct session *session, struct sweep *sweep)
{
	struct steps steps = { .op = sweep->step, .batch = sweep->batch, .jobs = 1, .finished = nothing_left };
	struct reply answer = { .status = SCRIM_OK };
	enum steps_end end;

	progress_start(&steps.progress, sweep->doing, (sweep->range.end - sweep->range.start) / PAGE_BYTES);
	end = steps_run(session, &steps, &answer);
	sweep->seconds = progress_seconds(&steps.progress);
	sweep->pages = steps.good.result1;
	sweep->finished = end == STEPS_DONE;
	return report_end(session, sweep, end, &answer);
}

enum exit_code sweep_run(const struct session *session, struct sweep *sweep, const struct range_list *ranges)
{
	if (!check_state(session, sweep))
		return EXIT_REFUSED;
	if (ranges->count != 0 ? !check_range(session, sweep, &ranges->items[0]) : !span_managed(session, sweep))
		return EXIT_REFUSED;
	if (!ask(session, sweep, SCRIM_OP_AIM, sweep->range.start, sweep->range.end) ||
	    !ask(session, sweep, sweep->begin, sweep->argument0, sweep->argument1))
		return EXIT_REFUSED;
	sweep->begun = true;
	return step_through(session, sweep);
}
