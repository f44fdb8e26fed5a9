/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns str_copy, apart from str.c so that programs with a libc of their own can link it. */
#include "base/str.h"

size_t str_copy(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);
	size_t copied = length < size ? length : size - 1;

	memcpy(to, from, copied);
	to[copied] = '\0';
	return length;
}
