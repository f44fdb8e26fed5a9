/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of a verb. Unlike getopt it has no state, so that tests can call a verb many times. */
#include "options.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "number.h"

/* A quarter of the most: keeps one CPU in Scrim for well below a scheduler's tick. */
#define BATCH_DEFAULT 64
_Static_assert(BATCH_DEFAULT >= 2 && BATCH_DEFAULT <= SCRIM_BATCH_MAX, "every kind of step takes so many pages");

/* The text after NAME where `word` is NAME or NAME=..., else NULL. */
static const char *match(const char *word, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(word, name, length) != 0 || (word[length] != '\0' && word[length] != '='))
		return NULL;
	return word + length;
}

static const struct option_spec *find(const struct option_spec *specs, const char *word, const char **rest)
{
	for (; specs->name != NULL; specs++) {
		*rest = match(word, specs->name);
		if (*rest != NULL)
			return specs;
	}
	return NULL;
}

/* What an option with a value takes. False after a complaint. */
static bool take_value(const struct session *session, const char *verb, const struct option_spec *spec,
		       const char *value)
{
	struct range range;

	if (spec->ranges == NULL) {
		*spec->value = value;
		return true;
	}
	if (!range_parse(value, &range)) {
		complain(session,
			 "%s of %s is no range of memory; write it as A-B with A below B, the end excluded, for "
			 "instance 0x40000000-0x50000000 or 1G-1280M",
			 value, verb);
		return false;
	}
	if (!ranges_add(spec->ranges, range)) {
		complain(session, "no memory for the ranges of %s; give fewer at a time", verb);
		return false;
	}
	return true;
}

/* Takes one option at argv[at]; returns the index of the last word it used, or OPTIONS_BAD. */
static int take(const struct session *session, int argc, char **argv, int at, const struct option_spec *specs)
{
	const char *rest;
	const struct option_spec *spec = find(specs, argv[at], &rest);

	if (spec == NULL || (spec->flag != NULL && spec->value == NULL && *rest == '=')) {
		complain(session, "%s does not take %s; see scrimctl %s --help", argv[0], argv[at], argv[0]);
		return OPTIONS_BAD;
	}
	if (spec->flag != NULL) {
		*spec->flag = true;
		if (spec->value == NULL || (*rest != '=' && (at + 1 >= argc || !isdigit((unsigned char)argv[at + 1][0]))))
			return at;
	}
	if (*rest == '=')
		return take_value(session, argv[0], spec, rest + 1) ? at : OPTIONS_BAD;
	if (at + 1 >= argc) {
		complain(session, "%s of %s needs a value; see scrimctl %s --help", argv[at], argv[0], argv[0]);
		return OPTIONS_BAD;
	}
	return take_value(session, argv[0], spec, argv[at + 1]) ? at + 1 : OPTIONS_BAD;
}

int options_parse(const struct session *session, int argc, char **argv, const struct option_spec *specs)
{
	int operands = 0;
	bool only_operands = false;

	for (int i = 1; i < argc; i++) {
		if (only_operands || argv[i][0] != '-') {
			argv[++operands] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else {
			i = take(session, argc, argv, i, specs);
			if (i == OPTIONS_BAD)
				return OPTIONS_BAD;
		}
	}
	return operands;
}

bool options_no_operands(const struct session *session, const char *verb, int operands, char **argv)
{
	if (operands == 0)
		return true;
	complain(session, "%s takes no operand, and got %s; see scrimctl %s --help", verb, argv[1], verb);
	return false;
}

bool options_word(const struct session *session, const char *option, const char *text, const char *const *words,
		  size_t *index)
{
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], text) == 0) {
			*index = i;
			return true;
		}
	}
	complain(session, "%s does not take %s; see --help of this verb for what it takes", option, text);
	return false;
}

bool options_batch(const struct session *session, const char *text, uint64_t least, uint64_t *pages)
{
	*pages = BATCH_DEFAULT;
	if (text == NULL)
		return true;
	if (number_parse(text, pages) && *pages >= least && *pages <= SCRIM_BATCH_MAX)
		return true;
	complain(session, "--batch %s is no number of pages for one step; give %" PRIu64 " to %u", text, least,
		 SCRIM_BATCH_MAX);
	return false;
}
