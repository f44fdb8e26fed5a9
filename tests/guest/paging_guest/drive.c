/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what this guest asks of Scrim. Where no back-end is asked for nothing is said to the port, and what disturbs does only that part that
 * is the guest's own, so that the log is the same.
 */
#include "paging.h"

#include "../scrim_request.h"

#define PAGES (sizeof(struct arena) / PAGE_SIZE)
#define SEED 0x5c71a3u

static const char *const backend_names[DRIVE_BACKENDS] = { "none", "nested", "shadow", "vtlb" };

/* Each page of the arena has an equal one here when equal pages are looked for. */
static struct arena twin __attribute__((aligned(4096)));
static bool twin_made;
static uint32_t twin_sum;
static enum drive_backend backend;
static enum drive_disturbance disturbance;
static uint32_t disturbances;
static uint64_t most_displaced, most_shared;

static struct scrim_reply ask(const char *what, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	struct scrim_reply reply = scrim_request(op, argument0, argument1);

	if (reply.status != SCRIM_OK) {
		console_print("drive: %s: status %u, results %X %X\n", what, reply.status, reply.result[0], reply.result[1]);
		console_check("drive: Scrim does what it is asked", false);
	}
	return reply;
}

static uint64_t info(enum scrim_info which)
{
	return ask("info", SCRIM_OP_INFO, which, 0).result[0];
}

static void visit(void)
{
	uint64_t left;

	do {
		left = ask("visit", SCRIM_OP_VISIT, 0, 0).result[0];
		if (left != 0 && second_is_there())
			left = second_visit();
	} while (left != 0);
}

static const enum scrim_backend backend_of[DRIVE_BACKENDS] = {
	[DRIVE_NESTED] = SCRIM_BACKEND_NESTED, [DRIVE_SHADOW] = SCRIM_BACKEND_SHADOW, [DRIVE_VTLB] = SCRIM_BACKEND_VTLB
};

void drive_begin(enum drive_backend wanted)
{
	backend = wanted;
	if (backend == DRIVE_NONE)
		return;
	ask("virtualize", SCRIM_OP_VIRTUALIZE, 0, backend_of[wanted]);
	visit();
	console_check("drive: memory is virtualized", info(SCRIM_INFO_STATE) == SCRIM_VIRTUALIZED);
	console_print("drive: virtualized, back-end %s\n", backend_names[backend]);
}

void drive_end(void)
{
	struct scrim_reply reply;

	drive_set_disturbance(DISTURB_NOT);
	if (backend == DRIVE_NONE)
		return;
	ask("check", SCRIM_OP_CHECK, 0, 0);
	console_print("drive: %u disturbances; at most %u pages displaced, %u shared\n", disturbances, (uint32_t)most_displaced,
		      (uint32_t)most_shared);
	console_print("drive: %u flushes, %u returns to an address space without inspection\n", (uint32_t)info(SCRIM_INFO_V2M_FLUSHES),
		      (uint32_t)info(SCRIM_INFO_V2M_RETURNS));
	console_check("drive: pages were displaced, and shared", most_displaced > PAGES / 2 && most_shared >= PAGES);
	ask("devirtualize", SCRIM_OP_DEVIRTUALIZE, 0, 0);
	if (info(SCRIM_INFO_STATE) == SCRIM_REMAPPING)
		do
			reply = ask("step", SCRIM_OP_STEP, SCRIM_BATCH_MAX, 0);
		while (reply.status == SCRIM_OK && reply.result[1] == SCRIM_REMAPPING);
	visit();
	ask("check", SCRIM_OP_CHECK, 0, 0);
	console_check("drive: memory is native", info(SCRIM_INFO_STATE) == SCRIM_NATIVE);
	backend = DRIVE_NONE;
}

static void sweep(const char *what, enum scrim_op step)
{
	struct scrim_reply reply;

	do
		reply = ask(what, step, SCRIM_BATCH_MAX, 0);
	while (reply.status == SCRIM_OK && reply.result[0] != 0);
}

static void scatter(void)
{
	if (backend == DRIVE_NONE)
		return;
	ask("aim", SCRIM_OP_AIM, address_of(image_start), address_of(image_end));
	ask("scatter", SCRIM_OP_SCATTER, SEED + disturbances, SCRIM_FRACTION_ALL / 2);
	sweep("scatter step", SCRIM_OP_SCATTER_STEP);
	if (info(SCRIM_INFO_PAGES_DISPLACED) > most_displaced)
		most_displaced = info(SCRIM_INFO_PAGES_DISPLACED);
}

static uint32_t twin_read(void)
{
	const uint32_t *words = (const uint32_t *)(const void *)&twin;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < sizeof(twin) / 4; i++)
		sum = sum * 0x01000193 ^ words[i];
	return sum;
}

/* Tables and frames come to lie in frames with their twins. What happens to them from then on must not reach the twins. */
static void share(void)
{
	const uint32_t *from = (const uint32_t *)(const void *)&arena;
	uint32_t *to = (uint32_t *)(void *)&twin;

	if (twin_made && twin_read() != twin_sum)
		console_check("the twins are as they were", false);
	for (uint32_t i = 0; i < sizeof(twin) / 4; i++)
		to[i] = from[i];
	twin_sum = twin_read();
	twin_made = true;
	if (backend == DRIVE_NONE)
		return;
	ask("aim", SCRIM_OP_AIM, address_of(image_start), address_of(image_end));
	ask("share", SCRIM_OP_SHARE, 0, 0);
	sweep("share step", SCRIM_OP_SHARE_STEP);
	if (info(SCRIM_INFO_PAGES_SHARED) > most_shared)
		most_shared = info(SCRIM_INFO_PAGES_SHARED);
}

void drive_set_disturbance(enum drive_disturbance wanted)
{
	disturbance = wanted;
}

void drive_disturb(void)
{
	if (disturbance == DISTURB_SCATTER)
		scatter();
	if (disturbance == DISTURB_SHARE)
		share();
	disturbances++;
}
