/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the control port: every request is validated completely before it acts (abi/scrim_abi.h has the contract). */
#pragma once

#include "virt/machine.h"

struct request {
	uint32_t eax;           /* in: SCRIM_REQUEST(op); out: enum scrim_status */
	uint64_t argument[2];
	uint64_t result[2];
	uint32_t result_count;  /* out: how many of them are to be given; the other registers stay as they are */
};

/* Carries out one request that came in an exit of `self`. */
void request_serve(struct cpu *self, struct request *request);
