/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the way to VIRTUALIZED: of all memory or of portions of it, and from one back-end to another. */
#pragma once

#include "ranges.h"
#include "switching.h"

struct commencing {
	struct range_list ranges; /* empty: all RAM; the caller frees it */
	uint64_t backend;         /* enum scrim_backend; 0: none was named */

	/* How far this run is; zeroed at first. */
	bool asked;    /* VIRTUALIZE has been asked for, or was found asked for */
	bool checked;  /* the ranges are RAM */
	bool managed;  /* they, or all RAM, are known to be managed */
	bool changed;  /* something was not managed before */
	bool switched; /* CPUs have gone over to the back-end */
};

/* For switching_drive(): virtualizes as `context`, a struct commencing, says. */
enum pace commencing_act(const struct session *session, enum scrim_state state, void *context);
