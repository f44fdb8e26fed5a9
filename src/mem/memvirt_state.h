/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the one table of the memory's life: (state, event) -> (state, action). It performs nothing itself.
 * GUARDED is not here: it is a property of CPU start-up that overlays NATIVE (see virt/guard.h).
 */
#pragma once

#include "base/err.h"

enum memvirt_event {
	MEMVIRT_VIRTUALIZE = 0,  /* request */
	MEMVIRT_DEVIRTUALIZE,    /* request, some page displaced */
	MEMVIRT_DEVIRTUALIZE_HOME, /* request, every page at home */
	MEMVIRT_ABORT,           /* request */
	MEMVIRT_ALL_SWITCHED,    /* the last CPU switched to what the state asks */
	MEMVIRT_ALL_HOME,        /* the last displaced page came home */
	MEMVIRT_PORTION_HOME,    /* the last page of the portion that is remapped came home, and another portion stays */
	MEMVIRT_EVENT_COUNT
};

enum memvirt_action {
	MEMVIRT_NOTHING = 0,
	MEMVIRT_REFUSE,       /* SCRIM_ESTATE; state unchanged */
	MEMVIRT_BUILD_MAP,    /* build the Identity root unless it is there; no CPU has switched */
	MEMVIRT_NEW_EPOCH,    /* CPUs are to switch (again): none has. The map is locked */
	MEMVIRT_UNLOCK_MAP,   /* every CPU translates: the map may change */
	MEMVIRT_LOCK_MAP,     /* only remapping home may change it */
	MEMVIRT_DROP_MAP,     /* free what is not part of the fixed memory */
};

struct memvirt_transition {
	enum scrim_state next;
	enum memvirt_action action;
};

/*
 * `state` is one of NATIVE, COMMENCING, VIRTUALIZED, REMAPPING, CEASING. Total: every pair has an answer; any other
 * state or event is refused.
 */
struct memvirt_transition memvirt_next(enum scrim_state state, enum memvirt_event event);
