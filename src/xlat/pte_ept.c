/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the bits. An entry is present with any right, and all rights come and go together but that to write: to write without to read would be a
 * misconfiguration (28.3.3.1). A leaf says its memory type; "ignore PAT" is never set, so that the OS's PAT combines with it as it does with
 * the MTRRs (28.3.7.2). Accessed and dirty are ignored while the EPT pointer does not ask for them; set, they keep an absent entry from being 0.
 *
 * Two sizes of one translation may raise a machine check ("iTLB multihit"): so nothing changes its size in place.
 */
#include "xlat/pte_ept.h"

#define READ (1ull << 0)
#define WRITE (1ull << 1)
#define EXECUTE (1ull << 2)
#define TYPE (7ull << 3)
#define LARGE (1ull << 7)
#define ACCESSED (1ull << 8)
#define DIRTY (1ull << 9)

#define APIC_PAGE 0xfee00000ull /* the guard of CPU start-up makes it read-only */

const struct xlat_format pte_ept = {
	.present = READ | WRITE | EXECUTE,
	.write = WRITE,
	.table = READ | WRITE | EXECUTE | ACCESSED,
	.leaf = READ | WRITE | EXECUTE | ACCESSED | DIRTY,
	.large = LARGE,
	.type = TYPE,
	.apart_start = APIC_PAGE,
	.apart_end = APIC_PAGE + PAGE_SIZE,
};
