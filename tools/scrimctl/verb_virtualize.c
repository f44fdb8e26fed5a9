/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `scrimctl virtualize`: NATIVE -> COMMENCING -> VIRTUALIZED. Ends in VIRTUALIZED, or where it was before: whether
 * every CPU can be visited is found out before anything changes, and what fails or is interrupted later is undone.
 */
#include <inttypes.h>
#include <string.h>

#include "explain.h"
#include "names.h"
#include "options.h"
#include "switching.h"
#include "verbs.h"
#include "visit.h"

struct job {
	bool asked; /* VIRTUALIZE has been asked for, or was found asked for */
};

static enum pace report_done(const struct session *session, const struct job *job)
{
	uint64_t cpus;

	if (!job->asked) {
		fputs("memory is virtualized already; nothing was done\n", session->out);
		return PACE_DONE;
	}
	if (!request_info(session, SCRIM_INFO_CPUS_TRANSLATING, &cpus))
		return PACE_FAILED;
	fprintf(session->out, "memory is virtualized: %" PRIu64 " CPU(s) translate through the map\n", cpus);
	return PACE_DONE;
}

static enum pace start(const struct session *session, struct job *job)
{
	char why[VISIT_WHY];

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
	return switching_request(session, SCRIM_OP_VIRTUALIZE, "virtualize");
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

static enum pace act(const struct session *session, enum scrim_state state, void *context)
{
	struct job *job = context;

	switch (state) {
	case SCRIM_GUARDED:
	case SCRIM_NATIVE:
		return start(session, job);
	case SCRIM_COMMENCING:
		job->asked = true;
		return switch_cpus(session);
	case SCRIM_VIRTUALIZED:
		return report_done(session, job);
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

static enum exit_code check_backend(const struct session *session, const char *backend)
{
	if (strcmp(backend, "nested") == 0)
		return EXIT_DONE;
	if (strcmp(backend, "shadow") == 0 || strcmp(backend, "vtlb") == 0) {
		complain(session, "the back-end %s is not in this version; use --backend nested, the default", backend);
		return EXIT_REFUSED;
	}
	complain(session, "%s is no back-end; use --backend nested, the default", backend);
	return EXIT_USAGE;
}

static enum exit_code run_virtualize(const struct session *session, int argc, char **argv)
{
	const char *backend = "nested";
	const struct option_spec specs[] = { { "--backend", NULL, &backend }, { NULL, NULL, NULL } };
	int operands = options_parse(session, argc, argv, specs);
	struct job job = { 0 };
	enum exit_code code;
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "virtualize", operands, argv))
		return EXIT_USAGE;
	code = check_backend(session, backend);
	if (code != EXIT_DONE)
		return code;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return switching_drive(session, act, &job);
}

const struct verb verb_virtualize = {
	.name = "virtualize",
	.arguments = "[--backend nested]",
	.summary = "Put the Identity map under the OS",
	.help = "native -> commencing -> virtualized. Visits each CPU of the OS in turn; the CPU switches itself to "
		"the Identity\n"
		"map in that visit, and nothing is stopped. Then pages may move. Where memory is virtualized already, "
		"nothing\n"
		"is done. What a killed virtualize left is finished. If a CPU cannot be visited, or on SIGINT, SIGTERM "
		"or\n"
		"SIGHUP, all is undone and the exit status is 1.\n"
		"\n"
		"  --backend nested   translate by the CPU's nested paging; the only back-end of this version\n"
		"\n"
		"Example: scrimctl virtualize && scrimctl move 0x40000000\n",
	.run = run_virtualize,
};
