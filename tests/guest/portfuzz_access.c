/* SPDX-License-Identifier: BSD-2-Clause */
/* The real port: the right to it is the OS's to give, and a fault is a fault. */
#include "portfuzz.h"

#include <sys/io.h>

bool port_access_open(void)
{
	return ioperm(SCRIM_PORT - FUZZ_NEAR, 2 * FUZZ_NEAR + 4, 1) == 0;
}

bool port_access_emulate(void *context)
{
	(void)context;
	return false;
}
