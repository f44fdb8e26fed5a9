/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the format of AMD's I/O page tables for host translation (AMD I/O Virtualization Technology Specification, rev. 3.00, 2.2.3). */
#pragma once

#include "xlat/xlat.h"

extern const struct xlat_format amdvi_format;
