/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the status for programs. */
#pragma once

#include <jansson.h>

#include "status_data.h"

/* The caller owns the result; NULL: no memory. */
json_t *status_json(const struct status *status);
