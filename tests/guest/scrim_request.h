/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the control port as a function, for test guests that need one request at a time and no more. */
#pragma once

#include "scrim_abi.h"

struct scrim_reply {
	uint32_t status; /* enum scrim_status, or SCRIM_ABSENT */
	uint64_t result[2];
};

/* One request, by the CPU that runs this. The caller has the right to the port. */
static inline struct scrim_reply scrim_request(enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	uint32_t eax = SCRIM_REQUEST(op), ebx = (uint32_t)argument0, ecx = (uint32_t)(argument0 >> 32);
	uint32_t esi = (uint32_t)argument1, edi = (uint32_t)(argument1 >> 32);

	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(eax), "+b"(ebx), "+c"(ecx), "+S"(esi), "+D"(edi)
			 : "d"(SCRIM_PORT)
			 : "memory", "cc");
	return (struct scrim_reply){ eax, { (uint64_t)ecx << 32 | ebx, (uint64_t)edi << 32 | esi } };
}

/* The four ports that a 32-bit access covers. */
#define SCRIM_PORT_SPAN 4
