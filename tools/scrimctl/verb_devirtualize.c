/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `scrimctl devirtualize`: VIRTUALIZED -> REMAPPING -> CEASING -> NATIVE. Each request is bounded, so it can be
 * interrupted between any two; what it leaves then is resumed by the next run, or undone by --abort.
 */
#include <inttypes.h>

#include "explain.h"
#include "names.h"
#include "options.h"
#include "switching.h"
#include "text.h"
#include "verbs.h"
#include "visit.h"

/* A quarter of the most: keeps one CPU in Scrim for well below a scheduler's tick. */
#define STEP_PAGES 64
_Static_assert(STEP_PAGES >= 1 && STEP_PAGES <= SCRIM_BATCH_MAX, "STEP takes this many pages");

struct job {
	bool asked;          /* something was found or asked to be undone */
	uint64_t pages_home; /* brought by this run */
};

static bool interrupted(const struct session *session)
{
	return *session->interrupted != 0;
}

/* VIRTUALIZED: whether every CPU can be visited at the end is found out now, while nothing has changed. */
static enum pace start(const struct session *session, struct job *job)
{
	char why[VISIT_WHY];

	switch (visit_try(session, why)) {
	case VISIT_STUCK:
		complain(session, "devirtualize refused, nothing has changed: %s", why);
		return PACE_FAILED;
	case VISIT_INTERRUPTED:
		complain(session, "devirtualize interrupted, nothing has changed; run it again at any time");
		return PACE_FAILED;
	case VISIT_DONE:
		break;
	}
	job->asked = true;
	return switching_request(session, SCRIM_OP_DEVIRTUALIZE, "devirtualize");
}

static enum pace step_until_home(const struct session *session, struct progress *progress)
{
	for (;;) {
		struct reply reply;

		if (interrupted(session)) {
			progress_end(session, progress);
			complain(
				session,
				"devirtualize interrupted in state remapping, with pages still displaced; run scrimctl "
				"devirtualize to go on, or scrimctl devirtualize --abort to return to virtualized");
			return PACE_FAILED;
		}
		reply = request(session, SCRIM_OP_STEP, STEP_PAGES, 0);
		if (reply.status == SCRIM_ESTATE)
			return PACE_AGAIN; /* another program took the last step, or aborted */
		if (reply.status != SCRIM_OK) {
			progress_end(session, progress);
			explain(session, "bringing pages home stopped", SCRIM_OP_STEP, &reply);
			return PACE_FAILED;
		}
		progress_show(session, progress, reply.result0);
		if (reply.result0 == 0)
			return PACE_AGAIN;
	}
}

static enum pace bring_home(const struct session *session, struct job *job)
{
	struct progress progress;
	uint64_t before, after;
	enum pace pace;

	if (!request_info(session, SCRIM_INFO_PAGES_DISPLACED, &before))
		return PACE_FAILED;
	progress_start(&progress, before);
	pace = step_until_home(session, &progress);
	progress_end(session, &progress);
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

static enum pace report_native(const struct session *session, enum scrim_state state, const struct job *job)
{
	if (!job->asked)
		fprintf(session->out, "memory is not virtualized (state %s); nothing was done\n", name_of_state(state));
	else
		fprintf(session->out, "memory is no longer virtualized (state %s): %" PRIu64 " page(s) came home\n",
			name_of_state(state), job->pages_home);
	return PACE_DONE;
}

static enum pace act(const struct session *session, enum scrim_state state, void *context)
{
	struct job *job = context;

	switch (state) {
	case SCRIM_VIRTUALIZED:
		return start(session, job);
	case SCRIM_COMMENCING: /* a virtualize that was killed: its CPUs go back */
		job->asked = true;
		return switching_request(session, SCRIM_OP_ABORT, "undoing virtualize");
	case SCRIM_REMAPPING:
		job->asked = true;
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

static enum pace act_abort(const struct session *session, enum scrim_state state, void *context)
{
	struct job *job = context;

	switch (state) {
	case SCRIM_REMAPPING:
	case SCRIM_CEASING:
		job->asked = true;
		return switching_request(session, SCRIM_OP_ABORT, "undoing devirtualize");
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
		 "virtualize to "
		 "virtualize memory again",
		 name_of_state(state));
	return PACE_FAILED;
}

static enum exit_code run_devirtualize(const struct session *session, int argc, char **argv)
{
	bool abort = false;
	const struct option_spec specs[] = { { "--abort", &abort, NULL }, { NULL, NULL, NULL } };
	int operands = options_parse(session, argc, argv, specs);
	struct job job = { 0 };
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "devirtualize", operands, argv))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return switching_drive(session, abort ? act_abort : act, &job);
}

const struct verb verb_devirtualize = {
	.name = "devirtualize",
	.arguments = "[--abort]",
	.summary = "Bring every page home, take the map away",
	.help = "virtualized -> remapping -> ceasing -> native. Brings displaced pages home in small steps, with a "
		"progress line on\n"
		"a terminal, then visits each CPU of the OS, which switches itself off the map. Where memory is not "
		"virtualized,\n"
		"nothing is done. What a killed devirtualize left is finished, and what a killed virtualize left is "
		"undone.\n"
		"On SIGINT, SIGTERM or SIGHUP it stops between two steps, says where, and the exit status is 1: run it "
		"again\n"
		"to go on.\n"
		"\n"
		"  --abort   return from an unfinished devirtualize to virtualized; pages that came home stay at home\n"
		"\n"
		"Example: scrimctl devirtualize\n",
	.run = run_devirtualize,
};
