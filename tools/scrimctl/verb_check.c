/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl check`: asks Scrim whether every invariant of its map holds. Changes nothing. */
#include <inttypes.h>

#include "explain.h"
#include "json.h"
#include "names.h"
#include "options.h"
#include "request.h"
#include "verbs.h"

/* Numbers of violations are those of the invariants in docs/glossary.md. */
static json_t *violation_json(const struct reply *reply)
{
	json_t *object = json_object();

	json_put(&object, "invariant", json_count(reply->result0));
	json_put(&object, "name", json_string(name_of_violation(reply->result0)));
	json_put(&object, "meaning", json_string(meaning_of_violation(reply->result0)));
	json_put(&object, "address", json_address(reply->result1));
	return object;
}

static enum exit_code print_json(const struct session *session, const struct reply *reply)
{
	json_t *root = json_object();

	json_put(&root, "holds", json_boolean(reply->status == SCRIM_OK));
	json_put(&root, "violation", reply->status == SCRIM_OK ? json_null() : violation_json(reply));
	return json_print(session, root);
}

static enum exit_code run_check(const struct session *session, int argc, char **argv)
{
	bool as_json = false;
	const struct option_spec specs[] = { { .name = "--json", .flag = &as_json }, { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	enum exit_code printed = EXIT_DONE;
	struct reply reply;
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "check", operands, argv))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	reply = request(session, SCRIM_OP_CHECK, 0, 0);
	if (reply.status != SCRIM_OK && reply.status != SCRIM_EINVARIANT) {
		explain(session, "check refused", SCRIM_OP_CHECK, &reply);
		return EXIT_REFUSED;
	}
	if (as_json)
		printed = print_json(session, &reply);
	else if (reply.status == SCRIM_OK)
		fputs("all invariants hold\n", session->out);
	if (reply.status == SCRIM_OK)
		return printed;
	complain(session,
		 "invariant %" PRIu64 " (%s) does not hold at 0x%" PRIx64
		 ": %s; this is a bug in Scrim: save your work, and report "
		 "it with the output of scrimctl status --json",
		 reply.result0, name_of_violation(reply.result0), reply.result1, meaning_of_violation(reply.result0));
	return EXIT_REFUSED;
}

const struct verb verb_check = {
	.name = "check",
	.arguments = "[--json]",
	.summary = "Check every invariant of the map",
	.help = "Lets Scrim check in one exit that every invariant of its map holds: \"all invariants hold\" and exit "
		"status 0, or\n"
		"the one that does not, what it means, and an address where; exit status 1. Can be run in every "
		"state.\n"
		"\n"
		"  --json   for programs\n"
		"\n"
		"Example: scrimctl move 0x40000000 && scrimctl check\n",
	.run = run_check,
};
