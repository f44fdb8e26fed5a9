/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of a verb. Unlike getopt it has no state, so that tests can call a verb many times. */
#include "options.h"

#include <string.h>

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

/* Takes one option at argv[at]; returns the index of the last word it used, or OPTIONS_BAD. */
static int take(const struct session *session, int argc, char **argv, int at, const struct option_spec *specs)
{
	const char *rest;
	const struct option_spec *spec = find(specs, argv[at], &rest);

	if (spec == NULL || (spec->flag != NULL && *rest == '=')) {
		complain(session, "%s does not take %s; see scrimctl %s --help", argv[0], argv[at], argv[0]);
		return OPTIONS_BAD;
	}
	if (spec->flag != NULL) {
		*spec->flag = true;
		return at;
	}
	if (*rest == '=') {
		*spec->value = rest + 1;
		return at;
	}
	if (at + 1 >= argc) {
		complain(session, "%s of %s needs a value; see scrimctl %s --help", argv[at], argv[0], argv[0]);
		return OPTIONS_BAD;
	}
	*spec->value = argv[at + 1];
	return at + 1;
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
