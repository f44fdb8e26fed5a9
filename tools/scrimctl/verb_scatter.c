/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl scatter`: permutes pages at random, so that the map has something to bring home. The exerciser. */
#include <inttypes.h>

#include "fraction.h"
#include "json.h"
#include "number.h"
#include "options.h"
#include "sweep.h"
#include "verbs.h"

struct job {
	uint64_t seed;
	uint32_t fraction; /* of SCRIM_FRACTION_ALL */
	bool as_json;
};

static enum exit_code report(const struct session *session, const struct job *job, const struct sweep *sweep)
{
	json_t *root;
	uint64_t displaced;

	if (!request_info(session, SCRIM_INFO_PAGES_DISPLACED, &displaced))
		return EXIT_REFUSED;
	if (!job->as_json) {
		fprintf(session->out,
			"scattered 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64 " page(s) moved in %.3f s, %" PRIu64
			" displaced now\n",
			sweep->range.start, sweep->range.end, sweep->pages, sweep->seconds, displaced);
		return EXIT_DONE;
	}
	root = json_object();
	json_put(&root, "start", json_address(sweep->range.start));
	json_put(&root, "end", json_address(sweep->range.end));
	json_put(&root, "seed", json_count(job->seed));
	json_put(&root, "fraction", json_real((double)job->fraction / SCRIM_FRACTION_ALL));
	json_put(&root, "finished", json_boolean(sweep->finished));
	json_put(&root, "pages_moved", json_count(sweep->pages));
	json_put(&root, "displaced", json_count(displaced));
	json_put(&root, "seconds", json_real(sweep->seconds));
	return json_print(session, root);
}

static enum exit_code scatter(const struct session *session, const struct job *job, const char *batch,
			      const struct range_list *ranges)
{
	struct sweep sweep = {
		.verb = "scatter",
		.doing = "scattering",
		.done = "moved",
		.begin = SCRIM_OP_SCATTER,
		.step = SCRIM_OP_SCATTER_STEP,
		.argument0 = job->seed,
		.argument1 = job->fraction,
	};
	enum exit_code code, reported;
	uint32_t version;

	/* A permutation moves two pages at least. */
	if (!sweep_one_range(session, "scatter", ranges) || !options_batch(session, batch, 2, &sweep.batch))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	code = sweep_run(session, &sweep, ranges);
	if (!sweep.begun)
		return code;
	reported = report(session, job, &sweep);
	return code == EXIT_DONE ? reported : code;
}

static bool parse_numbers(const struct session *session, const char *seed, const char *fraction, struct job *job)
{
	if (!number_parse(seed, &job->seed)) {
		complain(session, "--seed %s is no number; give one such as 1 or 0x2a", seed);
		return false;
	}
	if (!fraction_parse(fraction, SCRIM_FRACTION_ALL, &job->fraction)) {
		complain(session, "--fraction %s is no fraction above 0 and at most 1; write it as 0.25, 25%% or 1/4",
			 fraction);
		return false;
	}
	return true;
}

static enum exit_code run_scatter(const struct session *session, int argc, char **argv)
{
	struct job job = { 0 };
	struct range_list ranges = { 0 };
	const char *seed = "1", *fraction = "1", *batch = NULL;
	const struct option_spec specs[] = {
		{ .name = "--range", .ranges = &ranges },     { .name = "--seed", .value = &seed },
		{ .name = "--fraction", .value = &fraction }, { .name = "--batch", .value = &batch },
		{ .name = "--json", .flag = &job.as_json },   { .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code code = EXIT_USAGE;

	if (operands != OPTIONS_BAD && options_no_operands(session, "scatter", operands, argv) &&
	    parse_numbers(session, seed, fraction, &job))
		code = scatter(session, &job, batch, &ranges);
	ranges_free(&ranges);
	return code;
}

const struct verb verb_scatter = {
	.name = "scatter",
	.arguments = "[OPTION]...",
	.summary = "Permute pages of memory at random",
	.help = "Moves pages of the managed memory to each other's frames, at random and the same way for the same "
		"seed, while\n"
		"everything runs: an exercise for the map, and for the way home. The OS sees no difference. Pages that "
		"may not\n"
		"be displaced are passed over. Memory must be virtualized. Can be interrupted at any time: what is "
		"moved by\n"
		"then is a valid map, and scrimctl devirtualize brings it home.\n"
		"\n"
		"  --range A-B    only pages from A on and below B; without it, all that is managed\n"
		"  --seed N       which permutation; 1 without it\n"
		"  --fraction F   how many of the pages: 0.25, 25% or 1/4; all without it\n"
		"  --batch PAGES  at most so many in one step, 2 to 256; 64 without it\n"
		"  --json         for programs\n"
		"\n"
		"Example: scrimctl scatter --range 1G-1280M --seed 7 --fraction 1/2\n",
	.run = run_scatter,
};
