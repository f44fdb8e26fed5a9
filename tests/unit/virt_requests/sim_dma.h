/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides an IOMMU with a TLB, and behind it a device that reads and writes the OS's memory whenever something else goes on: also
 * between the steps of a move. It keeps translations until they are invalidated, and its writes wait on their way, in order, until they
 * land; a drained invalidation waits for them. Each write changes every byte to a value that was not there before.
 */
#pragma once

#include "sim.h"

extern const struct dma_ops sim_dma_ops;

/* A new script: nothing is on its way. `on`: this machine has the device. */
void sim_dma_reset(bool on);

/* The device goes on for a moment. */
void sim_dma_run(void);

/* Everything that is on its way lands. */
void sim_dma_settle(void);

/* Writes that have landed; of these, in a frame that its page was leaving. */
struct sim_dma_counts {
	uint64_t writes, late;
};

extern struct sim_dma_counts sim_dma_counts;
