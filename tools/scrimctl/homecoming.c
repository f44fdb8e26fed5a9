/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Homecoming: VIRTUALIZED -> REMAPPING -> CEASING -> NATIVE, or of a portion: VIRTUALIZED -> REMAPPING -> VIRTUALIZED
 * while another portion is managed, or the frames of some pages are retired. Each request but PAUSED is bounded, so it can be interrupted between any two; what
 * it leaves then is resumed by the next run, or undone. What a killed run began is finished first, as it was begun.
 */
#include "homecoming.h"

#include <inttypes.h>

#include "explain.h"
#include "names.h"
#include "portion.h"
#include "retired.h"
#include "steps.h"
#include "visit.h"

/* A pause that nobody would take for a hang. */
#define PAUSE_LIMIT_US 2000000u

/* Announces a pause before anything changes; false after a complaint: it is too long to be made without --force. */
static bool estimate_pause(const struct session *session, struct homecoming *job)
{
	char text[TEXT_DURATION];
	uint64_t pause_us;

	if (!job->paused || job->estimated)
		return true;
	if (!request_info(session, SCRIM_INFO_PAUSE_US, &pause_us))
		return false;
	text_duration(text, pause_us);
	if (pause_us > PAUSE_LIMIT_US && !job->force) {
		complain(session,
			 "devirtualize --paused refused, the machine would stand still for about %s; leave --paused "
			 "out to bring pages home while everything runs, or add --force",
			 text);
		return false;
	}
	job->estimated = true;
	if (pause_us == 0)
		return true;
	fprintf(session->out, "the machine will stand still for about %s\n", text);
	fflush(session->out);
	return true;
}

/* A range that an earlier run of the same command has brought home is done. */
static bool drop_ranges_done(const struct session *session, struct homecoming *job)
{
	struct range_list managed = { 0 };
	bool known = ranges_request(session, SCRIM_RANGE_MANAGED, &managed);
	size_t asked = job->ranges.count;

	if (known)
		ranges_keep_overlapping(&job->ranges, &managed);
	job->dropped = asked - job->ranges.count;
	ranges_free(&managed);
	return known;
}

/* All that can be known to fail is found out here, while this run has changed nothing. */
static bool check(const struct session *session, struct homecoming *job)
{
	char why[VISIT_WHY];

	if (job->checked)
		return true;
	if (job->portions && ((job->resumed && !drop_ranges_done(session, job)) ||
			      !portion_check_managed(session, "devirtualize", &job->ranges)))
		return false;
	switch (visit_try(session, why)) {
	case VISIT_STUCK:
		complain(session, "devirtualize refused, nothing has changed: %s", why);
		return false;
	case VISIT_INTERRUPTED:
		complain(session, "devirtualize interrupted, nothing has changed; run it again at any time");
		return false;
	case VISIT_DONE:
		break;
	}
	job->checked = true;
	return true;
}

static enum pace report_portions(const struct session *session, const struct homecoming *job)
{
	struct range_list managed = { 0 }, retired = { 0 };
	enum pace pace = PACE_FAILED;
	uint64_t pages;

	if (ranges_request(session, SCRIM_RANGE_MANAGED, &managed) &&
	    ranges_request(session, SCRIM_RANGE_RETIRED, &retired) &&
	    request_info(session, SCRIM_INFO_PAGES_MANAGED, &pages))
		pace = PACE_DONE;
	for (size_t i = 0; pace == PACE_DONE && i < job->ranges.count; i++) {
		if (retired_explain(&retired, &managed, &job->ranges.items[i]))
			continue;
		complain(session,
			 "devirtualize: 0x%" PRIx64 "-0x%" PRIx64 " is managed again or still, another scrimctl seems "
			 "to be at work; let it end and look at scrimctl status",
			 job->ranges.items[i].start, job->ranges.items[i].end);
		pace = PACE_FAILED;
	}
	if (pace == PACE_DONE)
		fprintf(session->out,
			"%zu range(s) are no longer virtualized: %" PRIu64 " page(s) came home, %" PRIu64
			" page(s) are still managed\n",
			job->ranges.count + job->dropped, job->pages_home, pages);
	for (size_t i = 0; pace == PACE_DONE && i < job->ranges.count; i++)
		retired_report(session, &retired, &managed, &job->ranges.items[i]);
	ranges_free(&managed);
	ranges_free(&retired);
	return pace;
}

/* All that can come home has; memory stays virtualized for pages whose own frames are retired. */
static enum pace report_retired(const struct session *session, const struct homecoming *job)
{
	const struct range everything = { 0, UINT64_MAX };
	struct range_list managed = { 0 }, retired = { 0 };
	enum pace pace = PACE_AGAIN;

