/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the bits. An entry is present with either right. What lies at the interrupt range of the processors is no memory for a device: a
 * write there is a message, which no table may map (VT-d specification, 3.14). Two sizes of one translation may be cached at once and mean the same (6.2.4.1).
 */
#include "iommu/vtd_format.h"

#define READ (1ull << 0)
#define WRITE (1ull << 1)
#define LARGE (1ull << 7)

#define INTERRUPTS_START 0xfee00000ull
#define INTERRUPTS_END 0xfef00000ull

const struct xlat_format vtd_format = {
	.present = READ | WRITE,
	.write = WRITE,
	.table = READ | WRITE,
	.leaf = READ | WRITE,
	.large = LARGE,
	.apart_start = INTERRUPTS_START,
	.apart_end = INTERRUPTS_END,
	.apart_is_hole = true,
	.in_place = true,
};
