/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the status for people. */
#pragma once

#include "status_data.h"

void status_table(FILE *out, const struct status *status);
