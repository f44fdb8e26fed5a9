/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the one error type of the control path: the ABI's own status, so that nothing is translated on the way out. */
#pragma once

#include "scrim_abi.h"

typedef enum scrim_status err_t;
