/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the log on COM1 and the verdict to kernels that are tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void console_start(void);
/* %s %u %x %X (64-bit hexadecimal) %% */
void console_print(const char *format, ...);
/* One line of a check: "NAME: ok" or "NAME: FAILURE". Any failure makes the result a failure. */
void console_check(const char *name, bool holds);
bool console_all_held(void);
