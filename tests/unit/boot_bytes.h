/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what the tests of boot code share: random numbers from a printed seed, byte strings that are built piece by
 * piece, and what an error line must look like.
 */
#pragma once

#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/types.h"

struct random {
	uint64_t state;
};

/* SCRIM_SEED repeats a run; else each run is another. */
static inline struct random random_start(const char *test)
{
	const char *wanted = getenv("SCRIM_SEED");
	uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;

	printf("%s: SCRIM_SEED=%" PRIu64 "\n", test, seed);
	return (struct random){ seed };
}

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t random_below(struct random *random, uint64_t limit)
{
	return random_next(random) % limit;
}

struct bytes {
	uint32_t used;
	uint8_t at[65536];
};

static inline void put(struct bytes *to, const void *from, size_t bytes)
{
	assert_true(bytes <= sizeof(to->at) - to->used);
	memcpy(to->at + to->used, from, bytes);
	to->used += (uint32_t)bytes;
}

static inline void put_u8(struct bytes *to, uint8_t value) { put(to, &value, sizeof(value)); }
static inline void put_u16(struct bytes *to, uint16_t value) { put(to, &value, sizeof(value)); }
static inline void put_u32(struct bytes *to, uint32_t value) { put(to, &value, sizeof(value)); }
static inline void put_u64(struct bytes *to, uint64_t value) { put(to, &value, sizeof(value)); }

static inline void set_u8(uint8_t *to, uint8_t value) { memcpy(to, &value, sizeof(value)); }
static inline void set_u16(uint8_t *to, uint16_t value) { memcpy(to, &value, sizeof(value)); }
static inline void set_u32(uint8_t *to, uint32_t value) { memcpy(to, &value, sizeof(value)); }
static inline void set_u64(uint8_t *to, uint64_t value) { memcpy(to, &value, sizeof(value)); }

static inline uint32_t get(const uint8_t *from, uint32_t offset, uint32_t bytes)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < bytes; i++)
		value |= (uint32_t)from[offset + i] << 8 * i;
	return value;
}

static inline uint64_t get_u64(const uint8_t *from, uint32_t offset)
{
	return get(from, offset, 4) | (uint64_t)get(from, offset + 4, 4) << 32;
}

/* An error line: there is one, it is one line, shorter than 160, and says `part`. */
static inline void assert_line(const char *line, const char *part)
{
	if (line == NULL)
		fail_msg("no error line; expected one with \"%s\"", part);
	if (strstr(line, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", line, part);
	assert_true(strlen(line) < 160);
	assert_null(strchr(line, '\n'));
	for (const char *c = line; *c != '\0'; c++)
		assert_true(isprint((unsigned char)*c));
}

static inline void assert_no_line(const char *line)
{
	if (line != NULL)
		fail_msg("unexpected: %s", line);
}
