/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides fractions as people write them on a command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * "0.25", "25%", "1/4", "1": above 0, at most 1. The result is in parts of `all`, rounded, and at least one part.
 * False: not such a fraction.
 */
bool fraction_parse(const char *text, uint32_t all, uint32_t *parts) __attribute__((warn_unused_result));
