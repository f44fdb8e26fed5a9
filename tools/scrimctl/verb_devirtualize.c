/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl devirtualize`: its options. The way home itself is in homecoming.c. */
#include <inttypes.h>

#include "homecoming.h"
#include "number.h"
#include "options.h"
#include "steps.h"
#include "verbs.h"

/* What was given on the command line, as text; NULL where it was not. */
struct words {
	const char *remap, *reverse, *batch, *jobs;
	bool concurrent, abort;
};

static const char *const remap_words[] = {
	[SCRIM_REMAP_DIRECT] = "direct",
	[SCRIM_REMAP_INDIRECT] = "indirect",
	[SCRIM_REMAP_COUNT] = NULL,
};

static const char *const reverse_words[] = {
	[SCRIM_REVERSE_SEARCH] = "search",
	[SCRIM_REVERSE_REFCOUNT] = "refcount",
	[SCRIM_REVERSE_BACKMAP] = "backmap",
	[SCRIM_REVERSE_COUNT] = NULL,
};

/* Options that contradict each other. */
static bool check_together(const struct session *session, const struct words *words, const struct homecoming *job)
{
	const char *wrong = NULL;

	if (words->abort && (words->concurrent || job->paused || job->force || words->remap != NULL ||
			     words->reverse != NULL || words->batch != NULL || words->jobs != NULL || job->portions))
		wrong = "--abort goes with no other option";
	else if (words->concurrent && job->paused)
		wrong = "--concurrent and --paused exclude each other";
	else if (job->force && !job->paused)
		wrong = "--force goes with --paused only";
	if (wrong != NULL)
		complain(session, "%s; see scrimctl devirtualize --help", wrong);
	return wrong == NULL;
}

static bool parse_jobs(const struct session *session, const char *text, unsigned *jobs)
{
	uint64_t number = 1;

	if (text != NULL && (!number_parse(text, &number) || number < 1 || number > STEPS_JOBS_MAX)) {
		complain(session, "--jobs %s is no number of threads; give 1 to %u", text, STEPS_JOBS_MAX);
		return false;
	}
	*jobs = (unsigned)number;
	return true;
}

static bool parse_words(const struct session *session, const struct words *words, struct homecoming *job)
{
	size_t remap = SCRIM_REMAP_DIRECT, reverse = SCRIM_REVERSE_BACKMAP;

	job->portions = job->ranges.count != 0;
	if (!check_together(session, words, job) || !parse_jobs(session, words->jobs, &job->jobs) ||
	    !options_batch(session, words->batch, 1, &job->batch))
		return false;
	if (words->remap != NULL && !options_word(session, "--remap", words->remap, remap_words, &remap))
		return false;
	if (words->reverse != NULL && !options_word(session, "--reverse", words->reverse, reverse_words, &reverse))
		return false;
	job->remap = (enum scrim_remap)remap;
	job->set_reverse = words->reverse != NULL;
	job->reverse = (enum scrim_reverse)reverse;
	return true;
}

static enum exit_code devirtualize(const struct session *session, const struct words *words, struct homecoming *job)
{
	uint32_t version;

	if (!parse_words(session, words, job))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return switching_drive(session, words->abort ? homecoming_act_abort : homecoming_act, job, job->ranges.count);
}

static enum exit_code run_devirtualize(const struct session *session, int argc, char **argv)
{
	struct words words = { 0 };
	struct homecoming job = { 0 };
	const struct option_spec specs[] = {
		{ .name = "--range", .ranges = &job.ranges }, { .name = "--concurrent", .flag = &words.concurrent },
		{ .name = "--paused", .flag = &job.paused },  { .name = "--force", .flag = &job.force },
		{ .name = "--remap", .value = &words.remap }, { .name = "--reverse", .value = &words.reverse },
		{ .name = "--batch", .value = &words.batch }, { .name = "--jobs", .value = &words.jobs },
		{ .name = "--abort", .flag = &words.abort },  { .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code code = EXIT_USAGE;

	if (operands != OPTIONS_BAD && options_no_operands(session, "devirtualize", operands, argv))
		code = devirtualize(session, &words, &job);
	ranges_free(&job.ranges);
	return code;
}

const struct verb verb_devirtualize = {
	.name = "devirtualize",
	.arguments = "[OPTION]...",
	.summary = "Bring pages home, take the map away",
	.help = "virtualized -> remapping -> ceasing -> native. Brings displaced pages home, with a progress line on a "
		"terminal,\n"
		"then visits each CPU of the OS, which switches itself off the map. Where memory is not virtualized, "
		"nothing is\n"
		"done. What a killed devirtualize left is finished as it was begun, and what a killed virtualize left "
		"is undone.\n"
		"On SIGINT, SIGTERM or SIGHUP it stops between two steps, says where, and the exit status is 1: run it "
		"again\n"
		"to go on. Pages whose own frames are retired cannot come home: the 2 MiB around each stay managed, and "
		"memory\n"
		"stays virtualized for them; that is told, and the exit status is 0.\n"
		"\n"
		"  --range A-B      only pages from A on and below B come home and are locked to Identity; can be "
		"repeated. The\n"
		"                   state is virtualized again while other memory is managed\n"
		"  --concurrent     in small steps while everything runs; this is the default\n"
		"  --paused         all at once while the machine stands still; how long is printed first\n"
		"  --force          with --paused: also for longer than 2 s\n"
		"  --remap HOW      direct: copy each page once, straight home (the default); indirect: clear every "
		"home first,\n"
		"                   by way of free frames\n"
		"  --reverse HOW    how Scrim finds who occupies a home, from now on: backmap (as at first), refcount "
		"or search\n"
		"  --batch PAGES    at most so many in one step, 1 to 256; 64 without it\n"
		"  --jobs N         step from N threads at once; 1 without it\n"
		"  --abort          return from an unfinished devirtualize to virtualized; pages that came home stay "
		"at "
		"home\n"
		"\n"
		"Example: scrimctl devirtualize --range 1G-1280M --remap direct\n",
	.run = run_devirtualize,
};
