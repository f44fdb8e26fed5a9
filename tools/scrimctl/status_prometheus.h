/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the status as metrics for Prometheus, in the text exposition format of node_exporter's textfile collector. */
#pragma once

#include "status_data.h"

/* Writes all metrics of *status. */
void status_prometheus(FILE *out, const struct status *status);
