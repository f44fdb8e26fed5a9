/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the grammar of Scrim's boot options: words separated by blanks, each NAME=VALUE. Options add up from left to
 * right and a later one of the same name wins, except dma-free, which collects ranges. Nothing is guessed: a word that
 * is not understood stops the parse with a line that names it.
 */
#include "boot/boot_options.h"
#include "base/str.h"

#define RESERVE_DEFAULT MIB(4)
#define SHADOW_DEFAULT MIB(2)
#define SHADOW_MAX MIB(256)
#define TRACE_DEFAULT KIB(64)
#define TRACE_MAX MIB(16)
#define ADDRESS_LIMIT (1ull << 52) /* AMD64 Manual Volume 2, 5.1: no physical address is wider */

/* A piece of the text, not ended by a zero. */
struct word {
	const char *at;
	size_t length;
};

typedef const char *(*option_fn)(struct word value, struct boot_options *out);

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool word_is(struct word word, const char *text)
{
	return strlen(text) == word.length && memcmp(word.at, text, word.length) == 0;
}

/* Takes what lies before the first `separator` off `rest`; all of it when there is none. */
static struct word word_cut(struct word *rest, char separator)
{
	struct word head = { .at = rest->at, .length = 0 };
	size_t taken;

	while (head.length < rest->length && rest->at[head.length] != separator)
		head.length++;
	taken = head.length < rest->length ? head.length + 1 : head.length;
	rest->at += taken;
	rest->length -= taken;
	return head;
}

/* 99 for what is no digit in any base. */
static uint32_t digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (uint32_t)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (uint32_t)(c - 'A') + 10;
	return 99;
}

static uint32_t suffix_shift(char c)
{
	switch (c) {
	case 'K':
	case 'k':
		return 10;
	case 'M':
	case 'm':
		return 20;
	case 'G':
	case 'g':
		return 30;
	default:
		return 0;
	}
}

/* A decimal or 0x number with K, M or G behind it where wanted; at most 2^52, a multiple of the page size. */
static bool parse_bytes(struct word word, uint64_t *out)
{
	uint32_t base = 10, shift;
	uint64_t value = 0;

	if (word.length > 2 && word.at[0] == '0' && (word.at[1] == 'x' || word.at[1] == 'X')) {
		base = 16;
		word.at += 2;
		word.length -= 2;
	}
	shift = word.length > 1 ? suffix_shift(word.at[word.length - 1]) : 0;
	if (shift != 0)
		word.length--;
	if (word.length == 0)
		return false;
	for (size_t i = 0; i < word.length; i++) {
		uint32_t digit = digit_value(word.at[i]);

		if (digit >= base)
			return false;
		value = value * base + digit;
		if (value > ADDRESS_LIMIT)
			return false;
	}
	if (value > ADDRESS_LIMIT >> shift)
		return false;
	*out = value << shift;
	return (*out & PAGE_MASK) == 0;
}

static const char *option_reserve(struct word value, struct boot_options *out)
{
	if (!parse_bytes(value, &out->reserve_bytes))
		return "not a size in whole pages; write for example reserve=4M";
	return NULL;
}

static const char *option_shadow(struct word value, struct boot_options *out)
{
	if (!parse_bytes(value, &out->shadow_bytes) || out->shadow_bytes > SHADOW_MAX)
		return "not a size in whole pages up to 256M for each CPU; write for example shadow=2M";
	return NULL;
}

static const char *option_trace(struct word value, struct boot_options *out)
{
	if (!parse_bytes(value, &out->trace_bytes) || out->trace_bytes > TRACE_MAX)
		return "not a size in whole pages up to 16M for each CPU; write for example trace=64K";
	return NULL;
}

static const char *option_map(struct word value, struct boot_options *out)
{
	if (!word_is(value, "late") && !word_is(value, "boot"))
		return "the map is built at one of two times; write map=boot or map=late";
	out->map_late = word_is(value, "late");
	return NULL;
}

