/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides a second opinion on abi/scrim_abi.h: the answers that a request may get, and what a refused one must leave alone. */
#pragma once

#include "virt/request.h"

#define JUDGE_STATUS(status) (1u << (status))

/* What may be answered in the state that the machine is in, if nobody else gets a turn; and in any state. Bits JUDGE_STATUS(). */
uint32_t judge_allowed(const struct request *request);
uint32_t judge_allowed_ever(const struct request *request);

/* What requests change. `course`: a scatter's and a share's, and the last operation. */
struct judge_snapshot {
	uint64_t map, course;
};

struct judge_snapshot judge_look(void);

/* `before` as asked, `after` as answered, by `cpu`. Fails where the answer is not one that may be; `alone`: nobody else had a turn. */
struct judge_case {
	const struct cpu *cpu;
	struct request before, after;
	uint32_t allowed;
	bool alone;
	uint64_t instants; /* os_instants() before */
	struct judge_snapshot was;
};

void judge_answer(const struct judge_case *one);
