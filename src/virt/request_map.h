/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the requests that change the map, or what may change in it. Machine lock held. */
#pragma once

#include "virt/request.h"

err_t request_devirtualize(struct cpu *self, struct request *request);
err_t request_step(struct cpu *self, struct request *request);
err_t request_paused(struct cpu *self, struct request *request);
err_t request_move(struct cpu *self, struct request *request);
err_t request_reverse(struct cpu *self, struct request *request);
err_t request_manage(struct cpu *self, struct request *request);
err_t request_aim(struct cpu *self, struct request *request);
err_t request_scatter(struct cpu *self, struct request *request);
err_t request_scatter_step(struct cpu *self, struct request *request);
err_t request_share(struct cpu *self, struct request *request);
err_t request_share_step(struct cpu *self, struct request *request);
err_t request_lend(struct cpu *self, struct request *request);
err_t request_unlend(struct cpu *self, struct request *request);
err_t request_retire(struct cpu *self, struct request *request);

/* True between the first and the last step of a scatter or share. */
bool request_is_under_way(void);

/* What every operation that changes something begins with, and what one in the wrong state answers. */
void request_operation_begin(enum scrim_op op);
err_t request_state_refused(struct request *request);
err_t request_backend(struct cpu *self, struct request *request);

/* SCRIM_EINVAL: none that memory can have; SCRIM_ENOTABLE: no memory for it. */
err_t request_check_backend(uint64_t backend);
