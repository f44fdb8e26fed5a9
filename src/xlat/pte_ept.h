/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the format of Intel's extended page tables (SDM vol. 3, 28.3.2). */
#pragma once

#include "xlat/xlat.h"

extern const struct xlat_format pte_ept;
