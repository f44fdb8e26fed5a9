/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lending. A block goes online -> offline -> lent, and back the same way, and each of these two facts is kept by who
 * owns it: the OS knows what is offline, Scrim what is lent. So this program keeps no notes that a kill could lose. A
 * killed run leaves at most one block that is offline and not lent, which nobody touches, and which the next run finds
 * by comparing the two. More is to be lent: such blocks come first. No more is: they go online again.
 */
#include "lending.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "explain.h"
#include "text.h"
#include "visit.h"

struct lending {
	struct block_list blocks; /* those that are wholly RAM of the OS's, best to lend first */
	bool *lent;               /* of each block */
	bool *taken;              /* of each block: by this run */
	size_t lent_count;
	size_t wanted;       /* blocks */
	char why[VISIT_WHY]; /* why the last block that could not be had could not: "cause; what to do" */
	bool stop;           /* no use to try another */
};

static uint64_t block_bytes(const struct lending *lending)
{
	return lending->blocks.items[0].range.end - lending->blocks.items[0].range.start;
}

/* Movable ones first, which the OS can empty for sure; then from the top, where the kernel itself is not. */
static int compare_blocks(const void *left, const void *right)
{
	const struct block *a = left, *b = right;

	if (a->movable != b->movable)
		return a->movable ? -1 : 1;
	return a->number > b->number ? -1 : a->number < b->number;
}

static bool list_blocks(const struct session *session, struct block_list *all)
{
	int error = session->blocks->list(session->context, all);
	bool removable = false;

	for (size_t i = 0; i < all->count; i++)
		removable = removable || all->items[i].removable;
	if (error == 0 && removable)
		return true;
	if (error == 0 || error == ENOENT)
		complain(session,
			 "lend refused, this kernel cannot put memory offline (no removable memory blocks in sysfs); "
			 "boot one "
			 "with CONFIG_MEMORY_HOTREMOVE, as Debian's linux-image-amd64, or boot Scrim with a larger "
			 "reserve=");
	else
		complain(session, "lend refused, the OS's memory blocks cannot be read (%s); mount sysfs on /sys",
			 strerror(error));
	return false;
}

/* Blocks that reach into Scrim's own memory or firmware's are left out. */
static bool keep_usable(const struct session *session, struct lending *lending, const struct block_list *all)
{
	struct range_list ram = { 0 }, lent = { 0 };
	bool good = ranges_request(session, SCRIM_RANGE_RAM, &ram) && ranges_request(session, SCRIM_RANGE_LENT, &lent);

	for (size_t i = 0; good && i < all->count; i++) {
		if (!ranges_cover(&ram, &all->items[i].range) || blocks_add(&lending->blocks, all->items[i]))
			continue;
		complain(session, "no memory for the list of memory blocks; free some and try again");
		good = false;
	}
	if (good && lending->blocks.count == 0) {
		complain(session, "lend refused, no memory block of the OS's is wholly RAM; boot Scrim with a larger "
				  "reserve= in its place");
		good = false;
	}
	lending->lent = calloc(lending->blocks.count + 1, sizeof(*lending->lent));
	lending->taken = calloc(lending->blocks.count + 1, sizeof(*lending->taken));
	if (good && (lending->lent == NULL || lending->taken == NULL)) {
		complain(session, "no memory for the list of memory blocks; free some and try again");
		good = false;
	}
	if (good)
		qsort(lending->blocks.items, lending->blocks.count, sizeof(struct block), compare_blocks);
	for (size_t i = 0; good && i < lending->blocks.count; i++) {
		lending->lent[i] = ranges_cover(&lent, &lending->blocks.items[i].range);
		lending->lent_count += lending->lent[i];
	}
	ranges_free(&ram);
	ranges_free(&lent);
	return good;
}

/* Asked before a block is put offline for nothing. */
static bool check_state(const struct session *session)
{
	enum scrim_state state;

	if (!request_state(session, &state))
		return false;
	if (state != SCRIM_GUARDED && state != SCRIM_NATIVE && state != SCRIM_VIRTUALIZED) {
		struct reply reply = { .status = SCRIM_ESTATE, .result0 = state };

		explain(session, "lend refused", SCRIM_OP_LEND, &reply);
		return false;
	}
	return true;
}

static bool survey(const struct session *session, struct lending *lending)
{
	struct block_list all = { 0 };
	bool good = list_blocks(session, &all) && keep_usable(session, lending, &all);

	blocks_free(&all);
	return good;
}

static bool set_online(const struct session *session, struct lending *lending, size_t at, bool online)
{
	struct block *block = &lending->blocks.items[at];
	int error = session->blocks->set_online(session->context, block->number, online);

	if (error == 0) {
		block->online = online;
		return true;
	}
	lending->stop = error == EINTR;
	snprintf(lending->why, sizeof(lending->why),
		 "memory block %" PRIu64 " cannot be put %sline (%s); free memory, or lend %s", block->number,
		 online ? "on" : "off", strerror(error), online ? "as before" : "less");
	return false;
}