	if (!ranges_request(session, SCRIM_RANGE_MANAGED, &managed) || !ranges_request(session, SCRIM_RANGE_RETIRED, &retired))
		pace = PACE_FAILED;
	else if (retired_explain(&retired, &managed, &everything)) {
		fprintf(session->out, "%" PRIu64 " page(s) came home\n", job->pages_home);
		retired_report(session, &retired, &managed, &everything);
		pace = PACE_DONE;
	}
	ranges_free(&managed);
	ranges_free(&retired);
	return pace;
}

/* The reverse map that was asked for, once. */
static enum pace set_reverse(const struct session *session, struct homecoming *job)
{
	enum pace pace = PACE_AGAIN;

	if (job->set_reverse)
		pace = switching_request(session, SCRIM_OP_REVERSE, job->reverse, "devirtualize --reverse");
	job->set_reverse = job->set_reverse && pace != PACE_AGAIN;
	return pace;
}

static enum pace report_interrupted(const struct session *session, const struct homecoming *job)
{
	if (job->next == 0)
		complain(session, "devirtualize interrupted in state virtualized; run it again at any time");
	else
		complain(session,
			 "devirtualize interrupted in state virtualized, after %zu of %zu range(s); run it again with "
			 "the rest",
			 job->next, job->ranges.count);
	return PACE_FAILED;
}

/* VIRTUALIZED: what is next begins to come home. */
static enum pace begin(const struct session *session, struct homecoming *job)
{
	struct range range = { 0, 0 };
	struct reply reply;

	if (!check(session, job))
		return PACE_FAILED;
	if (job->portions && job->next == job->ranges.count)
		return report_portions(session, job);
	if (!job->portions && job->next > 0) {
		enum pace pace = report_retired(session, job);

		if (pace != PACE_AGAIN)
			return pace;
	}
	if (*session->interrupted != 0)
		return report_interrupted(session, job);
	if (!estimate_pause(session, job) || set_reverse(session, job) != PACE_AGAIN)
		return PACE_FAILED;
	if (job->portions)
		range = job->ranges.items[job->next];
	reply = request(session, SCRIM_OP_DEVIRTUALIZE, range.start | job->remap, range.end);
	if (reply.status != SCRIM_OK && reply.status != SCRIM_ESTATE) {
		explain(session, "devirtualize", SCRIM_OP_DEVIRTUALIZE, &reply);
		return PACE_FAILED;
	}
	if (reply.status == SCRIM_OK)
		job->next++;
	job->asked = true;
	return PACE_AGAIN;
}

static enum pace report_unfinished(const struct session *session)
{
	complain(session, "devirtualize interrupted in state remapping, with pages still displaced; run scrimctl "
			  "devirtualize to go on, or scrimctl devirtualize --abort to return to virtualized");
	return PACE_FAILED;
}

static bool last_step(const struct reply *answer)
{
	return answer->result1 != SCRIM_REMAPPING;
}

static enum pace pause_and_bring(const struct session *session)
{
	struct reply reply;

	if (*session->interrupted != 0)
		return report_unfinished(session);
	reply = request(session, SCRIM_OP_PAUSED, 0, 0);
	if (reply.status == SCRIM_OK || reply.status == SCRIM_ESTATE)
		return PACE_AGAIN;
	explain(session, "devirtualize --paused stopped in state remapping", SCRIM_OP_PAUSED, &reply);
	return PACE_FAILED;
}

/*
 * How many pages are on their way is not known where a portion comes home while others stay displaced: at most all that
 * are displaced, and at most all of the portion.
 */
static bool pages_on_their_way(const struct session *session, uint64_t displaced, uint64_t *pages)
{
	const struct range everything = { 0, UINT64_MAX };
	struct range_list remapping = { 0 };
	bool known = ranges_request(session, SCRIM_RANGE_REMAPPING, &remapping);
	uint64_t all = ranges_common_bytes(&remapping, &everything) / PAGE_BYTES;

	ranges_free(&remapping);
	*pages = all != 0 && all < displaced ? all : displaced;
	return known;
}

static enum pace step_home(const struct session *session, const struct homecoming *job, uint64_t displaced)
{
	struct steps steps = { .op = SCRIM_OP_STEP, .batch = job->batch, .jobs = job->jobs, .finished = last_step };
	struct reply answer;
	uint64_t pages;

