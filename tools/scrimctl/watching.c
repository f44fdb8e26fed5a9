/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watches. Whoever begins one ends it, and takes the map away again if it was this run that put it there. What a killed
 * run leaves (a watch, a map) is told apart from nothing: watching_enter() refuses, and --cancel ends it.
 */
#include "watching.h"

#include "commencing.h"
#include "explain.h"
#include "homecoming.h"
#include "names.h"

static bool check_free(const struct session *session, const struct watching *watching)
{
	struct reply refusal = { .status = SCRIM_EWATCH };
	uint64_t kind;

	if (!request_info(session, SCRIM_INFO_WATCH, &kind))
		return false;
	if (kind == SCRIM_WATCH_NONE)
		return true;
	explain(session, watching->verb, SCRIM_OP_WATCH, &refusal);
	return false;
}

bool watching_enter(const struct session *session, struct watching *watching)
{
	struct commencing job = { 0 };
	struct reply refusal = { .status = SCRIM_ESTATE };
	enum scrim_state state;

	if (!check_free(session, watching) || !request_state(session, &state))
		return false;
	switch (state) {
	case SCRIM_VIRTUALIZED:
		return true;
	case SCRIM_NATIVE:
	case SCRIM_GUARDED:
		watching->virtualized = switching_drive(session, commencing_act, &job, 0) == EXIT_DONE;
		return watching->virtualized;
	case SCRIM_COMMENCING:
	case SCRIM_REMAPPING:
	case SCRIM_CEASING:
	case SCRIM_STATE_COUNT:
		break;
	}
	refusal.result0 = state;
	explain(session, watching->verb, SCRIM_OP_WATCH, &refusal);
	return false;
}

bool watching_begin(const struct session *session, struct watching *watching)
{
	struct reply reply = request(session, SCRIM_OP_WATCH, watching->kind, watching->writes);

	if (reply.status != SCRIM_OK) {
		explain(session, watching->verb, SCRIM_OP_WATCH, &reply);
		return false;
	}
	watching->begun = true;
	watching->cpus = reply.result1;
	return true;
}

bool watching_end(const struct session *session, struct watching *watching)
{
	struct reply reply;

	if (!watching->begun)
		return true;
	reply = request(session, SCRIM_OP_WATCH, SCRIM_WATCH_NONE, 0);
	watching->begun = reply.status != SCRIM_OK;
	if (watching->begun)
		explain(session, watching->verb, SCRIM_OP_WATCH, &reply);
	return !watching->begun;
}

bool watching_leave(const struct session *session, struct watching *watching)
{
	static const volatile sig_atomic_t no_signal;
	struct session deaf = *session;
	struct homecoming job = { .remap = SCRIM_REMAP_DIRECT, .batch = SCRIM_BATCH_MAX, .jobs = 1 };
	bool ended = watching_end(session, watching);

	if (!watching->virtualized)
		return ended;
	deaf.interrupted = &no_signal;
	watching->virtualized = switching_drive(&deaf, homecoming_act, &job, 0) != EXIT_DONE;
	return ended && !watching->virtualized;
}

enum exit_code watching_cancel(const struct session *session)
{
	enum scrim_state state;
	struct reply reply;
	uint64_t kind;

	if (!request_info(session, SCRIM_INFO_WATCH, &kind) || !request_state(session, &state))
		return EXIT_REFUSED;
	if (kind == SCRIM_WATCH_NONE) {
		fputs("memory is not watched; nothing was done\n", session->out);
		return EXIT_DONE;
	}
	reply = request(session, SCRIM_OP_WATCH, SCRIM_WATCH_NONE, 0);
	if (reply.status != SCRIM_OK) {
		explain(session, "snapshot --cancel", SCRIM_OP_WATCH, &reply);
		return EXIT_REFUSED;
	}
	fprintf(session->out, "%s is ended, nothing is read-only any more; the state is %s%s\n",
		kind == SCRIM_WATCH_IMAGE ? "the image" : "noting what is written", name_of_state(state),
		state == SCRIM_VIRTUALIZED ? ", and scrimctl devirtualize takes the map away" : "");
	return EXIT_DONE;
}
