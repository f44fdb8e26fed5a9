/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides everything that `status` shows, read from Scrim once. */
#pragma once

#include <stddef.h>

#include "ranges.h"

struct status_cpu {
	uint64_t info[SCRIM_CPU_INFO_COUNT];
	uint64_t exits[SCRIM_EXIT_COUNT];
	uint64_t exits_total; /* their sum, so that what is printed adds up although reading it causes exits */
};

/* A piece of RAM that is all in one state. */
struct status_portion {
	struct range range;
	const char *state; /* "locked" to Identity, "managed" or "remapping" */
};

struct status {
	uint32_t version; /* major << 16 | minor << 8 | patch */
	uint64_t info[SCRIM_INFO_COUNT];
	struct status_cpu *cpus; /* info[SCRIM_INFO_CPUS] of them */
	uint64_t exits[SCRIM_EXIT_COUNT];
	uint64_t exits_total;
	struct range_list ranges[SCRIM_RANGE_COUNT];
	struct status_portion *portions; /* all RAM, in the order of ranges[SCRIM_RANGE_RAM] */
	size_t portion_count;
};

/* Fills a zeroed *status; to be freed in every case. Settles guards that have ended first. False after a complaint. */
bool status_gather(const struct session *session, uint32_t version, struct status *status) MUST_CHECK;
void status_free(struct status *status);

#define STATUS_VERSION_SIZE 24

/* "1.2.3" */
const char *status_version(const struct status *status, char text[STATUS_VERSION_SIZE]);

/* Name of the last operation that changed something, or NULL. */
const char *status_last_name(const struct status *status);

/* info[ticks] in seconds; false where Scrim could not measure how fast the TSC runs. */
bool status_seconds(const struct status *status, enum scrim_info ticks, double *seconds) MUST_CHECK;

extern const char status_reserve_formula[];
