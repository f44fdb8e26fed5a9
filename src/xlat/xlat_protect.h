/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides write protection of all that a tree of nested tables maps, in one instant that does not depend on how much that is, and giving
 * the right back piece by piece. What the pieces are is the caller's affair (mem/watch.h). Machine lock held.
 */
#pragma once

#include "xlat/xlat.h"

/* Nothing may be written from now on, behind the flush that the caller makes. Bounded: the entries of one table. */
void xlat_protect(struct xlat *xlat);

enum xlat_allow {
	XLAT_ALLOWED,
	XLAT_BROKEN,         /* `table` hangs where a large entry was, out of reach: flush, and call again with none */
	XLAT_NEEDS_TABLE,    /* call again with a zeroed page for a table of 4 KiB entries; merging gives it back */
	XLAT_NEEDS_DIRECTORY /* the same for one of 2 MiB entries; tidying gives it back */
};

/*
 * CPUs may write `page`, which may be written as far as the map is concerned, and of what a larger entry maps along with it no more than the
 * entry of `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB) around it. Needs no flush where it says ALLOWED: rights grow.
 */
enum xlat_allow xlat_allow(struct xlat *xlat, gfn_t page, uint32_t level, void *table) MUST_CHECK;

/* The 2 MiB around `page` may be written, each page where the map lets it (port.access). */
void xlat_allow_chunk(struct xlat *xlat, gfn_t page);

/* The same of everything that xlat_protect() took the right from. Bounded by the tables below entries that xlat_allow() has come by. */
void xlat_unprotect(struct xlat *xlat);
