/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Intel VT-d for iommu.c: all units of a machine as one, with one table for every device. */
#pragma once

#include "hw/acpi_dmar.h"
#include "virt/dma.h"

/* A root table, a context table and a queue for each unit. */
#define VTD_FIXED_BYTES(units) ((2 + (uint64_t)(units)) * PAGE_SIZE)

/*
 * Whether all these units can translate for a machine whose RAM ends at `ram_end` and whose CPUs have so many address bits. NULL, or why
 * not (in `line` where it has to name the unit). Writes to no unit.
 */
const char *vtd_probe(const struct dmar *dmar, uint64_t ram_end, uint32_t address_bits, struct dma_limits *limits, char line[static 120]) MUST_CHECK;

/* Takes the units over from firmware, after vtd_probe(); `memory` has VTD_FIXED_BYTES zeroed bytes. NULL: one of them does not obey. */
const struct dma_ops *vtd_take(void *memory);
