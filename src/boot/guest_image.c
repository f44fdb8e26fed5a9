/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the choice of what the first module is. A Linux header is looked for first: its place is fixed and its signs are
 * many, while a multiboot header may be found by chance anywhere in 8 KiB.
 */
#include "boot/guest_image_parts.h"
#include "base/str.h"

const char *guest_image_parse(const uint8_t *image, uint64_t bytes, struct guest_image *out)
{
	int64_t header;

	memset(out, 0, sizeof(*out));
	if (linux_image_recognize(image, bytes))
		return linux_image_parse(image, bytes, out);
	header = multiboot1_image_find_header(image, bytes);
	if (header >= 0)
		return multiboot1_image_parse(image, bytes, (uint32_t)header, out);
	return "The first module is neither a Linux bzImage nor a multiboot 1 kernel: name the kernel first";
}
