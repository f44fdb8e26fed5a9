/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of a live view. A signal ends it between two frames, or in the pause: what was shown is whole. */
#include "live.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "number.h"
#include "visit.h"

#define MS_PER_SECOND 1000
#define SECONDS_MAX   86400
#define SLICE_MS      100 /* of a pause: a signal that comes just before one is noticed behind it */

bool live_seconds(const char *text, uint64_t *ms)
{
	char *end;
	double seconds = strtod(text, &end);

	/* strtod() takes blanks, signs, infinities and hexadecimal too. */
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !isfinite(seconds) || seconds > SECONDS_MAX)
		return false;
	*ms = (uint64_t)(seconds * MS_PER_SECOND);
	return *ms >= MS_PER_SECOND / 100;
}

bool live_parse(const struct session *session, const char *option, const char *seconds, const char *count,
		struct live *live)
{
	*live = (struct live){ .interval_ms = MS_PER_SECOND };
	if (seconds != NULL && !live_seconds(seconds, &live->interval_ms)) {
		complain(session, "%s %s is no time; give seconds, 0.01 to %d", option, seconds, SECONDS_MAX);
		return false;
	}
	if (count != NULL && (!number_parse(count, &live->count) || live->count == 0)) {
		complain(session, "--count %s is no number of frames; give 1 or more", count);
		return false;
	}
	return true;
}

static void wait_ms(const struct session *session, uint64_t ms)
{
	while (ms > 0 && *session->interrupted == 0) {
		unsigned slice = ms < SLICE_MS ? (unsigned)ms : SLICE_MS;

		session->cpus->pause_ms(session->context, slice);
		ms -= slice;
	}
}

bool live_next(const struct session *session, struct live *live)
{
	if (live->count != 0 && live->shown == live->count)
		return false;
	if (live->shown++ > 0) {
		fflush(session->out);
		wait_ms(session, live->interval_ms);
	}
	return *session->interrupted == 0;
}

uint64_t live_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
