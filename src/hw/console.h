/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides Scrim's console: COM1 and the screen the loader gave (EGA text or a linear framebuffer). Only until the OS
 * is entered, and again in a panic: between the two both belong to the OS.
 */
#pragma once

#include "base/types.h"

struct console_screen {
	uint64_t address; /* of the framebuffer or of EGA text memory; 0: none */
	uint32_t pitch, width, height;
	uint32_t bits_per_pixel; /* 16, 24 or 32; anything else is not drawn on */
	bool text;
};

/* Both may be called again at any time; nothing is printed before the first. */
void console_use_serial(bool on);
void console_use_screen(const struct console_screen *screen);

/* One line; "scrim: " before it and a newline after it are the console's. */
void console_line(const char *format, ...) PRINTF_LIKE(1, 2);

/* A bug in Scrim: says so on the console and stops this CPU for good. */
void NORETURN panic(const char *format, ...) PRINTF_LIKE(1, 2);

/* A condition that Scrim's own logic guarantees. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			panic("%s:%u: %s does not hold", __FILE__, (uint32_t)__LINE__, #condition);                    \
	} while (0)
