/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the way home: of all memory or of portions of it, in steps or in one pause. And the way back from it. */
#pragma once

#include "ranges.h"
#include "switching.h"

struct homecoming {
	bool portions;            /* only */
	struct range_list ranges; /* these: the caller frees it; else all that is managed */
	enum scrim_remap remap;
	bool set_reverse; /* to this, first */
	enum scrim_reverse reverse;
	bool paused, force;
	uint64_t batch;
	unsigned jobs;

	/* How far this run is; zeroed at first. */
	size_t next;         /* of the ranges, to begin with */
	size_t dropped;      /* ranges that an earlier run has brought home */
	bool resumed;        /* what a killed run began was found, and has been gone on with */
	bool checked;        /* the ranges, and that every CPU can be visited */
	bool estimated;      /* the pause has been announced */
	bool asked;          /* something was found or asked to be undone */
	uint64_t pages_home; /* brought by this run */
};

/* For switching_drive(): brings home what `context`, a struct homecoming, says. */
enum pace homecoming_act(const struct session *session, enum scrim_state state, void *context);

/* For switching_drive(): from an unfinished homecoming back to VIRTUALIZED. */
enum pace homecoming_act_abort(const struct session *session, enum scrim_state state, void *context);
