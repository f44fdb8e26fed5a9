/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the part of <string.h> that a freestanding program needs; names and contracts are ISO C's. */
#pragma once

#include "base/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t bytes);

/* Copies at most size - 1 bytes and ends with a zero. Returns strlen(from). size > 0. */
size_t str_copy(char *to, const char *from, size_t size);
