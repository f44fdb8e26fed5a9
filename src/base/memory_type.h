/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides x86's numbers for types of memory (AMD APM vol. 2, table 7-3; Intel SDM vol. 3, table 11-8). */
#pragma once

enum memory_type {
	MEMORY_UNCACHEABLE = 0,
	MEMORY_WRITE_COMBINING = 1,
	MEMORY_WRITE_THROUGH = 4,
	MEMORY_WRITE_PROTECTED = 5,
	MEMORY_WRITE_BACK = 6,
	MEMORY_MIXED = 255, /* none of them: of a range, more than one */
};
