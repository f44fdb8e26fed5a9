/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the freestanding <string.h>. The compiler calls these by name for what it makes of plain C, so none of them may
 * be written in a form that it recognizes and turns into a call of itself: the copies are string instructions, and
 * strlen is SCASB. The direction flag is clear, as the System V ABI (3.2.1) has it at each call, and is left clear.
 */
#include "base/str.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *next = to;

	__asm__ volatile("rep movsb" : "+D"(next), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	uint8_t *last = (uint8_t *)to + bytes - 1;
	const uint8_t *source = (const uint8_t *)from + bytes - 1;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	__asm__ volatile("std; rep movsb; cld" : "+D"(last), "+S"(source), "+c"(bytes) : : "memory", "cc");
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	void *next = to;

	__asm__ volatile("rep stosb" : "+D"(next), "+c"(bytes) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *left = a;
	const uint8_t *right = b;

	for (size_t i = 0; i < bytes; i++) {
		if (left[i] != right[i])
			return left[i] - right[i];
	}
	return 0;
}

size_t strlen(const char *s)
{
	const char *end = s;
	size_t left = SIZE_MAX;

	__asm__ volatile("repne scasb" : "+D"(end), "+c"(left) : "a"(0) : "memory", "cc");
	return (size_t)(end - s) - 1;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (a[i] != b[i] || a[i] == '\0')
			return (unsigned char)a[i] - (unsigned char)b[i];
	}
	return 0;
}
