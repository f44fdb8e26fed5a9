/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop around the machine's state. */
#include "switching.h"

#include "explain.h"

/* The longest way takes six looks, and each part two. */
#define LOOKS_MAX      32
#define LOOKS_PER_PART 4

enum exit_code switching_drive(const struct session *session,
			       enum pace (*act)(const struct session *session, enum scrim_state state, void *job),
			       void *job, size_t parts)
{
	for (size_t look = 0; look < LOOKS_MAX + LOOKS_PER_PART * parts; look++) {
		enum scrim_state state;
		enum pace pace;

		if (!request_state(session, &state))
			return EXIT_REFUSED;
		pace = act(session, state, job);
		if (pace != PACE_AGAIN)
			return pace == PACE_DONE ? EXIT_DONE : EXIT_REFUSED;
	}
	complain(session, "the state keeps changing, another scrimctl seems to be at work; let it end and look at "
			  "scrimctl status");
	return EXIT_REFUSED;
}

enum pace switching_request(const struct session *session, enum scrim_op op, uint64_t argument, const char *subject)
{
	struct reply reply = request(session, op, argument, 0);

	if (reply.status == SCRIM_OK || reply.status == SCRIM_ESTATE)
		return PACE_AGAIN;
	explain(session, subject, op, &reply);
	return PACE_FAILED;
}
