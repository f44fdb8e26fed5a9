/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the format of VT-d's second-level tables in legacy mode (VT-d specification, 9.8). */
#pragma once

#include "xlat/xlat.h"

extern const struct xlat_format vtd_format;

/* Of a leaf, where all units have ECAP.SC, else reserved: the CPUs' caches see what devices write, whatever a device asks for. */
#define VTD_SNOOP (1ull << 11)
