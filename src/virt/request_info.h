/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the requests that only read (SCRIM_OP_INFO, CPU_INFO, CPU_EXITS, RANGE). Machine lock held. */
#pragma once

#include "virt/request.h"

err_t request_info(struct cpu *self, struct request *request);
err_t request_cpu_info(struct cpu *self, struct request *request);
err_t request_cpu_exits(struct cpu *self, struct request *request);
err_t request_range(struct cpu *self, struct request *request);
