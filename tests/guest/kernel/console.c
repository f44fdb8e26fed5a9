/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns COM1 and the verdict. Polled output: it must work with whatever state interrupts are in. */
#include "console.h"
#include "insn.h"

#include <stdarg.h>

#define COM1                 0x3f8u
#define LINE_STATUS          5u
#define LINE_STATUS_HOLDING  0x20u
#define LINE_STATUS_ALL_SENT 0x40u

static bool all_held = true;

void console_start(void)
{
	port_write8(COM1 + 1, 0);    /* no interrupts */
	port_write8(COM1 + 3, 0x80); /* divisor latch */
	port_write8(COM1 + 0, 1);    /* 115200 */
	port_write8(COM1 + 1, 0);
	port_write8(COM1 + 3, 0x03); /* 8N1 */
	port_write8(COM1 + 2, 0x07); /* FIFO on and empty */
	port_write8(COM1 + 4, 0x03);
	/* Whatever the firmware left on the line ends here. */
	console_print("\n");
}

static void console_put(char character)
{
	while ((port_read8(COM1 + LINE_STATUS) & LINE_STATUS_HOLDING) == 0)
		;
	port_write8(COM1, (uint8_t)character);
}

static void console_put_text(const char *text)
{
	for (; *text != '\0'; text++)
		console_put(*text);
}

static void console_put_number(uint64_t value, unsigned base)
{
	char digits[24];
	unsigned count = 0;

	/* Only 32-bit values come in decimal: a 64-bit division would need the compiler's library. */
	do {
		unsigned digit = base == 16 ? (unsigned)(value & 15) : (uint32_t)value % 10;

		digits[count++] = "0123456789abcdef"[digit];
		value = base == 16 ? value >> 4 : (uint32_t)value / 10;
	} while (value != 0);
	while (count > 0)
		console_put(digits[--count]);
}

void console_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	for (; *format != '\0'; format++) {
		if (*format != '%') {
			if (*format == '\n')
				console_put('\r');
			console_put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			console_put_text(va_arg(arguments, const char *));
			break;
		case 'u':
			console_put_number(va_arg(arguments, uint32_t), 10);
			break;
		case 'x':
			console_put_number(va_arg(arguments, uint32_t), 16);
			break;
		case 'X':
			console_put_number(va_arg(arguments, uint64_t), 16);
			break;
		default:
			console_put('%');
		}
	}
	va_end(arguments);
	if (*(format - 1) == '\n')
		while ((port_read8(COM1 + LINE_STATUS) & LINE_STATUS_ALL_SENT) == 0)
			;
}

void console_check(const char *name, bool holds)
{
	console_print("%s: %s\n", name, holds ? "ok" : "FAILURE");
	all_held = all_held && holds;
}

bool console_all_held(void)
{
	return all_held;
}
