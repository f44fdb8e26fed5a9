/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `scrimctl move`: pages to free frames, one request each. All addresses are read as numbers before the first page
 * moves; whether a page may move is Scrim's to decide, which changes nothing where it refuses.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "addresses.h"
#include "explain.h"
#include "json.h"
#include "names.h"
#include "options.h"
#include "request.h"
#include "verbs.h"

struct job {
	const uint64_t *addresses;
	int count;
	bool as_json;
	json_t *moved;   /* with --json */
	json_t *refused; /* with --json: NULL until one is */
};

static void report_moved(const struct session *session, struct job *job, uint64_t page, uint64_t frame)
{
	json_t *object;

	if (!job->as_json) {
		fprintf(session->out, "0x%" PRIx64 " -> 0x%" PRIx64 "\n", page, frame);
		return;
	}
	object = json_object();
	json_put(&object, "physical", json_address(page));
	json_put(&object, "machine", json_address(frame));
	json_append(&job->moved, object);
}

static void report_refused(const struct session *session, struct job *job, int at, const struct reply *reply)
{
	char subject[96];
	char text[256];

	snprintf(subject, sizeof(subject), "move 0x%" PRIx64 " refused after %d of %d page(s)", job->addresses[at], at,
		 job->count);
	explain(session, subject, SCRIM_OP_MOVE, reply);
	if (!job->as_json)
		return;
	explain_text(text, sizeof(text), SCRIM_OP_MOVE, reply);
	job->refused = json_object();
	json_put(&job->refused, "physical", json_address(job->addresses[at]));
	json_put(&job->refused, "status", json_string(name_of_status(reply->status)));
	json_put(&job->refused, "message", json_string(text));
}

static enum exit_code move_all(const struct session *session, struct job *job)
{
	for (int i = 0; i < job->count; i++) {
		struct reply reply;

		if (*session->interrupted != 0) {
			complain(session, "move interrupted after %d of %d page(s); run it again with the rest", i,
				 job->count);
			return EXIT_REFUSED;
		}
		reply = request(session, SCRIM_OP_MOVE, job->addresses[i], 0);
		if (reply.status != SCRIM_OK) {
			report_refused(session, job, i, &reply);
			return EXIT_REFUSED;
		}
		report_moved(session, job, job->addresses[i], reply.result0);
	}
	return EXIT_DONE;
}

static enum exit_code print_json(const struct session *session, struct job *job, enum exit_code code)
{
	json_t *root = json_object();
	enum exit_code printed;

	json_put(&root, "moved", job->moved);
	json_put(&root, "refused", job->refused == NULL ? json_null() : job->refused);
	printed = json_print(session, root);
	return code == EXIT_DONE ? printed : code;
}

static enum exit_code run_move(const struct session *session, int argc, char **argv)
{
	struct job job = { 0 };
	const struct option_spec specs[] = { { .name = "--json", .flag = &job.as_json }, { .name = NULL } };
	enum exit_code code = EXIT_REFUSED;
	uint64_t *addresses;
	uint32_t version;

	job.count = options_parse(session, argc, argv, specs);
	if (job.count == OPTIONS_BAD)
		return EXIT_USAGE;
	if (job.count == 0) {
		complain(session, "move needs the address of a page; see scrimctl move --help");
		return EXIT_USAGE;
	}
	addresses = addresses_parse(session, "move", argv + 1, job.count, &code);
	if (addresses == NULL)
		return code;
	job.addresses = addresses;
	if (request_connect(session, &version)) {
		job.moved = job.as_json ? json_array() : NULL;
		code = move_all(session, &job);
		if (job.as_json)
			code = print_json(session, &job, code);
	}
	free(addresses);
	return code;
}

const struct verb verb_move = {
	.name = "move",
	.arguments = "[--json] ADDR...",
	.summary = "Move pages to free frames",
	.help = "For each physical address of a page, copies the page to a free frame and maps it there; prints\n"
		"\"0xPHYSICAL -> 0xMACHINE\". The OS sees its page unchanged at the old address. Stops at the first "
		"page that\n"
		"Scrim refuses: pages before it have moved, it and those after it have not. Memory must be "
		"virtualized.\n"
		"\n"
		"  ADDR     start of a page: 0x40000000, 1073741824 or 1G\n"
		"  --json   for programs\n"
		"\n"
		"Example: scrimctl move 0x40000000 0x40001000\n",
	.run = run_move,
};
