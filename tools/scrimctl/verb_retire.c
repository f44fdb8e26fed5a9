/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `scrimctl retire`: frames that are never used again. Where memory is not virtualized it is for the length of this, and what
 * cannot come home afterwards is told. A frame is named by its machine address, or (--logged) as Linux has logged it: an error that a CPU
 * read while it translated was told to Linux by a physical address, and Scrim knows of which frame.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "addresses.h"
#include "explain.h"
#include "json.h"
#include "names.h"
#include "options.h"
#include "ranges.h"
#include "request.h"
#include "verbs.h"

struct job {
	uint64_t *addresses;
	int count;
	bool as_json;
	bool logged;
	json_t *retired; /* with --json */
	json_t *refused; /* with --json: NULL until one is */
};

/* What Linux was told last of this page, else its own frame. */
static uint64_t frame_of_logged(const struct session *session, uint64_t address)
{
	for (uint64_t i = 0;; i++) {
		struct reply reply = request(session, SCRIM_OP_MACHINE_CHECK, i, 0);

		if (reply.status != SCRIM_OK)
			return address;
		if (reply.result0 / PAGE_BYTES == address / PAGE_BYTES)
			return reply.result1;
	}
}

static void find_frames(const struct session *session, struct job *job)
{
	for (int i = 0; i < job->count; i++) {
		if (job->logged)
			job->addresses[i] = frame_of_logged(session, job->addresses[i]);
		job->addresses[i] &= ~(uint64_t)(PAGE_BYTES - 1);
	}
}

static void report_retired(const struct session *session, struct job *job, uint64_t frame, uint64_t pages)
{
	json_t *object;

	if (!job->as_json) {
		fprintf(session->out, "0x%" PRIx64 " is retired, %" PRIu64 " page(s) moved\n", frame, pages);
		return;
	}
	object = json_object();
	json_put(&object, "machine", json_address(frame));
	json_put(&object, "pages_moved", json_count(pages));
	json_append(&job->retired, object);
}

static void report_refused(const struct session *session, struct job *job, int at, const struct reply *reply)
{
	char subject[96];
	char text[256];

	snprintf(subject, sizeof(subject), "retire 0x%" PRIx64 " refused after %d of %d frame(s)", job->addresses[at], at, job->count);
	explain(session, subject, SCRIM_OP_RETIRE, reply);
	if (!job->as_json)
		return;
	explain_text(text, sizeof(text), SCRIM_OP_RETIRE, reply);
	job->refused = json_object();
	json_put(&job->refused, "machine", json_address(job->addresses[at]));
	json_put(&job->refused, "status", json_string(name_of_status(reply->status)));
	json_put(&job->refused, "message", json_string(text));
}

/* One page a request; a frame that many share takes several. */
static struct reply retire(const struct session *session, uint64_t frame, uint64_t *pages)
{
	struct reply reply;

	*pages = 0;
	do {
		reply = request(session, SCRIM_OP_RETIRE, frame, 0);
		*pages += reply.status == SCRIM_OK ? reply.result1 : 0;
	} while (reply.status == SCRIM_OK && reply.result0 != 0 && *session->interrupted == 0);
	return reply;
}

static enum exit_code retire_all(const struct session *session, struct job *job)
{
	for (int i = 0; i < job->count; i++) {
		uint64_t pages;
		struct reply reply = retire(session, job->addresses[i], &pages);

		if (reply.status != SCRIM_OK) {
			report_refused(session, job, i, &reply);
			return EXIT_REFUSED;
		}
		if (reply.result0 == 0)
			report_retired(session, job, job->addresses[i], pages);
		if (*session->interrupted != 0 && (reply.result0 != 0 || i + 1 < job->count)) {
			complain(session, "retire interrupted after %d of %d frame(s); run it again with the rest",
				 i + (reply.result0 == 0), job->count);
			return EXIT_REFUSED;
		}
	}
	return EXIT_DONE;
}

