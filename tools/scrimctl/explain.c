/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sentences for refusals: why, and what to do instead. One default for each status, and a better one where the
 * operation says more. The state of the machine explains SCRIM_ESTATE better than the operation does.
 */
#include "explain.h"

#include <stdio.h>

#include "names.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define INSTALL      "install the scrimctl that came with the scrim.elf that was booted"
#define REPORT       "please report it, with the output of scrimctl status --json"

static const char *const by_status[] = {
	[SCRIM_OK] = "done",
	[SCRIM_EBADREQ] = "Scrim does not know this request; " INSTALL,
	[SCRIM_EINVAL] = "Scrim says that a number is out of range; " INSTALL,
	[SCRIM_ESTATE] = "not in this state; see scrimctl status",
	[SCRIM_ENOTRAM] = "no RAM of the OS's is at this address (a hole, a device, firmware or Scrim's own memory); "
			  "scrimctl status lists the RAM",
	[SCRIM_EALIGN] = "this is not the start of a page; give a multiple of 4096 (0x1000)",
	[SCRIM_EDMA] =
		"a device may write to this page, and Scrim drives no IOMMU; name memory that no device uses with the "
		"boot option dma-free=, see scrim(7)",
	[SCRIM_ENOFRAME] =
		"no free frame is left; bring pages home with scrimctl devirtualize, or boot with a larger reserve=",
	[SCRIM_ENOTABLE] =
		"no memory is left for Scrim's own tables; bring pages home with scrimctl devirtualize, or boot with "
		"a larger reserve=",
	[SCRIM_EDISPLACED] = "this page is displaced already; scrimctl devirtualize brings it home",
	[SCRIM_ECPU] = "not every CPU has switched yet; run the same command again",
	[SCRIM_EINVARIANT] = "an invariant does not hold; see scrimctl check",
};
_Static_assert(COUNT(by_status) == SCRIM_STATUS_COUNT, "an explanation for each status");

static const char *const by_state[] = {
	[SCRIM_GUARDED] = "memory is not virtualized; run scrimctl virtualize first",
	[SCRIM_NATIVE] = "memory is not virtualized; run scrimctl virtualize first",
	[SCRIM_COMMENCING] =
		"virtualize is unfinished; run scrimctl virtualize to finish it, or scrimctl devirtualize to undo it",
	[SCRIM_VIRTUALIZED] = "memory is virtualized already; run scrimctl devirtualize first",
	[SCRIM_REMAPPING] =
		"devirtualize is unfinished; run scrimctl devirtualize to finish it, or scrimctl devirtualize --abort "
		"to undo it",
	[SCRIM_CEASING] =
		"devirtualize is unfinished; run scrimctl devirtualize to finish it, or scrimctl devirtualize --abort "
		"to undo it",
};
_Static_assert(COUNT(by_state) == SCRIM_STATE_COUNT, "an explanation for each state");

static const struct {
	enum scrim_op op;
	enum scrim_status status;
	const char *text;
} by_both[] = {
	{ SCRIM_OP_MOVE, SCRIM_EINVAL, "no physical address is as large as this; scrimctl status lists the RAM" },
	{ SCRIM_OP_MOVE, SCRIM_ECPU, "not every CPU is behind the map yet; run scrimctl virtualize again, then this" },
	{ SCRIM_OP_VIRTUALIZE, SCRIM_ENOTABLE,
	  "no memory is left for the map; boot with map=boot, which builds it at boot, or with a larger reserve=" },
	{ SCRIM_OP_VIRTUALIZE, SCRIM_ECPU, "a CPU is on its way into the OS; run scrimctl virtualize again" },
	{ SCRIM_OP_DEVIRTUALIZE, SCRIM_ENOFRAME, "no free frame is left to bring pages home by; " REPORT },
	{ SCRIM_OP_STEP, SCRIM_ENOFRAME, "no free frame is left to bring pages home by; " REPORT },
	{ SCRIM_OP_STEP, SCRIM_ENOTABLE, "no memory is left for Scrim's own tables; " REPORT },
};

static const char *find_text(enum scrim_op op, uint32_t status)
{
	for (size_t i = 0; i < COUNT(by_both); i++)
		if (by_both[i].op == op && by_both[i].status == status)
			return by_both[i].text;
	return by_status[status];
}

void explain_text(char *text, size_t size, enum scrim_op op, const struct reply *reply)
{
	if (reply->status >= SCRIM_STATUS_COUNT)
		snprintf(text, size, "Scrim answered 0x%x, which this program does not know; " INSTALL, reply->status);
	else if (reply->status == SCRIM_ESTATE && reply->result0 < SCRIM_STATE_COUNT)
		snprintf(text, size, "in state %s %s", name_of_state(reply->result0), by_state[reply->result0]);
	else
		snprintf(text, size, "%s", find_text(op, reply->status));
}

void explain(const struct session *session, const char *subject, enum scrim_op op, const struct reply *reply)
{
	char text[256];

	explain_text(text, sizeof(text), op, reply);
	complain(session, "%s: %s", subject, text);
}
