/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the freestanding <string.h>. The compiler calls these by name for what it makes of plain C, so none of them may
 * be written in a form that it recognizes and turns into a call of itself: the copies are string instructions, of words as far
 * as they go, and strlen is SCASB. The direction flag is clear, as the System V ABI (3.2.1) has it at each call, and stays so.
 */
#include "base/str.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *next = to;
	size_t words = bytes / sizeof(uint64_t), rest = bytes % sizeof(uint64_t);

	__asm__ volatile("rep movsq" : "+D"(next), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(next), "+S"(from), "+c"(rest) : : "memory");
	return to;
}

/*
 * Upwards over itself in pieces that do not overlap, the last one first: with the direction flag set no processor moves more than a word at
 * a time.
 */
void *memmove(void *to, const void *from, size_t bytes)
{
	size_t distance = (uintptr_t)to - (uintptr_t)from;

	while (bytes > distance && distance > 0) {
		bytes -= distance;
		memcpy((uint8_t *)to + bytes, (const uint8_t *)from + bytes, distance);
	}
	return memcpy(to, from, bytes);
}

void *memset(void *to, int byte, size_t bytes)
{
	void *next = to;
	uint64_t word = (uint8_t)byte * 0x0101010101010101ull;
	size_t words = bytes / sizeof(uint64_t), rest = bytes % sizeof(uint64_t);

	__asm__ volatile("rep stosq" : "+D"(next), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(next), "+c"(rest) : "a"(word) : "memory");
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
