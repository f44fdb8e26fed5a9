/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the bits. NextLevel of an entry says of which level the table is that it leads to; 0: it maps, in the size of its own level. Rights are
 * the least of those on the way. FC: the CPUs' caches see what devices write, whatever a device asks for; the merge relies on it (decision 14). What
 * lies at the interrupt range of the processors is no memory for a device: a write there is a message, which no table maps (2.2.5). Nothing in the
 * specification forbids two sizes of one translation at once that mean the same.
 */
#include "iommu/amdvi_format.h"

#define PR (1ull << 0)
#define NEXT_LEVEL (1ull << 9)
#define FC (1ull << 60)
#define IR (1ull << 61)
#define IW (1ull << 62)

#define INTERRUPTS_START 0xfee00000ull
#define INTERRUPTS_END 0xfef00000ull

const struct xlat_format amdvi_format = {
	.present = PR,
	.write = IW,
	.table = PR | IR | IW,
	.leaf = PR | FC | IR | IW,
	.next_level = NEXT_LEVEL,
	.apart_start = INTERRUPTS_START,
	.apart_end = INTERRUPTS_END,
	.apart_is_hole = true,
	.in_place = true,
};
