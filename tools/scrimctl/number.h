/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides numbers as people write them on a command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Decimal or, after 0x, hexadecimal, with at most one of the suffixes K, M, G (as in Scrim's boot options) and T:
 * powers of 1024, either case. No sign, no blanks. False: not such a number, or too large for 64 bits.
 */
bool number_parse(const char *text, uint64_t *value) __attribute__((warn_unused_result));
