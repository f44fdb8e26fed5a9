/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides numbers as people read them, and the progress line. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "session.h"

#define TEXT_BYTES    16
#define TEXT_DURATION 32

/* "4096 B", "4.0 KiB", "1.5 GiB"; returns `text`, of at least TEXT_BYTES. */
const char *text_bytes(char *text, uint64_t bytes);

/* "0.4 s", "12.5 ms", "90 us"; returns `text`, of at least TEXT_DURATION. */
const char *text_duration(char *text, uint64_t us);

/* Work that counts down to 0, shown on one line that is written again and again; silent where nobody watches. */
struct progress {
	const char *doing; /* "bringing pages home" */
	uint64_t total;
	uint64_t start_us;
	uint64_t shown_us;
	bool line_open;
};

void progress_start(struct progress *progress, const char *doing, uint64_t total);
void progress_show(const struct session *session, struct progress *progress, uint64_t left);

/* Since progress_start(). */
double progress_seconds(const struct progress *progress);

/* Ends the line, so that what follows starts on a fresh one. */
void progress_end(const struct session *session, struct progress *progress);
