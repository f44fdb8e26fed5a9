/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl top`: what Scrim does at this time, an interval after the other. Changes nothing. */
#include "live.h"
#include "options.h"
#include "top_data.h"
#include "verbs.h"

static enum exit_code show(const struct session *session, struct top_sample *now, const struct top_sample *before,
			   bool as_json)
{
	if (!top_take(session, now))
		return EXIT_REFUSED;
	top_subtract(now, before);
	if (as_json)
		return top_print_json(session, now);
	top_print(session, now);
	return EXIT_DONE;
}

/* Each interval ends where the next begins, but for the time that printing takes. */
static enum exit_code watch(const struct session *session, struct live *live, bool as_json)
{
	enum exit_code code = EXIT_DONE;

	live->shown = 1; /* the first interval has yet to pass */
	live->count += live->count != 0;
	while (code == EXIT_DONE && *session->interrupted == 0) {
		struct top_sample before = { 0 }, now = { 0 };
		bool more = false;

		code = top_take(session, &before) ? EXIT_DONE : EXIT_REFUSED;
		if (code == EXIT_DONE) {
			more = live_next(session, live);
			if (more)
				code = show(session, &now, &before, as_json);
		}
		top_free(&before);
		top_free(&now);
		if (!more)
			break;
	}
	return code;
}

static enum exit_code run_top(const struct session *session, int argc, char **argv)
{
	bool as_json = false;
	const char *seconds = NULL, *count = NULL;
	const struct option_spec specs[] = { { .name = "--json", .flag = &as_json },
					     { .name = "--every", .value = &seconds },
					     { .name = "--count", .value = &count },
					     { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	struct session live_session = *session;
	struct live live;
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "top", operands, argv) ||
	    !live_parse(session, "--every", seconds, count, &live))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	live_session.redraws = session->redraws && !as_json;
	if (live_session.redraws)
		fputs("\033[2J", session->out);
	return watch(&live_session, &live, as_json);
}

const struct verb verb_top = {
	.name = "top",
	.arguments = "[OPTION]...",
	.summary = "Exits, moves and stalls, live",
	.help = "Shows what Scrim does, a second after the other until a signal comes: exits of each CPU by cause, pages moved, and\n"
		"stalls: times that a CPU waited for a page that was being moved. The longest stall is that since boot. The exits by\n"
		"which this is asked for are among them: request, some 20 a CPU.\n"
		"\n"
		"  --every SECONDS  instead of each second\n"
		"  --count N        so many times\n"
		"  --json           for programs: an object each time, with counts of the interval, and how long it was\n"
		"\n"
		"Example: scrimctl top --every 5\n",
	.run = run_top,
};
