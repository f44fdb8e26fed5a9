/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what scatter and share have in common: to aim at a range, to begin, and to step through it. */
#pragma once

#include "ranges.h"
#include "steps.h"

struct sweep {
	const char *verb;  /* "scatter" */
	const char *doing; /* "scattering" */
	const char *done;  /* "moved": what happened to pages, for messages */
	enum scrim_op begin, step;
	uint64_t argument0, argument1; /* of `begin` */
	uint64_t batch;

	/* Results. */
	struct range range;
	uint64_t pages; /* result 1 of the last step */
	double seconds;
	bool finished;
	bool begun; /* there is something to report, whether finished or not */
};

/*
 * Sweeps the one range that is listed or, where none is, everything that is managed. EXIT_REFUSED after a complaint,
 * also where a part was done (then `begun`): the map is valid after every step, nothing needs undoing.
 */
enum exit_code sweep_run(const struct session *session, struct sweep *sweep,
			 const struct range_list *ranges) MUST_CHECK;

/* Complains where more than one range was given. */
bool sweep_one_range(const struct session *session, const char *verb, const struct range_list *ranges) MUST_CHECK;
