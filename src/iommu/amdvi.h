/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides AMD-Vi for iommu.c: all units of a machine as one, with one table for every device. */
#pragma once

#include "hw/acpi_ivrs.h"
#include "iommu/amdvi_registers.h"
#include "virt/dma.h"

/* A device table, and for each unit a command buffer and an event log. */
#define AMDVI_FIXED_BYTES(units) (DEVICE_TABLE_BYTES + 2 * (uint64_t)(units) * PAGE_SIZE)

/*
 * Whether all these units can translate for a machine whose RAM ends at `ram_end` and whose CPUs have so many address bits. NULL, or why
 * not (in `line` where it has to name the unit). Writes to no unit.
 */
const char *amdvi_probe(const struct ivrs *ivrs, uint64_t ram_end, uint32_t address_bits, struct dma_limits *limits, char line[static 120]) MUST_CHECK;

/* Takes the units over from firmware, after amdvi_probe(); `memory` has AMDVI_FIXED_BYTES zeroed bytes. NULL: one of them does not obey. */
const struct dma_ops *amdvi_take(void *memory);
