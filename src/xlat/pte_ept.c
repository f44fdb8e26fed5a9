/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the bits. */
#include "xlat/pte_ept.h"

#define READ (1ull << 0)
#define WRITE (1ull << 1)
#define EXECUTE (1ull << 2)
#define WRITE_BACK (6ull << 3)
#define LARGE (1ull << 7)

#define APIC_PAGE 0xfee00000ull /* the guard of CPU start-up makes it read-only */

const struct xlat_format pte_ept = {
	.present = READ | WRITE | EXECUTE,
	.write = WRITE,
	.table = READ | WRITE | EXECUTE,
	.leaf = READ | WRITE | EXECUTE | WRITE_BACK,
	.large = LARGE,
	.apart_start = APIC_PAGE,
	.apart_end = APIC_PAGE + PAGE_SIZE,
};
