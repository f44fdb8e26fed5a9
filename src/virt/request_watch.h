/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the requests about watches. Machine lock held. */
#pragma once

#include "virt/request.h"

err_t request_watch(struct cpu *self, struct request *request);
err_t request_image_read(struct cpu *self, struct request *request);
err_t request_image_cpu(struct cpu *self, struct request *request);
err_t request_dirty(struct cpu *self, struct request *request);
