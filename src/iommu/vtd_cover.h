/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the look at every PCI function of a machine: whether it is behind a unit. */
#pragma once

#include "hw/acpi_dmar.h"

/* True when each is. Else *function: one that is not, bus << 8 | device << 3 | function. */
bool vtd_covers(const struct dmar *dmar, uint32_t *function) MUST_CHECK;
