/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides one VT-d unit: its commands, its caches, its faults. What may fail waits a second for the hardware. Calls for one unit are
 * serialized by the caller.
 */
#pragma once

#include "base/addr.h"
#include "iommu/vtd_registers.h"
#include "virt/dma.h"

#define VTD_DOMAIN 1u /* all devices are in this one; 0 is reserved where CAP.CM is set */

struct vtd_unit {
	uint64_t at; /* machine address of its registers */
	uint64_t cap, ecap;
	struct vtd_descriptor *queue; /* a page, where ECAP.QI is set */
	uint32_t tail;                /* where the next descriptor goes */
	uint32_t done;                /* written by the unit */
};

/* Reads what the unit can do. NULL, or why Scrim cannot use it. Writes nothing. */
const char *vtd_unit_probe(struct vtd_unit *unit, uint64_t registers) MUST_CHECK;

/* Switches off what firmware left on: translation, interrupt remapping, queue, protected regions, the fault interrupt. False: it stays on. */
bool vtd_unit_take(struct vtd_unit *unit) MUST_CHECK;

/*
 * Translation on with this root table (machine address, as all that it leads to), nothing of older ones in any cache; off. Hardware changes from one to the
 * other between two transactions (10.4.4). False: it did not.
 */
bool vtd_unit_start(struct vtd_unit *unit, uint64_t root_table) MUST_CHECK;
bool vtd_unit_stop(struct vtd_unit *unit) MUST_CHECK;
bool vtd_unit_is_translating(const struct vtd_unit *unit);

/* As struct dma_ops' invalidate. `count` at most DMA_GROUP. False: the unit does not end it. */
bool vtd_unit_invalidate(struct vtd_unit *unit, const gfn_t *page, uint32_t count) MUST_CHECK;

/* Reads and clears its fault records: how many had one. */
uint64_t vtd_unit_take_faults(struct vtd_unit *unit, struct dma_fault *last);
