/* SPDX-License-Identifier: BSD-2-Clause */
/* Fractions, with as few ways to write them as there are habits. Nothing is guessed: "25" is neither 25% nor 1. */
#include "fraction.h"

#include <stddef.h>

/* Digits with at most one point among them; returns what stands behind, or NULL where there is no digit. */
static const char *take_decimal(const char *text, double *value)
{
	double unit = 1;
	bool digit = false, point = false;

	*value = 0;
	for (;; text++) {
		if (*text >= '0' && *text <= '9') {
			*value = *value * 10 + (*text - '0');
			unit *= point ? 10 : 1;
			digit = true;
		} else if (*text == '.' && !point) {
			point = true;
		} else {
			break;
		}
	}
	*value /= unit;
	return digit ? text : NULL;
}

bool fraction_parse(const char *text, uint32_t all, uint32_t *parts)
{
	double value, divisor = 1;
	const char *rest = take_decimal(text, &value);

	if (rest == NULL)
		return false;
	if (*rest == '%') {
		divisor = 100;
		rest++;
	} else if (*rest == '/') {
		rest = take_decimal(rest + 1, &divisor);
	}
	/* Written so that a quotient which is no number (0/0, or more digits than a double can hold) is refused too. */
	if (rest == NULL || *rest != '\0' || !(value / divisor > 0 && value / divisor <= 1))
		return false;
	*parts = (uint32_t)(value / divisor * all + 0.5);
	*parts = *parts == 0 ? 1 : *parts;
	return true;
}
