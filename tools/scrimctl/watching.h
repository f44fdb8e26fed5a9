/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what verbs that watch memory share: the way to VIRTUALIZED and back where memory was NATIVE, and the beginning
 * and end of a watch.
 */
#pragma once

#include "request.h"

struct watching {
	const char *verb; /* "snapshot" */
	enum scrim_watch kind;
	enum scrim_writes writes;

	/* Zeroed at first. */
	bool virtualized; /* by this run, so that this run devirtualizes */
	bool begun;
	uint64_t cpus; /* whose registers were saved */
};

/*
 * To VIRTUALIZED, if it is not so yet. False after a complaint: a watch is on already, devirtualize or virtualize is
 * unfinished, or virtualize has failed; nothing has changed then.
 */
bool watching_enter(const struct session *session, struct watching *watching) MUST_CHECK;

/* The instant from which on memory is watched. False after a complaint. */
bool watching_begin(const struct session *session, struct watching *watching) MUST_CHECK;

/* The end of the watch: nothing is read-only any more. Does nothing where none was begun. False after a complaint. */
bool watching_end(const struct session *session, struct watching *watching) MUST_CHECK;

/*
 * Ends the watch if need be and brings memory to where watching_enter() found it, whatever signals come. False after a
 * complaint that says what is left to do.
 */
bool watching_leave(const struct session *session, struct watching *watching) MUST_CHECK;

/* Ends whatever watch is on, and says what that was. */
enum exit_code watching_cancel(const struct session *session) MUST_CHECK;
