/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: one pass over the format, one bounded output. */
#include "base/fmt.h"

struct output {
	char *to;
	size_t size, used;
};

static void put(struct output *out, char c)
{
	if (out->used + 1 < out->size)
		out->to[out->used++] = c;
}

static void put_number(struct output *out, uint64_t value, uint32_t base, uint32_t width)
{
	char digits[20];
	uint32_t count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width-- > count)
		put(out, '0');
	while (count)
		put(out, digits[--count]);
}

/* One conversion, `format` just behind its '%'. Returns where the text goes on. */
static const char *convert(struct output *out, const char *format, va_list *args)
{
	uint32_t width = 0;
	bool is_long = false;

	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (uint32_t)(*format - '0');
	for (; *format == 'l'; format++)
		is_long = true;
	switch (*format) {
	case 's':
		for (const char *s = va_arg(*args, const char *); *s; s++)
			put(out, *s);
		break;
	case 'c':
		put(out, (char)va_arg(*args, int));
		break;
	case 'u':
	case 'x':
		put_number(out, is_long ? va_arg(*args, uint64_t) : va_arg(*args, uint32_t), *format == 'u' ? 10 : 16, width);
		break;
	default:
		put(out, '%');
		break;
	}
	return *format ? format + 1 : format;
}

size_t fmt_args(char *to, size_t size, const char *format, va_list args)
{
	struct output out = { .to = to, .size = size };
	va_list copy;

	va_copy(copy, args);
	while (*format) {
		if (*format != '%')
			put(&out, *format++);
		else
			format = convert(&out, format + 1, &copy);
	}
	va_end(copy);
	to[out.used] = 0;
	return out.used;
}

size_t fmt(char *to, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	size_t length = fmt_args(to, size, format, args);
	va_end(args);
	return length;
}
