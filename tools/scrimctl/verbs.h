/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the table of verbs and the program behind main(). */
#pragma once

#include <stdint.h>

#include "session.h"

struct verb {
	const char *name;
	const char *arguments; /* as in the usage line */
	const char *summary;   /* one line */
	const char *help;      /* the rest of `scrimctl VERB --help`, with an example */
	enum exit_code (*run)(const struct session *session, int argc, char **argv); /* argv[0] is the verb */
};

extern const struct verb verb_status;
extern const struct verb verb_virtualize;
extern const struct verb verb_devirtualize;
extern const struct verb verb_move;
extern const struct verb verb_scatter;
extern const struct verb verb_share;
extern const struct verb verb_lend;
extern const struct verb verb_retire;
extern const struct verb verb_check;
extern const struct verb verb_map;
extern const struct verb verb_top;
extern const struct verb verb_trace;
extern const struct verb verb_snapshot;
extern const struct verb verb_dirty;

/* All of scrimctl: argv as main() got it. */
enum exit_code scrimctl_run(const struct session *session, int argc, char **argv) MUST_CHECK;
