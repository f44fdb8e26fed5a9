/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl virtualize`: its options. The way there itself is in commencing.c. */
#include <string.h>

#include "commencing.h"
#include "names.h"
#include "options.h"
#include "verbs.h"

static bool parse_backend(const struct session *session, const char *text, uint64_t *backend)
{
	*backend = 0;
	for (uint64_t i = SCRIM_BACKEND_NESTED; text != NULL && i <= SCRIM_BACKEND_VTLB; i++)
		if (strcmp(text, name_of_backend(i)) == 0)
			*backend = i;
	if (text == NULL || *backend != 0)
		return true;
	complain(session, "%s is no back-end; use --backend nested, shadow or vtlb", text);
	return false;
}

static enum exit_code virtualize(const struct session *session, const char *backend, struct commencing *job)
{
	uint32_t version;

	if (!parse_backend(session, backend, &job->backend))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return switching_drive(session, commencing_act, job, job->ranges.count);
}

static enum exit_code run_virtualize(const struct session *session, int argc, char **argv)
{
	const char *backend = NULL;
	struct commencing job = { 0 };
	const struct option_spec specs[] = {
		{ .name = "--backend", .value = &backend },
		{ .name = "--range", .ranges = &job.ranges },
		{ .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code code = EXIT_USAGE;

	if (operands != OPTIONS_BAD && options_no_operands(session, "virtualize", operands, argv))
		code = virtualize(session, backend, &job);
	ranges_free(&job.ranges);
	return code;
}

const struct verb verb_virtualize = {
	.name = "virtualize",
	.arguments = "[OPTION]...",
	.summary = "Put the Identity map under the OS",
	.help = "native -> commencing -> virtualized. Visits each CPU of the OS in turn; the CPU switches itself to "
		"the Identity\n"
		"map in that visit, and nothing is stopped. Then pages may move. Where memory is virtualized already, "
		"nothing\n"
		"is done, or ranges are added to what is managed. What a killed virtualize left is finished. If a CPU "
		"cannot be\n"
		"visited, or on SIGINT, SIGTERM or SIGHUP, all is undone and the exit status is 1.\n"
		"\n"
		"  --range A-B        only pages from A on and below B may move, the rest is locked to Identity and "
		"costs\n"
		"                     nothing; can be repeated; all RAM without it\n"
		"  --backend NAME     nested: the CPU's nested paging composes the OS's tables with the map, the default;\n"
		"                     shadow: Scrim keeps composed tables for each address space; vtlb: a bounded table of\n"
		"                     translations that Scrim loads on a miss. Where memory is virtualized already, CPUs go\n"
		"                     over to it one after another, and pages stay where they are\n"
		"\n"
		"Example: scrimctl virtualize --range 1G-1280M && scrimctl move 0x40000000\n",
	.run = run_virtualize,
};
