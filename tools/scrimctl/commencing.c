/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commencing: NATIVE -> COMMENCING -> VIRTUALIZED. Ends in VIRTUALIZED, or where it was before: whether every CPU can be
 * visited is found out before anything changes, and what fails or is interrupted later is undone.
 */
#include "commencing.h"

#include <inttypes.h>

#include "explain.h"
#include "names.h"
#include "portion.h"
#include "visit.h"

static enum pace report_done(const struct session *session, const struct commencing *job)
{
	uint64_t cpus, pages, backend;

	if (!job->asked && !job->changed && !job->switched) {
		fputs("memory is virtualized already; nothing was done\n", session->out);
		return PACE_DONE;
	}
	if (!request_info(session, SCRIM_INFO_CPUS_TRANSLATING, &cpus))
		return PACE_FAILED;
	if (!request_info(session, SCRIM_INFO_BACKEND, &backend))
		return PACE_FAILED;
	fprintf(session->out, "memory is virtualized: %" PRIu64 " CPU(s) translate through the map, back-end %s\n", cpus,
		name_of_backend(backend));
	if (job->ranges.count == 0)
		return PACE_DONE;
	if (!request_info(session, SCRIM_INFO_PAGES_MANAGED, &pages))
		return PACE_FAILED;
	fprintf(session->out, "%zu range(s) are managed as asked, %" PRIu64 " page(s) in all\n", job->ranges.count,
		pages);
	return PACE_DONE;
}

/* Before anything changes, in whatever state this starts. */
static bool check_ranges(const struct session *session, struct commencing *job)
{
	job->checked = job->checked || job->ranges.count == 0 || portion_check_ram(session, "virtualize", &job->ranges);
	return job->checked;
}

/* VIRTUALIZE, also where it is resumed. */
static enum pace ask(const struct session *session, const struct commencing *job, uint64_t portions)
{
	struct reply reply = request(session, SCRIM_OP_VIRTUALIZE, portions, job->backend);

	if (reply.status == SCRIM_OK || reply.status == SCRIM_ESTATE)
		return PACE_AGAIN;
	explain(session, "virtualize", SCRIM_OP_VIRTUALIZE, &reply);
	return PACE_FAILED;
}

static enum pace start(const struct session *session, struct commencing *job)
{
	char why[VISIT_WHY];

	if (!check_ranges(session, job))
		return PACE_FAILED;
	switch (visit_try(session, why)) {
	case VISIT_STUCK:
		complain(session, "virtualize refused, nothing has changed: %s", why);
		return PACE_FAILED;
	case VISIT_INTERRUPTED:
		complain(session, "virtualize interrupted, nothing has changed; run it again at any time");
		return PACE_FAILED;
	case VISIT_DONE:
		break;
	}
	job->asked = true;
	return ask(session, job, job->ranges.count != 0);
}

/* Back to where memory is not virtualized, whatever signals come. `what` and `why` say what led here. */
static void undo(const struct session *session, const char *what, const char *why)
{
	struct reply reply = request(session, SCRIM_OP_ABORT, 0, 0);
	char stuck[VISIT_WHY];

	if (reply.status != SCRIM_OK)
		explain(session, what, SCRIM_OP_ABORT, &reply);
	else if (visit_switch(session, false, stuck) == VISIT_DONE)
		complain(session, "virtualize %s and undone, memory is not virtualized: %s", what, why);
	else
		complain(session,
			 "virtualize %s, the state is ceasing (memory is as the OS sees it on every CPU): %s; then run "
			 "scrimctl devirtualize to finish undoing it",
			 what, why);
}

/* What came of asking for all ranges. */
enum managing {
	MANAGING_DONE = 0,
	MANAGING_ELSEWHERE, /* the state has changed meanwhile */
	MANAGING_INTERRUPTED,
	MANAGING_REFUSED
};

/* MANAGE for each range that is not managed yet. On MANAGING_REFUSED, *at is the range and `why` the reason. */
static enum managing manage_ranges(const struct session *session, struct commencing *job, size_t *at, char why[VISIT_WHY])
{
	struct range_list managed = { 0 };
	enum managing outcome = MANAGING_DONE;

	if (!ranges_request(session, SCRIM_RANGE_MANAGED, &managed)) {
		snprintf(why, VISIT_WHY, "what is managed cannot be read; see scrimctl status");
		outcome = MANAGING_REFUSED;
	}
	for (*at = 0; outcome == MANAGING_DONE && *at < job->ranges.count; ++*at) {
		const struct range *range = &job->ranges.items[*at];
		struct reply reply;

		if (ranges_cover(&managed, range))
			continue;
		if (*session->interrupted != 0) {
			outcome = MANAGING_INTERRUPTED;
			break;
		}
		reply = request(session, SCRIM_OP_MANAGE, range->start, range->end);
		if (reply.status == SCRIM_OK) {
			job->changed = true;
			continue;
		}
		explain_text(why, VISIT_WHY, SCRIM_OP_MANAGE, &reply);
		outcome = reply.status == SCRIM_ESTATE ? MANAGING_ELSEWHERE : MANAGING_REFUSED;
		break;
	}
	ranges_free(&managed);
	return outcome;
}

