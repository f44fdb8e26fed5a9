/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the two formats that guest_image_parse chooses from, each in a file of its own. */
#pragma once

#include "boot/guest_image.h"

/* True when the bytes begin as a Linux boot image does, whatever its version. */
bool linux_image_recognize(const uint8_t *image, uint64_t bytes);
const char *linux_image_parse(const uint8_t *image, uint64_t bytes, struct guest_image *out) MUST_CHECK;

/* Offset of the multiboot 1 header, or -1. */
int64_t multiboot1_image_find_header(const uint8_t *image, uint64_t bytes);
const char *multiboot1_image_parse(const uint8_t *image, uint64_t bytes, uint32_t header_offset,
				   struct guest_image *out) MUST_CHECK;
