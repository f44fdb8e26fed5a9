/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the format of AMD's nested page tables: that of long-mode tables (APM vol. 2, 15.25.4 and 5.3). */
#pragma once

#include "xlat/xlat.h"

extern const struct xlat_format pte_npt;
