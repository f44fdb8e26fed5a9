/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides formatted text: the part of printf that Scrim's messages need. */
#pragma once

#include <stdarg.h>

#include "base/types.h"

/*
 * Writes at most size - 1 characters and a zero. Knows %s %c %u %x %lu %lx %llu %llx, zero padding with a width
 * (%016lx) and %%. Returns the length written. size > 0.
 */
size_t fmt_args(char *to, size_t size, const char *format, va_list args);
size_t fmt(char *to, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
