/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the parsing of a verb's options. */
#pragma once

#include "session.h"

struct option_spec {
	const char *name;   /* "--json"; NULL ends a table */
	bool *flag;         /* for an option without a value, or */
	const char **value; /* for one with: "--backend nested" or "--backend=nested" */
};

#define OPTIONS_BAD (-1)

/*
 * Sets what `specs` names and moves the operands to the front of argv (argv[0] is the verb). Returns their number, or
 * OPTIONS_BAD after a complaint. After "--" all are operands.
 */
int options_parse(const struct session *session, int argc, char **argv, const struct option_spec *specs) MUST_CHECK;

/* Complains if a verb that takes none has got operands. */
bool options_no_operands(const struct session *session, const char *verb, int operands, char **argv) MUST_CHECK;