/* Another verb, all RAM; what it says is no part of --json. */
static enum exit_code run_other(const struct session *session, const struct job *job, const struct verb *verb, char *name)
{
	struct session other = *session;
	char *words[] = { name, NULL };

	if (job->as_json)
		other.out = session->err;
	return verb->run(&other, 1, words);
}

/* Nothing is begun that is sure to be refused: devices would write past the map. */
static bool may_move(const struct session *session)
{
	const struct reply no = { .status = SCRIM_EDMA };
	uint64_t movable;

	if (!request_info(session, SCRIM_INFO_DMA_FREE, &movable))
		return false;
	if (movable == 0)
		explain(session, "retire refused, nothing has changed", SCRIM_OP_RETIRE, &no);
	return movable != 0;
}

static enum exit_code retire_from_native(const struct session *session, struct job *job)
{
	static char virtualize[] = "virtualize", devirtualize[] = "devirtualize";
	enum exit_code code, home;

	if (!may_move(session))
		return EXIT_REFUSED;
	code = run_other(session, job, &verb_virtualize, virtualize);
	if (code != EXIT_DONE)
		return code;
	code = retire_all(session, job);
	home = run_other(session, job, &verb_devirtualize, devirtualize);
	return code == EXIT_DONE ? home : code;
}

static enum exit_code act(const struct session *session, struct job *job)
{
	enum scrim_state state;

	if (!request_state(session, &state))
		return EXIT_REFUSED;
	find_frames(session, job);
	if (state == SCRIM_NATIVE || state == SCRIM_GUARDED)
		return retire_from_native(session, job);
	return retire_all(session, job);
}

static enum exit_code print_json(const struct session *session, struct job *job, enum exit_code code)
{
	json_t *root = json_object();
	enum exit_code printed;

	json_put(&root, "retired", job->retired);
	json_put(&root, "refused", job->refused == NULL ? json_null() : job->refused);
	printed = json_print(session, root);
	return code == EXIT_DONE ? printed : code;
}

static enum exit_code run_retire(const struct session *session, int argc, char **argv)
{
	struct job job = { 0 };
	const struct option_spec specs[] = { { .name = "--json", .flag = &job.as_json },
					     { .name = "--logged", .flag = &job.logged },
					     { .name = NULL } };
	enum exit_code code = EXIT_REFUSED;
	uint32_t version;

	job.count = options_parse(session, argc, argv, specs);
	if (job.count == OPTIONS_BAD)
		return EXIT_USAGE;
	if (job.count == 0) {
		complain(session, "retire needs the machine address of a frame; see scrimctl retire --help");
		return EXIT_USAGE;
	}
	job.addresses = addresses_parse(session, "retire", argv + 1, job.count, &code);
	if (job.addresses == NULL)
		return code;
	if (request_connect(session, &version)) {
		job.retired = job.as_json ? json_array() : NULL;
		code = act(session, &job);
		if (job.as_json)
			code = print_json(session, &job, code);
	}
	free(job.addresses);
	return code;
}

const struct verb verb_retire = {
	.name = "retire",
	.arguments = "[OPTION]... ADDR...",
	.summary = "Never use frames again",
	.help = "For each machine address, moves the pages in the 4 KiB frame there to other frames, whatever they are "
		"(the\n"
		"kernel's code and page tables too), and never uses the frame again. A page whose own frame it is cannot "
		"come\n"
		"home any more: the 2 MiB around it stay managed, and memory virtualized for them, until the machine is "
		"booted\n"
		"anew. Where memory is not virtualized, retire virtualizes it, retires, and brings all else home. What is "
		"retired\n"
		"already stays so. Stops at the first frame that Scrim refuses; frames before it are retired.\n"
		"\n"
		"  ADDR       any address in the frame: 0x3f52a040, 1062379584 or 1G\n"
		"  --logged   addresses are as Linux has logged them in machine checks: while memory is virtualized these "
		"are\n"
		"             physical addresses, and Scrim knows what frames they were told for\n"
		"  --json     for programs\n"
		"\n"
		"Example: scrimctl retire 0x3f52a000\n",
	.run = run_retire,
};
