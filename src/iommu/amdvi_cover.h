/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the look at every PCI function of a machine: whether it is behind an AMD IOMMU. */
#pragma once

#include "hw/acpi_ivrs.h"

/* True when each is that may write to memory. Else *function: one that is not, bus << 8 | device << 3 | function. */
bool amdvi_covers(const struct ivrs *ivrs, uint32_t *function) MUST_CHECK;
