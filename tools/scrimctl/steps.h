/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides long work: one bounded request after another until Scrim says that it is done. */
#pragma once

#include "request.h"
#include "text.h"

#define STEPS_JOBS_MAX 64

struct steps {
	enum scrim_op op;                             /* a step of this kind, of */
	uint64_t batch;                               /* so many pages, */
	unsigned jobs;                                /* from so many threads, 1 to STEPS_JOBS_MAX; */
	bool (*finished)(const struct reply *answer); /* until a step that went well was the last; */
	uint64_t floor;                               /* result 0 counts down to this, */
	struct progress progress;                     /* which has been started with the way down to it */
	struct reply good;                            /* set: the last answer to a step that went well */
};

enum steps_end {
	STEPS_DONE = 0,
	STEPS_ELSEWHERE,   /* the state has changed: another program took the last step, or undid the work */
	STEPS_INTERRUPTED, /* by a signal, between two steps */
	STEPS_REFUSED
};

/* Takes steps to the end, with progress. With STEPS_ELSEWHERE and STEPS_REFUSED, *answer says why. */
enum steps_end steps_run(const struct session *session, struct steps *steps, struct reply *answer) MUST_CHECK;