static const char *option_dma_free_range(struct word range, struct range_list *out)
{
	struct word first = word_cut(&range, '-');
	uint64_t start, end;

	if (!parse_bytes(first, &start) || !parse_bytes(range, &end))
		return "not a range of whole pages; write for example dma-free=0x40000000-0x80000000";
	if (start >= end)
		return "a range is empty; its end must lie above its start";
	if (ranges_overlap(out, start, end))
		return "two ranges overlap; name each page once";
	if (!ranges_set_type(out, start, end, RANGE_RAM))
		return "more than 256 ranges; join some";
	return NULL;
}

static const char *option_dma_free(struct word value, struct boot_options *out)
{
	const char *reason;

	if (word_is(value, "all")) {
		out->dma_free_all = true;
		return NULL;
	}
	if (value.length > 0 && value.at[value.length - 1] == ',')
		return "a range is missing behind the last comma";
	do {
		reason = option_dma_free_range(word_cut(&value, ','), &out->dma_free);
	} while (reason == NULL && value.length > 0);
	return reason;
}

static const char *option_console(struct word value, struct boot_options *out)
{
	bool both = word_is(value, "both");

	if (!both && !word_is(value, "serial") && !word_is(value, "vga") && !word_is(value, "none"))
		return "no such console; write serial, vga, both or none";
	out->console_serial = both || word_is(value, "serial");
	out->console_screen = both || word_is(value, "vga");
	return NULL;
}

static const struct {
	const char *name;
	option_fn parse;
} options[] = {
	{ "reserve", option_reserve },
	{ "shadow", option_shadow },
	{ "trace", option_trace },
	{ "map", option_map },
	{ "dma-free", option_dma_free },
	{ "console", option_console },
};

static const char *option_parse(struct word word, struct boot_options *out)
{
	struct word value = word;
	struct word name = word_cut(&value, '=');

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!word_is(name, options[i].name))
			continue;
		if (name.length == word.length)
			return "it needs a value; write NAME=VALUE";
		return options[i].parse(value, out);
	}
	return "there is no such option; use reserve=, shadow=, trace=, map=, dma-free= or console=";
}

/* Appends `length` bytes, unprintable ones as '?', and keeps the end zero. */
static size_t line_append(char *line, size_t line_size, size_t used, struct word text)
{
	for (size_t i = 0; i < text.length && used + 1 < line_size; i++)
		line[used++] = text.at[i] >= ' ' && text.at[i] <= '~' ? text.at[i] : '?';
	line[used] = '\0';
	return used;
}

static const char *line_make(char *line, size_t line_size, struct word word, const char *reason)
{
	static const char before[] = "Boot option '", between[] = "': ", cut[] = "...";
	const size_t word_max = 40;
	struct word shown = { word.at, word.length > word_max ? word_max : word.length };
	size_t used;

	used = line_append(line, line_size, 0, (struct word){ before, sizeof(before) - 1 });
	used = line_append(line, line_size, used, shown);
	if (shown.length < word.length)
		used = line_append(line, line_size, used, (struct word){ cut, sizeof(cut) - 1 });
	used = line_append(line, line_size, used, (struct word){ between, sizeof(between) - 1 });
	line_append(line, line_size, used, (struct word){ reason, strlen(reason) });
	return line;
}

const char *boot_options_parse(const char *text, struct boot_options *out, char *line, size_t line_size)
{
	memset(out, 0, sizeof(*out));
	out->reserve_bytes = RESERVE_DEFAULT;
	out->shadow_bytes = SHADOW_DEFAULT;
	out->trace_bytes = TRACE_DEFAULT;
	out->console_serial = true;
	out->console_screen = true;

	for (;;) {
		struct word word = { .length = 0 };
		const char *reason;

		while (is_blank(*text))
			text++;
		if (*text == '\0')
			return NULL;
		word.at = text;
		while (*text != '\0' && !is_blank(*text))
			text++;
		word.length = (size_t)(text - word.at);
		reason = option_parse(word, out);
		if (reason != NULL)
			return line_make(line, line_size, word, reason);
	}
}
