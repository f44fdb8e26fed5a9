/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl dirty`: which pages are written in the course of an interval. */
#include <inttypes.h>

#include "dirty_picture.h"
#include "json.h"
#include "number.h"
#include "options.h"
#include "text.h"
#include "verbs.h"
#include "visit.h"
#include "watching.h"

#define SECONDS_DEFAULT 10
#define SECONDS_MAX     86400u
#define SAMPLES         8u
#define PAUSE_MS        100u

struct sample {
	double seconds;
	uint64_t written; /* pages since the beginning */
};

struct job {
	struct range_list ranges;
	uint64_t seconds;
	bool as_json;
	struct dirty_pages dirty;
	struct sample samples[SAMPLES];
};

/* False: a signal has come. */
static bool wait_until(const struct session *session, const struct progress *clock, double seconds)
{
	while (*session->interrupted == 0 && progress_seconds(clock) < seconds)
		session->cpus->pause_ms(session->context, PAUSE_MS);
	return *session->interrupted == 0;
}

static bool take_samples(const struct session *session, struct job *job)
{
	struct progress clock;

	progress_start(&clock, "watching", SAMPLES);
	for (unsigned i = 0; i < SAMPLES; i++) {
		if (!wait_until(session, &clock, (double)job->seconds * (i + 1) / SAMPLES)) {
			progress_end(session, &clock);
			complain(session, "dirty interrupted, nothing is noted any more; run it again at any time");
			return false;
		}
		if (!dirty_pages_read(session, &job->dirty))
			return false;
		job->samples[i] = (struct sample){ progress_seconds(&clock), job->dirty.written };
		progress_show(session, &clock, SAMPLES - 1 - i);
	}
	progress_end(session, &clock);
	return true;
}

/* Pages that the last part of the interval had written for the first time, a second: what the working set still grows by. */
static double growth(const struct job *job)
{
	const struct sample *last = &job->samples[SAMPLES - 1], *before = last - 1;

	return last->seconds > before->seconds ?
		       (double)(last->written - before->written) / (last->seconds - before->seconds) :
		       0;
}

static json_t *blocks_json(const struct dirty_pages *dirty)
{
	json_t *array = json_array();
	uint64_t next = 0;

	for (size_t i = 0; i < dirty->count; i++) {
		const uint64_t start = dirty->chunks[i].start / DIRTY_BLOCK_BYTES * DIRTY_BLOCK_BYTES;
		const struct range block = { start, start + DIRTY_BLOCK_BYTES };
		uint64_t looked_at, written;
		json_t *object;

		if (start < next)
			continue;
		next = block.end;
		dirty_pages_count(dirty, &block, &looked_at, &written);
		object = json_object();
		json_put(&object, "start", json_address(start));
		json_put(&object, "pages", json_count(looked_at));
		json_put(&object, "written", json_count(written));
		json_append(&array, object);
	}
	return array;
}

static json_t *runs_json(const struct dirty_pages *dirty)
{
	json_t *array = json_array();

	for (struct range run = { 0, 0 }; dirty_pages_next(dirty, run.end, &run);) {
		json_t *object = json_object();

		json_put(&object, "start", json_address(run.start));
		json_put(&object, "end", json_address(run.end));
		json_append(&array, object);
	}
	return array;
}

static json_t *samples_json(const struct job *job)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < SAMPLES; i++) {
		json_t *object = json_object();

		json_put(&object, "seconds", json_real(job->samples[i].seconds));
		json_put(&object, "written", json_count(job->samples[i].written));
		json_append(&array, object);
	}
	return array;
}

static enum exit_code report_json(const struct session *session, const struct job *job)
{
	json_t *root = json_object();

	json_put(&root, "seconds", json_real(job->samples[SAMPLES - 1].seconds));
	json_put(&root, "pages", json_count(job->dirty.looked_at));
	json_put(&root, "written", json_count(job->dirty.written));
	json_put(&root, "growth_per_second", json_real(growth(job)));
	json_put(&root, "samples", samples_json(job));
	json_put(&root, "blocks", blocks_json(&job->dirty));
	json_put(&root, "ranges", runs_json(&job->dirty));
	return json_print(session, root);
}

static enum exit_code report(const struct session *session, const struct job *job)
{
	const struct dirty_pages *dirty = &job->dirty;
	char written[TEXT_BYTES], looked_at[TEXT_BYTES];

	if (job->as_json)
		return report_json(session, job);
	dirty_picture_print(session->out, dirty);
	fprintf(session->out,
		"%" PRIu64 " of %" PRIu64 " page(s) written in %.1f s (%.1f %%): %s of %s\n"
		"working set of writes: %" PRIu64 " page(s), growing by %.0f a second at the end\n",
		dirty->written, dirty->looked_at, job->samples[SAMPLES - 1].seconds,
		100.0 * (double)dirty->written / (double)dirty->looked_at,
		text_bytes(written, dirty->written * PAGE_BYTES), text_bytes(looked_at, dirty->looked_at * PAGE_BYTES),
		dirty->written, growth(job));
	return EXIT_DONE;
}

static enum exit_code watch(const struct session *session, struct job *job)
{
	struct watching watching = { .verb = "dirty", .kind = SCRIM_WATCH_DIRTY };
	struct session aside = *session;
	bool good;

	/* The words of the way there and back must not get into the JSON. */
	aside.out = job->as_json ? session->err : session->out;
	if (!dirty_pages_plan(session, &job->ranges, &job->dirty) || !watching_enter(&aside, &watching))
		return EXIT_REFUSED;
	good = watching_begin(session, &watching) && take_samples(session, job);
	if (!watching_leave(&aside, &watching) || !good)
		return EXIT_REFUSED;
	return report(session, job);
}

static bool parse_seconds(const struct session *session, const char *text, uint64_t *seconds)
{
	*seconds = SECONDS_DEFAULT;
	if (text == NULL || (number_parse(text, seconds) && *seconds >= 1 && *seconds <= SECONDS_MAX))
		return true;
	complain(session, "--seconds %s is no interval; give whole seconds, 1 to %u", text, SECONDS_MAX);
	return false;
}

static enum exit_code run_dirty(const struct session *session, int argc, char **argv)
{
	struct job job = { 0 };
	const char *seconds = NULL;
	const struct option_spec specs[] = {
		{ .name = "--seconds", .value = &seconds },
		{ .name = "--range", .ranges = &job.ranges },
		{ .name = "--json", .flag = &job.as_json },
		{ .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code code = EXIT_USAGE;
	uint32_t version;

	if (operands != OPTIONS_BAD && options_no_operands(session, "dirty", operands, argv) &&
	    parse_seconds(session, seconds, &job.seconds))
		code = request_connect(session, &version) ? watch(session, &job) : EXIT_REFUSED;
	dirty_pages_free(&job.dirty);
	ranges_free(&job.ranges);
	return code;
}

const struct verb verb_dirty = {
	.name = "dirty",
	.arguments = "[OPTION]...",
	.summary = "Show which pages are written in an interval",
	.help = "Write-protects all RAM at one instant, notes the first write of a CPU's to each page, and shows after the "
		"interval\n"
		"which pages those were: as a picture, as a count, and how the count grew in eight parts of the interval. "
		"What\n"
		"devices write is not noted. Where memory is not virtualized it is for this time, and not afterwards. "
		"Nothing that\n"
		"moves pages is done meanwhile. On SIGINT, SIGTERM or SIGHUP nothing is shown, and the exit status is 1.\n"
		"\n"
		"  --seconds N    the interval, 1 to 86400; 10 without it\n"
		"  --range A-B    only pages from A on and below B are shown; can be repeated; all RAM without it\n"
		"  --json         for programs: also each run of written pages\n"
		"\n"
		"Example: scrimctl dirty --seconds 5 --range 1G-1280M\n",
	.run = run_dirty,
};
