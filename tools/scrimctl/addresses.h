/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the addresses that a verb takes as operands. */
#pragma once

#include <stdint.h>

#include "session.h"

/*
 * `count` words as numbers; the caller frees the result. NULL after a complaint, in which nothing was done by `verb`, with *code set.
 */
uint64_t *addresses_parse(const struct session *session, const char *verb, char **words, int count,
			  enum exit_code *code) MUST_CHECK;
