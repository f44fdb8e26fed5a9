/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl lend`: RAM of the OS's for Scrim's free frames, and back. */
#include "lending.h"
#include "number.h"
#include "options.h"
#include "verbs.h"

static enum exit_code run_lend(const struct session *session, int argc, char **argv)
{
	const struct option_spec specs[] = { { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	uint32_t version;
	uint64_t bytes;

	if (operands == OPTIONS_BAD)
		return EXIT_USAGE;
	if (operands != 1) {
		complain(session, "lend needs one size, and 0 gives all back; see scrimctl lend --help");
		return EXIT_USAGE;
	}
	if (!number_parse(argv[1], &bytes)) {
		complain(session, "%s is no size; write it as 256M, 0x10000000 or 268435456", argv[1]);
		return EXIT_USAGE;
	}
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return lending_set(session, bytes);
}

const struct verb verb_lend = {
	.name = "lend",
	.arguments = "SIZE",
	.summary = "Give Scrim memory for free frames",
	.help = "Puts memory blocks of Linux's offline and lends them to Scrim, so that displaced pages find frames "
		"there. SIZE\n"
		"is how much is to be lent in all, rounded up to whole blocks: less than now gives the rest back, 0 "
		"everything.\n"
		"Lent memory is neither touched by Linux nor given to devices. Do not put it online by hand. If not "
		"enough\n"
		"blocks can be had, those that were taken go back, and the exit status is 1. Blocks of RAM that are "
		"offline and\n"
		"not lent, as a killed run leaves one, are taken first, or put online again.\n"
		"\n"
		"  SIZE     for instance 256M, 0x10000000 or 268435456\n"
		"\n"
		"Example: scrimctl lend 512M && scrimctl status\n",
	.run = run_lend,
};
