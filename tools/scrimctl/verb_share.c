/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl share`: lets equal pages read one frame, until one of them is written to. */
#include <inttypes.h>

#include "json.h"
#include "options.h"
#include "sweep.h"
#include "verbs.h"

static enum exit_code report(const struct session *session, bool as_json, const struct sweep *sweep)
{
	uint64_t shared, saved;
	json_t *root;

	if (!request_info(session, SCRIM_INFO_PAGES_SHARED, &shared) ||
	    !request_info(session, SCRIM_INFO_FRAMES_SAVED, &saved))
		return EXIT_REFUSED;
	if (!as_json) {
		fprintf(session->out,
			"shared 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64 " page(s) came to share in %.3f s; %" PRIu64
			" page(s) share now, %" PRIu64 " frame(s) saved\n",
			sweep->range.start, sweep->range.end, sweep->pages, sweep->seconds, shared, saved);
		return EXIT_DONE;
	}
	root = json_object();
	json_put(&root, "start", json_address(sweep->range.start));
	json_put(&root, "end", json_address(sweep->range.end));
	json_put(&root, "finished", json_boolean(sweep->finished));
	json_put(&root, "pages_shared", json_count(sweep->pages));
	json_put(&root, "shared", json_count(shared));
	json_put(&root, "saved", json_count(saved));
	json_put(&root, "seconds", json_real(sweep->seconds));
	return json_print(session, root);
}

static enum exit_code share(const struct session *session, bool as_json, const char *batch,
			    const struct range_list *ranges)
{
	struct sweep sweep = {
		.verb = "share",
		.doing = "looking for equal pages",
		.done = "shared",
		.begin = SCRIM_OP_SHARE,
		.step = SCRIM_OP_SHARE_STEP,
	};
	enum exit_code code, reported;
	uint32_t version;

	sweep.batch = SCRIM_BATCH_MAX; /* Scrim ends a step that has found many */
	if (!sweep_one_range(session, "share", ranges) || (batch != NULL && !options_batch(session, batch, 1, &sweep.batch)))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	code = sweep_run(session, &sweep, ranges);
	if (!sweep.begun)
		return code;
	reported = report(session, as_json, &sweep);
	return code == EXIT_DONE ? reported : code;
}

static enum exit_code run_share(const struct session *session, int argc, char **argv)
{
	struct range_list ranges = { 0 };
	const char *batch = NULL;
	bool as_json = false;
	const struct option_spec specs[] = {
		{ .name = "--range", .ranges = &ranges },
		{ .name = "--batch", .value = &batch },
		{ .name = "--json", .flag = &as_json },
		{ .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code code = EXIT_USAGE;

	if (operands != OPTIONS_BAD && options_no_operands(session, "share", operands, argv))
		code = share(session, as_json, batch, &ranges);
	ranges_free(&ranges);
	return code;
}

const struct verb verb_share = {
	.name = "share",
	.arguments = "[OPTION]...",
	.summary = "Let equal pages share a frame",
	.help = "Looks for pages of the managed memory that are equal, and lets them read one frame; the frames that "
		"this saves\n"
		"are free. The first write to such a page gives it a frame of its own again, and the OS sees no "
		"difference. Only\n"
		"where no device writes (dma-free=). Memory must be virtualized. Can be interrupted at any time: what "
		"is shared\n"
		"by then stays so.\n"
		"\n"
		"  --range A-B    only pages from A on and below B; without it, all that is managed\n"
		"  --batch PAGES  look at so many in one step, 1 to 256; 256 without it\n"
		"  --json         for programs\n"
		"\n"
		"Example: scrimctl share --range 1G-1280M\n",
	.run = run_share,
};