/* COMMENCING, before the CPUs switch: what is to be managed, also where a killed run left it half said. */
static enum pace manage_first(const struct session *session, struct commencing *job)
{
	char why[VISIT_WHY];
	size_t at;

	if (job->ranges.count == 0) {
		job->managed = true;
		return ask(session, job, 0);
	}
	if (!check_ranges(session, job))
		return PACE_FAILED;
	switch (manage_ranges(session, job, &at, why)) {
	case MANAGING_REFUSED:
		undo(session, "failed", why);
		return PACE_FAILED;
	case MANAGING_INTERRUPTED:
		undo(session, "interrupted", "a signal came; run scrimctl virtualize again at any time");
		return PACE_FAILED;
	case MANAGING_ELSEWHERE:
		return PACE_AGAIN;
	case MANAGING_DONE:
		break;
	}
	job->managed = true;
	return PACE_AGAIN;
}

/* VIRTUALIZED: more is managed from now on. What was added before a refusal stays: it is home, and costs nothing. */
static enum pace manage_more(const struct session *session, struct commencing *job)
{
	char why[VISIT_WHY];
	size_t at;

	if (!check_ranges(session, job))
		return PACE_FAILED;
	switch (manage_ranges(session, job, &at, why)) {
	case MANAGING_REFUSED:
		complain(session, "virtualize stopped after %zu of %zu range(s): %s", at, job->ranges.count, why);
		return PACE_FAILED;
	case MANAGING_INTERRUPTED:
		complain(session, "virtualize interrupted after %zu of %zu range(s); run it again at any time", at,
			 job->ranges.count);
		return PACE_FAILED;
	case MANAGING_ELSEWHERE:
		return PACE_AGAIN;
	case MANAGING_DONE:
		break;
	}
	job->managed = true;
	return report_done(session, job);
}

static enum pace switch_cpus(const struct session *session)
{
	char why[VISIT_WHY];

	switch (visit_switch(session, true, why)) {
	case VISIT_STUCK:
		undo(session, "failed", why);
		return PACE_FAILED;
	case VISIT_INTERRUPTED:
		undo(session, "interrupted", "a signal came; run scrimctl virtualize again at any time");
		return PACE_FAILED;
	case VISIT_DONE:
		break;
	}
	return PACE_AGAIN;
}

/* VIRTUALIZED, with pages wherever they are: each CPU goes over in its visit. What is left of it the next run finishes. */
static enum pace change_backend(const struct session *session, struct commencing *job)
{
	char why[VISIT_WHY];
	uint64_t now;
	struct reply reply;

	if (!request_info(session, SCRIM_INFO_BACKEND, &now))
		return PACE_FAILED;
	reply = request(session, SCRIM_OP_BACKEND, job->backend, 0);
	if (reply.status == SCRIM_ESTATE)
		return PACE_AGAIN;
	if (reply.status != SCRIM_OK) {
		explain(session, "virtualize", SCRIM_OP_BACKEND, &reply);
		return PACE_FAILED;
	}
	switch (visit_switch(session, true, why)) {
	case VISIT_STUCK:
		complain(session, "not every CPU uses the back-end %s yet, which does no harm: %s", name_of_backend(job->backend),
			 why);
		return PACE_FAILED;
	case VISIT_INTERRUPTED:
		complain(session, "interrupted: not every CPU uses the back-end %s yet, which does no harm; run it again at any time",
			 name_of_backend(job->backend));
		return PACE_FAILED;
	case VISIT_DONE:
		break;
	}
	job->switched = now != job->backend;
	job->backend = 0;
	return PACE_AGAIN;
}

enum pace commencing_act(const struct session *session, enum scrim_state state, void *context)
{
	struct commencing *job = context;

	switch (state) {
	case SCRIM_GUARDED:
	case SCRIM_NATIVE:
		return start(session, job);
	case SCRIM_COMMENCING:
		job->asked = true;
		return job->managed ? switch_cpus(session) : manage_first(session, job);
	case SCRIM_VIRTUALIZED:
		if (job->backend != 0 && !job->asked)
			return change_backend(session, job);
		return job->managed || job->ranges.count == 0 ? report_done(session, job) : manage_more(session, job);
	case SCRIM_REMAPPING:
	case SCRIM_CEASING:
	case SCRIM_STATE_COUNT:
		break;
	}
	complain(
		session,
		"virtualize refused, devirtualize is unfinished (state %s); run scrimctl devirtualize to finish it, or "
		"scrimctl devirtualize --abort to return to virtualized",
		name_of_state(state));
	return PACE_FAILED;
}
