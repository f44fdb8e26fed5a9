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
		"a device may write to this page, and no IOMMU that Scrim can drive translates for it; enable VT-d "
		"(Intel) or AMD-Vi (AMD) in the firmware's set-up, or name memory that no device uses with the boot option dma-free=, see scrim(7)",
	[SCRIM_ENOFRAME] =
		"no free frame is left; bring pages home with scrimctl devirtualize, or boot with a larger reserve=",
	[SCRIM_ENOTABLE] =
		"no memory is left for Scrim's own tables; bring pages home with scrimctl devirtualize, or boot with "
		"a larger reserve=",
	[SCRIM_EDISPLACED] = "this page is displaced already; scrimctl devirtualize brings it home",
	[SCRIM_ECPU] = "a CPU is outside Scrim, it did not answer when it went offline or came online, and no page is "
		       "moved until the machine is booted anew; scrimctl status counts such CPUs (cpus_lost)",
	[SCRIM_EINVARIANT] = "an invariant does not hold; see scrimctl check",
	[SCRIM_EWATCH] = "a snapshot is being taken, or written pages are being noted; let it end, or, if its scrimctl has died, "
			 "end it with scrimctl snapshot --cancel",
	[SCRIM_EFAULT] = "Scrim cannot write to this program's memory; " REPORT,
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
	{ SCRIM_OP_VIRTUALIZE, SCRIM_ENOTABLE,
	  "no memory is left for the map, or none was kept for this back-end; boot with map=boot, which builds the map at "
	  "boot, or with a larger reserve=, and for shadow and vtlb with shadow=2M or more" },
	{ SCRIM_OP_BACKEND, SCRIM_ENOTABLE,
	  "no memory was kept for this back-end; boot with shadow=2M or more, or use --backend nested" },
	{ SCRIM_OP_VIRTUALIZE, SCRIM_ECPU, "a CPU is on its way into the OS; run scrimctl virtualize again" },
	{ SCRIM_OP_DEVIRTUALIZE, SCRIM_EINVAL,
	  "the range is not all managed any more, or Scrim cannot keep so many portions apart; look at scrimctl "
	  "status, "
	  "and name a larger range" },
	{ SCRIM_OP_DEVIRTUALIZE, SCRIM_EALIGN, "the range does not start and end with a page; give multiples of 4096" },
	{ SCRIM_OP_DEVIRTUALIZE, SCRIM_ENOFRAME,
	  "not one frame is free to bring pages home by, nothing has changed; lend memory with scrimctl lend, or boot "
	  "with a larger reserve=" },
	{ SCRIM_OP_STEP, SCRIM_ENOFRAME, "no free frame is left to bring pages home by; " REPORT },
	{ SCRIM_OP_STEP, SCRIM_ENOTABLE, "no memory is left for Scrim's own tables; " REPORT },
	{ SCRIM_OP_PAUSED, SCRIM_ECPU,
	  "a CPU did not come in time, and nothing has moved; run this again, or scrimctl devirtualize to bring pages home "
	  "without a pause" },
	{ SCRIM_OP_PAUSED, SCRIM_ENOFRAME, "no free frame is left to bring pages home by; " REPORT },
	{ SCRIM_OP_PAUSED, SCRIM_ENOTABLE, "no memory is left for Scrim's own tables; " REPORT },
	{ SCRIM_OP_REVERSE, SCRIM_ENOTABLE,
	  "no memory is left for such a reverse map, the one in use stays; take search, which needs none, or boot with "
	  "a larger reserve=" },
	{ SCRIM_OP_MANAGE, SCRIM_EINVAL,
	  "Scrim cannot keep so many ranges apart; give fewer that lie together, or devirtualize some" },
	{ SCRIM_OP_MANAGE, SCRIM_ENOTRAM, "not all of the range is RAM of the OS's; scrimctl status lists the RAM" },
	{ SCRIM_OP_MANAGE, SCRIM_EALIGN, "the range does not start and end with a page; give multiples of 4096" },
	{ SCRIM_OP_MANAGE, SCRIM_ENOTABLE,
	  "no memory is left for the tables of so large a range; give a smaller one, or boot with a larger reserve=" },
	{ SCRIM_OP_AIM, SCRIM_EALIGN, "the range does not start and end with a page; give multiples of 4096 (0x1000)" },
	{ SCRIM_OP_AIM, SCRIM_EINVAL, "no memory of the machine is in this range; scrimctl status lists the RAM" },
	{ SCRIM_OP_SCATTER, SCRIM_EINVAL, "another scrimctl aims at other memory; let it end and try again" },
	{ SCRIM_OP_SCATTER_STEP, SCRIM_EINVAL,
	  "another scrimctl has begun something else meanwhile; let it end and run this again" },
	{ SCRIM_OP_SHARE, SCRIM_EINVAL, "another scrimctl aims at other memory; let it end and try again" },
	{ SCRIM_OP_SHARE_STEP, SCRIM_EINVAL,
	  "another scrimctl has begun something else meanwhile; let it end and run this again" },
	{ SCRIM_OP_SHARE_STEP, SCRIM_ENOFRAME,
	  "not one frame is free to bring shared pages home by; lend memory with scrimctl lend, or boot with a larger "
	  "reserve=" },
	{ SCRIM_OP_SHARE, SCRIM_ENOTABLE,
	  "no memory is left for the table of pages seen; give a smaller --range, or boot with a larger reserve=" },
	{ SCRIM_OP_TRACE, SCRIM_ENOTABLE, "no memory was kept for the trace; boot without trace=0, or with trace=64K or more" },
	{ SCRIM_OP_LEND, SCRIM_EDISPLACED,
	  "a page there is displaced or shared, or the memory is lent already; run scrimctl devirtualize first" },
	{ SCRIM_OP_LEND, SCRIM_EINVAL, "Scrim cannot keep so many lent ranges apart; lend less" },
	{ SCRIM_OP_LEND, SCRIM_ENOTRAM, "not all of the block is RAM of the OS's; scrimctl status lists the RAM" },
	{ SCRIM_OP_UNLEND, SCRIM_EDISPLACED,
	  "its frames still hold pages; run scrimctl devirtualize first, then this again (a block with a retired frame stays "
	  "lent)" },
	{ SCRIM_OP_UNLEND, SCRIM_ENOFRAME,
	  "its frames are needed to bring all pages home; run scrimctl devirtualize first, then this again" },
	{ SCRIM_OP_WATCH, SCRIM_ECPU,
	  "a CPU did not come in time, and nothing has changed; run this again, or look for CPUs that Scrim has lost "
	  "(cpus_lost) in scrimctl status" },
	{ SCRIM_OP_IMAGE_READ, SCRIM_ENOFRAME,
	  "the OS wrote more pages than there were free frames for their copies: the image is lost, the machine goes on as "
	  "before; take it with --paused, lend memory with scrimctl lend, or boot with a larger reserve=" },
	{ SCRIM_OP_IMAGE_READ, SCRIM_ESTATE, "the image was given up by another scrimctl; run this again" },
	{ SCRIM_OP_DIRTY, SCRIM_ENOTABLE,
	  "no memory was left for the tables that note written pages, and none is noted any more; boot with a larger reserve=" },
	{ SCRIM_OP_UNLEND, SCRIM_EINVAL,
	  "it is not lent any more, or Scrim cannot keep so many lent ranges apart; give all back with scrimctl lend "
	  "0" },
	{ SCRIM_OP_RETIRE, SCRIM_ENOTRAM,
	  "no frame that holds pages is at this machine address (a hole, a device, firmware or Scrim's own tables); "
	  "scrimctl status lists RAM and frames" },
	{ SCRIM_OP_RETIRE, SCRIM_EINVAL,
	  "Scrim cannot keep so many retired frames or portions apart; replace the memory, or boot without it (memmap= of "
	  "Linux)" },
	{ SCRIM_OP_RETIRE, SCRIM_EDISPLACED, "Scrim itself uses this frame for a while; run this again" },
	{ SCRIM_OP_RETIRE, SCRIM_ENOFRAME,
	  "no frame is left for the page, but for those that bringing all home needs; lend memory with scrimctl lend, or boot "
	  "with a larger reserve=" },
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
	char text[320];

	explain_text(text, sizeof(text), op, reply);
	complain(session, "%s: %s", subject, text);
}