	if (!pages_on_their_way(session, displaced, &pages))
		return PACE_FAILED;
	steps.floor = displaced - pages;
	progress_start(&steps.progress, "bringing pages home", pages);
	switch (steps_run(session, &steps, &answer)) {
	case STEPS_DONE:
	case STEPS_ELSEWHERE:
		break;
	case STEPS_INTERRUPTED:
		return report_unfinished(session);
	case STEPS_REFUSED:
		explain(session, "bringing pages home stopped", SCRIM_OP_STEP, &answer);
		return PACE_FAILED;
	}
	return PACE_AGAIN;
}

static enum pace bring_home(const struct session *session, struct homecoming *job)
{
	uint64_t before, after;
	enum pace pace;

	job->resumed = job->resumed || !job->asked;
	job->asked = true;
	if (!estimate_pause(session, job) || !request_info(session, SCRIM_INFO_PAGES_DISPLACED, &before))
		return PACE_FAILED;
	pace = job->paused ? pause_and_bring(session) : step_home(session, job, before);
	if (pace == PACE_AGAIN && !request_info(session, SCRIM_INFO_PAGES_DISPLACED, &after))
		return PACE_FAILED;
	if (pace == PACE_AGAIN && after < before)
		job->pages_home += before - after;
	return pace;
}

/* In CEASING, and in COMMENCING on the way back. `resume` says how to go on. */
static enum pace switch_cpus(const struct session *session, const char *state, const char *resume)
{
	char why[VISIT_WHY];

	switch (visit_switch(session, true, why)) {
	case VISIT_STUCK:
		complain(session, "devirtualize stopped in state %s with every page home: %s; then run %s", state, why,
			 resume);
		return PACE_FAILED;
	case VISIT_INTERRUPTED:
		complain(session, "devirtualize interrupted in state %s with every page home; run %s", state, resume);
		return PACE_FAILED;
	case VISIT_DONE:
		break;
	}
	return PACE_AGAIN;
}

static enum pace report_native(const struct session *session, enum scrim_state state, const struct homecoming *job)
{
	if (!job->asked)
		fprintf(session->out, "memory is not virtualized (state %s); nothing was done\n", name_of_state(state));
	else
		fprintf(session->out, "memory is no longer virtualized (state %s): %" PRIu64 " page(s) came home\n",
			name_of_state(state), job->pages_home);
	return PACE_DONE;
}

/* COMMENCING: what a killed virtualize left goes back, but not for a portion of it. */
static enum pace undo_virtualize(const struct session *session, struct homecoming *job)
{
	if (job->portions) {
		struct reply reply = { .status = SCRIM_ESTATE, .result0 = SCRIM_COMMENCING };

		explain(session, "devirtualize --range refused", SCRIM_OP_DEVIRTUALIZE, &reply);
		return PACE_FAILED;
	}
	job->asked = true;
	return switching_request(session, SCRIM_OP_ABORT, 0, "undoing virtualize");
}

enum pace homecoming_act(const struct session *session, enum scrim_state state, void *context)
{
	struct homecoming *job = context;

	switch (state) {
	case SCRIM_VIRTUALIZED:
		return begin(session, job);
	case SCRIM_COMMENCING:
		return undo_virtualize(session, job);
	case SCRIM_REMAPPING:
		return bring_home(session, job);
	case SCRIM_CEASING:
		job->asked = true;
		return switch_cpus(session, "ceasing",
				   "scrimctl devirtualize to finish it, or scrimctl devirtualize --abort to undo it");
	case SCRIM_GUARDED:
	case SCRIM_NATIVE:
	case SCRIM_STATE_COUNT:
		break;
	}
	return report_native(session, state, job);
}

enum pace homecoming_act_abort(const struct session *session, enum scrim_state state, void *context)
{
	struct homecoming *job = context;

	switch (state) {
	case SCRIM_REMAPPING:
	case SCRIM_CEASING:
		job->asked = true;
		return switching_request(session, SCRIM_OP_ABORT, 0, "undoing devirtualize");
	case SCRIM_COMMENCING: /* half-way back */
		job->asked = true;
		return switch_cpus(session, "commencing",
				   "scrimctl virtualize to finish it, or scrimctl devirtualize to undo it");
	case SCRIM_VIRTUALIZED:
		fprintf(session->out, "memory is virtualized%s\n",
			job->asked ? " again" : " already; nothing was done");
		return PACE_DONE;
	case SCRIM_GUARDED:
	case SCRIM_NATIVE:
	case SCRIM_STATE_COUNT:
		break;
	}
	complain(session,
		 "devirtualize --abort refused, there is no unfinished devirtualize (state %s); run scrimctl "
		 "virtualize to virtualize memory again",
		 name_of_state(state));
	return PACE_FAILED;
}
