/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of the memory's life and nothing else.
 *
 *              VIRTUALIZE            ALL_SWITCHED              DEVIRTUALIZE
 *     NATIVE ------------> COMMENCING -----------> VIRTUALIZED ------------> REMAPPING
 *       ^                     | ^                     |  ^                    |   |
 *       |               ABORT | | ABORT               |  +- ABORT, PORTION_HOME    | ALL_HOME
 *       |                     v |                     |                           |
 *       +-- ALL_SWITCHED -- CEASING <--- DEVIRTUALIZE_HOME                        |
 *                              ^                                                  |
 *                              +--------------------------------------------------+
 *
 * What it keeps: the only way to VIRTUALIZED from a state in which some CPU may not translate is ALL_SWITCHED in
 * COMMENCING, the only way from REMAPPING towards such a state is ALL_HOME, and only VIRTUALIZED and REMAPPING let the
 * map differ from Identity. So no CPU ever walks around a map that is not Identity.
 */
#include "mem/memvirt_state.h"

#include "base/types.h"

#define STAY(state)   SCRIM_##state, MEMVIRT_NOTHING
#define REFUSE(state) SCRIM_##state, MEMVIRT_REFUSE

static const struct memvirt_transition table[SCRIM_STATE_COUNT][MEMVIRT_EVENT_COUNT] = {
	[SCRIM_NATIVE] = {
		[MEMVIRT_VIRTUALIZE] = { SCRIM_COMMENCING, MEMVIRT_BUILD_MAP },
		[MEMVIRT_DEVIRTUALIZE] = { REFUSE(NATIVE) },
		[MEMVIRT_DEVIRTUALIZE_HOME] = { REFUSE(NATIVE) },
		[MEMVIRT_ABORT] = { REFUSE(NATIVE) },
		/* Here and below: what a state does not wait for is not news to it. */
		[MEMVIRT_ALL_SWITCHED] = { STAY(NATIVE) },
		[MEMVIRT_ALL_HOME] = { STAY(NATIVE) },
		[MEMVIRT_PORTION_HOME] = { STAY(NATIVE) },
	},
	[SCRIM_COMMENCING] = {
		/* A second tool, or the same one started again after it was killed: it goes on visiting. */
		[MEMVIRT_VIRTUALIZE] = { STAY(COMMENCING) },
		/* Refused, not taken for ABORT: a second tool must not turn round what the first one is about. */
		[MEMVIRT_DEVIRTUALIZE] = { REFUSE(COMMENCING) },
		[MEMVIRT_DEVIRTUALIZE_HOME] = { REFUSE(COMMENCING) },
		/* Some CPUs translate already. The map is Identity, so they switch off one by one as in any ceasing. */
		[MEMVIRT_ABORT] = { SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
		[MEMVIRT_ALL_SWITCHED] = { SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
		[MEMVIRT_ALL_HOME] = { STAY(COMMENCING) },
		[MEMVIRT_PORTION_HOME] = { STAY(COMMENCING) },
	},
	[SCRIM_VIRTUALIZED] = {
		[MEMVIRT_VIRTUALIZE] = { REFUSE(VIRTUALIZED) },
		[MEMVIRT_DEVIRTUALIZE] = { SCRIM_REMAPPING, MEMVIRT_LOCK_MAP },
		/* With nothing to bring home there is no step to take, and so none whose end would say ALL_HOME. */
		[MEMVIRT_DEVIRTUALIZE_HOME] = { SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
		/* Nothing is under way. */
		[MEMVIRT_ABORT] = { REFUSE(VIRTUALIZED) },
		[MEMVIRT_ALL_SWITCHED] = { STAY(VIRTUALIZED) },
		/* The last page may come home by a move; that alone is no wish to cease. */
		[MEMVIRT_ALL_HOME] = { STAY(VIRTUALIZED) },
		[MEMVIRT_PORTION_HOME] = { STAY(VIRTUALIZED) },
	},
	[SCRIM_REMAPPING] = {
		[MEMVIRT_VIRTUALIZE] = { REFUSE(REMAPPING) },
		/* Resumed by whoever asks again. That every page is home is for ALL_HOME to say, once, after a step. */
		[MEMVIRT_DEVIRTUALIZE] = { STAY(REMAPPING) },
		[MEMVIRT_DEVIRTUALIZE_HOME] = { STAY(REMAPPING) },
		/* Every CPU translates all through REMAPPING, so nobody has to be visited: the map is just unlocked. */
		[MEMVIRT_ABORT] = { SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
		[MEMVIRT_ALL_SWITCHED] = { STAY(REMAPPING) },
		[MEMVIRT_ALL_HOME] = { SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
		/* Every CPU translates on, for the portions that stay. */
		[MEMVIRT_PORTION_HOME] = { SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
	},
	[SCRIM_CEASING] = {
		/* Refused as DEVIRTUALIZE is in COMMENCING; ABORT is the word for turning round. */
		[MEMVIRT_VIRTUALIZE] = { REFUSE(CEASING) },
		[MEMVIRT_DEVIRTUALIZE] = { STAY(CEASING) },
		[MEMVIRT_DEVIRTUALIZE_HOME] = { STAY(CEASING) },
		/*
		 * Not straight to VIRTUALIZED: some CPUs have switched off. Through COMMENCING, with a new epoch,
		 * because a CPU that switched in this one switched the other way.
		 */
		[MEMVIRT_ABORT] = { SCRIM_COMMENCING, MEMVIRT_NEW_EPOCH },
		/* Only now does no CPU walk the map's tables. */
		[MEMVIRT_ALL_SWITCHED] = { SCRIM_NATIVE, MEMVIRT_DROP_MAP },
		[MEMVIRT_ALL_HOME] = { STAY(CEASING) },
		[MEMVIRT_PORTION_HOME] = { STAY(CEASING) },
	},
};

struct memvirt_transition memvirt_next(enum scrim_state state, enum memvirt_event event)
{
	bool known = state > SCRIM_GUARDED && state < SCRIM_STATE_COUNT && (unsigned int)event < MEMVIRT_EVENT_COUNT;

	if (!known)
		return (struct memvirt_transition){ state, MEMVIRT_REFUSE };
	return table[state][event];
}
