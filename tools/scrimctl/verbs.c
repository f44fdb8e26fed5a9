/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of verbs, what --help says, and the way from a command line to a verb. */
#include "verbs.h"

#include <string.h>

#include "scrim_abi.h"

static const struct verb *const verbs[] = {
	&verb_status,  &verb_virtualize, &verb_devirtualize, &verb_move,
	&verb_scatter, &verb_share,      &verb_lend,         &verb_retire,
	&verb_check,   &verb_map,        &verb_top,          &verb_trace,
	&verb_snapshot, &verb_dirty,
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static const char help_head[] = "scrimctl controls Scrim, the thin virtual machine monitor under this Linux. Scrim "
				"virtualizes the CPUs and, at\n"
				"first, not the memory. On command, while everything runs, it slides an Identity map "
				"of memory under the OS and\n"
				"may then move pages; on command it brings every page home and takes the map away.\n"
				"\n"
				"Usage: scrimctl VERB [OPTION]... [ADDR]...   (as root)\n"
				"       scrimctl VERB --help | --help | --version\n"
				"\n"
				"Verbs:\n";

static const char help_tail[] =
	"\n"
	"States, as status shows them:\n"
	"  guarded      an Identity map guards the start of CPUs: at boot, and while a CPU is offline\n"
	"  native       no map in the access path of any CPU\n"
	"  commencing   CPUs are switching to the Identity map, one after another\n"
	"  virtualized  every CPU translates through the map; pages may move\n"
	"  remapping    displaced pages are coming home\n"
	"  ceasing      every page is home; CPUs are switching off the map, one after another\n"
	"A command that is interrupted leaves one of these; it or the next command goes on from there.\n"
	"\n"
	"Examples:\n"
	"  scrimctl status                 what the machine is in\n"
	"  scrimctl virtualize             native -> virtualized\n"
	"  scrimctl move 0x40000000        one page to a free frame\n"
	"  scrimctl scatter --seed 7       pages to each other's frames, at random\n"
	"  scrimctl share                  equal pages to one frame\n"
	"  scrimctl lend 512M              more free frames, out of Linux's memory\n"
	"  scrimctl retire 0x3f52a000      a frame whose memory fails is never used again\n"
	"  scrimctl snapshot -o image      all RAM as of one instant, as an ELF core\n"
	"  scrimctl dirty --seconds 5      which pages are written\n"
	"  scrimctl check                  do all invariants of the map hold?\n"
	"  scrimctl map --watch            RAM as a picture, live\n"
	"  scrimctl devirtualize           every page home, virtualized -> native\n"
	"\n"
	"Exit status: 0 done, 1 refused or failed (the line on stderr says what, why and what to do), 2 wrong usage.\n"
	"See also scrimctl(8), scrim(7).\n";

static void print_help(FILE *stream)
{
	fputs(help_head, stream);
	for (size_t i = 0; i < VERB_COUNT; i++)
		fprintf(stream, "  %-13s %-21s %s\n", verbs[i]->name, verbs[i]->arguments, verbs[i]->summary);
	fputs(help_tail, stream);
}

static void print_verb_help(FILE *stream, const struct verb *verb)
{
	fprintf(stream, "Usage: scrimctl %s%s%s\n%s.\n\n%s", verb->name, verb->arguments[0] == '\0' ? "" : " ",
		verb->arguments, verb->summary, verb->help);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

static enum exit_code run_verb(const struct session *session, const struct verb *verb, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (is_help(argv[i])) {
			print_verb_help(session->out, verb);
			return EXIT_DONE;
		}
	}
	return verb->run(session, argc, argv);
}

enum exit_code scrimctl_run(const struct session *session, int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2) {
		complain(session, "no verb given; see scrimctl --help");
		return EXIT_USAGE;
	}
	if (is_help(argv[1])) {
		print_help(session->out);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		fprintf(session->out, "scrimctl %s (ABI %u)\n", SCRIMCTL_VERSION, SCRIM_ABI_VERSION);
		return EXIT_DONE;
	}
	verb = find_verb(argv[1]);
	if (verb == NULL) {
		complain(session, "%s is no verb of scrimctl; see scrimctl --help", argv[1]);
		return EXIT_USAGE;
	}
	return run_verb(session, verb, argc - 1, argv + 1);
}
