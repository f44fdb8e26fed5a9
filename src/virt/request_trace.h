/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the requests for the census of the map and for the trace: they change nothing of the map. Machine lock held. */
#pragma once

#include "virt/request.h"

err_t request_census(struct cpu *self, struct request *request);
err_t request_trace(struct cpu *self, struct request *request);
err_t request_trace_read(struct cpu *self, struct request *request);