/* Offline -> lent, or back online where Scrim will not have it. */
static bool lend_offline(const struct session *session, struct lending *lending, size_t at)
{
	const struct range *range = &lending->blocks.items[at].range;
	struct reply reply = request(session, SCRIM_OP_LEND, range->start, range->end);

	if (reply.status == SCRIM_OK) {
		lending->lent[at] = lending->taken[at] = true;
		lending->lent_count++;
		return true;
	}
	/* In another state, the next block would be refused too. */
	lending->stop = reply.status == SCRIM_ESTATE || reply.status == SCRIM_EINVAL;
	/* The reason why it goes online again is the one to tell, if both fail. */
	if (set_online(session, lending, at, true))
		explain_text(lending->why, sizeof(lending->why), SCRIM_OP_LEND, &reply);
	return false;
}

/* Lent -> offline -> online. */
static bool give_back(const struct session *session, struct lending *lending, size_t at)
{
	const struct range *range = &lending->blocks.items[at].range;
	struct reply reply = request(session, SCRIM_OP_UNLEND, range->start, range->end);

	if (reply.status != SCRIM_OK) {
		explain_text(lending->why, sizeof(lending->why), SCRIM_OP_UNLEND, &reply);
		lending->stop = reply.status == SCRIM_ESTATE;
		return false;
	}
	lending->lent[at] = false;
	lending->lent_count--;
	return set_online(session, lending, at, true);
}

static bool interrupted(const struct session *session, struct lending *lending)
{
	if (*session->interrupted == 0)
		return false;
	snprintf(lending->why, sizeof(lending->why), "a signal came; run it again at any time");
	lending->stop = true;
	return true;
}

/* First blocks that a killed run left offline, then others, until enough are lent or none is left to try. */
static void lend_more(const struct session *session, struct lending *lending)
{
	for (int online = 0; online <= 1; online++) {
		for (size_t i = 0; i < lending->blocks.count && lending->lent_count < lending->wanted; i++) {
			const struct block *block = &lending->blocks.items[i];

			if (lending->lent[i] || block->online != (online == 1) || (block->online && !block->removable))
				continue;
			if (lending->stop || interrupted(session, lending))
				return;
			if (!block->online || set_online(session, lending, i, false))
				lend_offline(session, lending, i);
		}
	}
}

static void lend_less(const struct session *session, struct lending *lending)
{
	for (size_t i = lending->blocks.count; i-- > 0 && lending->lent_count > lending->wanted;) {
		if (!lending->lent[i])
			continue;
		if (lending->stop || interrupted(session, lending))
			return;
		give_back(session, lending, i);
	}
}

/* Blocks that nobody uses: left by a killed run, or by this one where a block would not go online at once. */
static bool settle_offline(const struct session *session, struct lending *lending)
{
	bool settled = true;

	for (size_t i = 0; i < lending->blocks.count; i++)
		if (!lending->blocks.items[i].online && !lending->lent[i])
			settled = set_online(session, lending, i, true) && settled;
	return settled;
}

/* What this run took goes back, whatever signals come. */
static void undo(const struct session *session, struct lending *lending)
{
	for (size_t i = 0; i < lending->blocks.count; i++)
		if (lending->taken[i])
			give_back(session, lending, i);
}

static enum exit_code report(const struct session *session, const struct lending *lending)
{
	char all[TEXT_BYTES], one[TEXT_BYTES];

	text_bytes(all, lending->lent_count * block_bytes(lending));
	text_bytes(one, block_bytes(lending));
	fprintf(session->out, "%s lent to Scrim: %zu memory block(s) of %s\n", all, lending->lent_count, one);
	return EXIT_DONE;
}

static enum exit_code report_short(const struct session *session, const struct lending *lending, size_t reached)
{
	complain(session, "lend %s at %zu of %zu memory block(s), %zu are lent now: %s",
		 *session->interrupted != 0 ? "interrupted" : "stopped", reached, lending->wanted, lending->lent_count,
		 lending->why);
	return EXIT_REFUSED;
}

static enum exit_code change(const struct session *session, struct lending *lending, uint64_t bytes)
{
	uint64_t wanted = bytes / block_bytes(lending) + (bytes % block_bytes(lending) != 0);
	char why[VISIT_WHY];
	size_t reached;

	lending->wanted = wanted < SIZE_MAX ? (size_t)wanted : SIZE_MAX;
	snprintf(lending->why, sizeof(lending->why),
		 "the OS has no more memory blocks that can be put offline; lend less");
	if (lending->lent_count < lending->wanted)
		lend_more(session, lending);
	else
		lend_less(session, lending);
	reached = lending->lent_count;
	memcpy(why, lending->why, sizeof(why));
	if (reached != lending->wanted)
		undo(session, lending);
	if (settle_offline(session, lending) && reached == lending->wanted)
		return report(session, lending);
	/* Of several reasons, the first is the one that explains the others. */
	if (reached != lending->wanted)
		memcpy(lending->why, why, sizeof(why));
	return report_short(session, lending, reached);
}

enum exit_code lending_set(const struct session *session, uint64_t bytes)
{
	struct lending lending = { 0 };
	enum exit_code code = EXIT_REFUSED;

	if (check_state(session) && survey(session, &lending))
		code = change(session, &lending, bytes);
	blocks_free(&lending.blocks);
	free(lending.lent);
	free(lending.taken);
	return code;
}
