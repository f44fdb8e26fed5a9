/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what virtualize and devirtualize share: one look at the state after another until the goal is reached. */
#pragma once

#include "request.h"

/* What a look at the state led to. */
enum pace {
	PACE_AGAIN = 0, /* something was asked of Scrim: look again */
	PACE_DONE,
	PACE_FAILED /* after a complaint */
};

/*
 * Reads the state and lets `act` do what it asks for, until that says PACE_DONE or PACE_FAILED. Whatever state a killed
 * program left is so just another place to start from. Bounded: two programs that undo each other's work both end. The
 * bound grows with `parts`, the number of pieces in which the work is done.
 */
enum exit_code switching_drive(const struct session *session,
			       enum pace (*act)(const struct session *session, enum scrim_state state, void *job),
			       void *job, size_t parts) MUST_CHECK;

/* One request that changes the state. A refusal because the state has changed meanwhile is PACE_AGAIN. */
enum pace switching_request(const struct session *session, enum scrim_op op, uint64_t argument,
			    const char *subject) MUST_CHECK;
