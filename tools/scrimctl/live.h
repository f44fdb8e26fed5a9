/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the course of a verb that shows the same thing again and again: how often, how many times, until when. */
#pragma once

#include <stdint.h>

#include "session.h"

struct live {
	uint64_t interval_ms;
	uint64_t count; /* frames in all; 0: until a signal comes */
	uint64_t shown;
};

/*
 * `seconds` ("2", "0.5"; NULL: one) between two frames, `count` of them (NULL: no end). False after a complaint that names `option`, from
 * which the seconds came.
 */
bool live_parse(const struct session *session, const char *option, const char *seconds, const char *count,
		struct live *live) MUST_CHECK;

/* Waits for the time of the next frame, the first of which is now. False: there is none any more. */
bool live_next(const struct session *session, struct live *live) MUST_CHECK;

/* Seconds as people write them, at least a hundredth, at most a day: in milliseconds. False: not such a number. */
bool live_seconds(const char *text, uint64_t *ms) MUST_CHECK;

/* Microseconds of a clock that only goes on. */
uint64_t live_now_us(void);
