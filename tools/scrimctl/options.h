/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the parsing of a verb's options. */
#pragma once

#include "ranges.h"
#include "session.h"

/* Which of the three pointers is there says what the option takes; with `flag` and `value` the value may be left out, and begins with a digit. */
struct option_spec {
	const char *name;          /* "--json"; NULL ends a table */
	bool *flag;                /* nothing */
	const char **value;        /* one value, "--backend nested" or "--backend=nested"; of several the last counts */
	struct range_list *ranges; /* a range A-B, any number of times; the caller frees the list in every case */
};

#define OPTIONS_BAD (-1)

/*
 * Sets what `specs` names and moves the operands to the front of argv (argv[0] is the verb). Returns their number, or
 * OPTIONS_BAD after a complaint. After "--" all are operands.
 */
int options_parse(const struct session *session, int argc, char **argv, const struct option_spec *specs) MUST_CHECK;

/* Complains if a verb that takes none has got operands. */
bool options_no_operands(const struct session *session, const char *verb, int operands, char **argv) MUST_CHECK;

/* `text` as one of `words`, which end in NULL: its index in *index. False after a complaint. */
bool options_word(const struct session *session, const char *option, const char *text, const char *const *words,
		  size_t *index) MUST_CHECK;

/* `text` as pages of one step, `least` to SCRIM_BATCH_MAX; NULL is the default. False after a complaint. */
bool options_batch(const struct session *session, const char *text, uint64_t least, uint64_t *pages) MUST_CHECK;
