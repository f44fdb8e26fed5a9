/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the bits. Erratum 383 of family 10h raises a machine check where a TLB meets two sizes of one translation: so nothing changes its
 * size in place.
 */
#include "xlat/pte_npt.h"

#define PRESENT (1ull << 0)
#define WRITE (1ull << 1)
#define USER (1ull << 2) /* every guest access is a user access to these tables (15.25.5) */
#define ACCESSED (1ull << 5)
#define DIRTY (1ull << 6)
#define LARGE (1ull << 7)

#define APIC_PAGE 0xfee00000ull /* the guard of CPU start-up makes it read-only */

const struct xlat_format pte_npt = {
	.present = PRESENT,
	.write = WRITE,
	.table = PRESENT | WRITE | USER | ACCESSED,
	.leaf = PRESENT | WRITE | USER | ACCESSED | DIRTY,
	.large = LARGE,
	.apart_start = APIC_PAGE,
	.apart_end = APIC_PAGE + PAGE_SIZE,
};
