/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers as people write them. Nothing is guessed: what is not wholly a number is none. */
#include "number.h"

#include <stddef.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Bits that a suffix shifts by, or -1. */
static int suffix_shift(const char *text)
{
	static const char suffixes[] = "kKmMgGtT";
	const char *found;

	if (text[0] == '\0')
		return 0;
	found = strchr(suffixes, text[0]);
	if (found == NULL || text[1] != '\0')
		return -1;
	return 10 * (1 + (int)((found - suffixes) / 2));
}

bool number_parse(const char *text, uint64_t *value)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	int base = hex ? 16 : 10;
	const char *digits = hex ? text + 2 : text;
	const char *c = digits;
	uint64_t sum = 0;
	int shift;

	for (; digit_value(*c) < base; c++)
		if (__builtin_mul_overflow(sum, (uint64_t)base, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)digit_value(*c), &sum))
			return false;
	shift = suffix_shift(c);
	if (c == digits || shift < 0 || sum > UINT64_MAX >> shift)
		return false;
	*value = sum << shift;
	return true;
}
