/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the engine's own side of batches: how a planner puts moves together. */
#pragma once

#include "mem/frames.h"

/* An empty batch, in flight. Every begin starts with it. */
void batch_open(struct mem *mem, struct mem_batch *batch);

/*
 * Adds a move to any free frame, or (chained) to what the last move leaves. The page is absent after it. Everything is
 * prepared. What most pages of a homecoming take instead is follow() in remap.c.
 */
void batch_add(struct mem *mem, struct mem_batch *batch, gfn_t page, mfn_t to, bool chained);

/* Makes sure that `page` may be elsewhere than at home, in `to`. False: no memory, nothing is left of the attempt. */
bool batch_prepare(struct mem *mem, gfn_t page, mfn_t to) MUST_CHECK;

/* The end of planning: all its pages are absent in the hardware's tables too, riders are found. A batch without moves is closed; what is returned then is `empty`. */
enum mem_step batch_seal(struct mem *mem, struct mem_batch *batch, enum mem_step empty);

/* Flush, copy and end of a batch that began under the same lock. */
void batch_run(struct mem *mem, struct mem_batch *batch, struct mem_moved *moved);

/* Writes one translation in both places: the map and the hardware's tables. */
void batch_set(struct mem *mem, gfn_t page, mfn_t frame, enum mem_access access);

/* Takes out the tables of the page's chunk that say nothing. True: the back-end was told, batch_flush is due. */
bool batch_tidy(struct mem *mem, gfn_t page);

/* A flush; then frees the leaves that were taken out of the map. */
void batch_flush(struct mem *mem);

/*
 * Pages that shared a frame have left it: it is freed where nobody is left, and is its own page's again where that one
 * is there alone. The frame, and who is in it, stand in mem->question at `place`.
 */
void batch_settle(struct mem *mem, uint32_t place);
