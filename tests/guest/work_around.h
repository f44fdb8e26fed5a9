/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what programs of fixed work do around it: the same address space each time, looks at counters, the clock's period. */
#pragma once

#include <stdbool.h>

/* Ends the program with status 1 and says what failed, unless it holds. */
void work_require(bool holds, const char *what);

/* Has a shell command look at counters; NULL: nobody looks. */
void work_look(const char *around);

/* Sleeps to the beginning of a period of the clock, in which the work is to begin. */
void work_settle(void);

/* Starts this program over without address-space randomization, for it and what it starts. False: the kernel does not let it. */
bool work_fix_addresses(char **argv);
