/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the console's state: which outputs are on and where the screen's next character goes. */
#include "hw/console.h"

#include "base/fmt.h"
#include "base/str.h"
#include "hw/insn.h"
#include "hw/lock.h"

#define COM1 0x3f8u
#define LINE_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20u

/* PSF1 header: magic 36 04, mode, bytes a glyph; 256 glyphs in code page order follow. */
extern const uint8_t _binary_font_psf_start[];
#define PSF1_HEADER 4u
#define GLYPH_WIDTH 8u

static struct {
	bool serial;
	struct console_screen screen;
	uint32_t column, row;
	struct lock lock;
} console;

void console_use_serial(bool on)
{
	if (on && !console.serial) {
		outb(COM1 + 1, 0x00); /* no interrupts: polled */
		outb(COM1 + 3, 0x80); /* divisor latch */
		outb(COM1 + 0, 0x01); /* 115200 baud */
		outb(COM1 + 1, 0x00);
		outb(COM1 + 3, 0x03); /* 8N1 */
		outb(COM1 + 2, 0x07); /* FIFO on and cleared */
		outb(COM1 + 4, 0x03); /* DTR, RTS */
	}
	console.serial = on;
}

void console_use_screen(const struct console_screen *screen)
{
	console.screen = *screen;
	console.column = console.row = 0;
}

static void serial_put(char c)
{
	/* A port without a UART reads all-ones, so the loop ends there too. */
	for (uint32_t tries = 0; tries < 100000 && !(inb(LINE_STATUS) & TRANSMITTER_EMPTY); tries++)
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

static uint32_t glyph_height(void)
{
	return console.screen.text ? 1 : _binary_font_psf_start[3];
}

static void draw_glyph(uint8_t c)
{
	const struct console_screen *s = &console.screen;
	uint32_t height = glyph_height(), bytes = s->bits_per_pixel / 8;
	const uint8_t *glyph = _binary_font_psf_start + PSF1_HEADER + c * height;

	for (uint32_t y = 0; y < height; y++) {
		uint8_t *line = (uint8_t *)(uintptr_t)s->address + (uint64_t)(console.row * height + y) * s->pitch;
		for (uint32_t x = 0; x < GLYPH_WIDTH; x++)
			memset(line + (console.column * GLYPH_WIDTH + x) * bytes, glyph[y] >> (7 - x) & 1 ? 0xff : 0, bytes);
	}
}

static void screen_put(char c)
{
	const struct console_screen *s = &console.screen;
	uint32_t columns = s->text ? s->width : s->width / GLYPH_WIDTH;
	uint32_t rows = s->height / glyph_height();

	if (c == '\n' || console.column >= columns) {
		console.column = 0;
		console.row = (console.row + 1) % rows; /* a few lines only: wrapping beats scrolling slow memory */
	}
	if (c == '\n')
		return;
	if (s->text)
		((volatile uint16_t *)(uintptr_t)s->address)[console.row * s->width + console.column] =
			(uint16_t)(0x0700u | (uint8_t)c);
	else
		draw_glyph((uint8_t)c);
	console.column++;
}

static void put(const char *text)
{
	bool can_draw = console.screen.address &&
			(console.screen.text || (console.screen.bits_per_pixel >= 16 && console.screen.height >= glyph_height()));

	for (; *text; text++) {
		if (console.serial) {
			if (*text == '\n')
				serial_put('\r');
			serial_put(*text);
		}
		if (can_draw)
			screen_put(*text);
	}
}

static void put_line(const char *prefix, const char *format, va_list args)
{
	char line[240];

	fmt_args(line, sizeof(line), format, args);
	lock_take(&console.lock);
	put(prefix);
	put(line);
	put("\n");
	lock_release(&console.lock);
}

void console_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put_line("scrim: ", format, args);
	va_end(args);
}

void panic(const char *format, ...)
{
	va_list args;

	console.lock.taken = 0; /* whoever held it will not go on */
	console_use_serial(true);
	va_start(args, format);
	put_line("scrim: panic: ", format, args);
	va_end(args);
	for (;;) {
		cli();
		hlt();
	}
}
