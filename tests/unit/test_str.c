/* SPDX-License-Identifier: BSD-2-Clause */
/* The freestanding <string.h>, under other names than the host's: copies over themselves at each distance, and lengths that are no whole words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define memcpy  str_memcpy
#define memmove str_memmove
#define memset  str_memset
#define memcmp  str_memcmp
#define strlen  str_strlen
#define strcmp  str_strcmp
#define strncmp str_strncmp
#include "base/str.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp

#define ROOM  96u
#define BYTES 40u

static void fill(uint8_t *room)
{
	for (unsigned i = 0; i < ROOM; i++)
		room[i] = (uint8_t)(i * 37 + 11);
}

/* Byte by byte through a third place. */
static void move_model(uint8_t *room, unsigned to, unsigned from, unsigned bytes)
{
	uint8_t between[BYTES];

	for (unsigned i = 0; i < bytes; i++)
		between[i] = room[from + i];
	for (unsigned i = 0; i < bytes; i++)
		room[to + i] = between[i];
}

static void test_move(void **state)
{
	uint8_t seen[ROOM], expected[ROOM];

	(void)state;
	for (unsigned bytes = 0; bytes <= BYTES; bytes++)
		for (unsigned from = 0; from <= ROOM - BYTES; from++)
			for (unsigned to = 0; to <= ROOM - BYTES; to++) {
				fill(seen);
				fill(expected);
				move_model(expected, to, from, bytes);
				assert_ptr_equal(str_memmove(seen + to, seen + from, bytes), seen + to);
				assert_memory_equal(seen, expected, ROOM);
			}
}

static void test_copy_and_set(void **state)
{
	uint8_t source[ROOM], seen[ROOM], expected[ROOM];

	(void)state;
	fill(source);
	for (unsigned bytes = 0; bytes <= BYTES; bytes++)
		for (unsigned to = 0; to < 2 * sizeof(uint64_t); to++) {
			fill(seen);
			fill(expected);
			for (unsigned i = 0; i < bytes; i++)
				expected[to + i] = source[to + 1 + i];
			assert_ptr_equal(str_memcpy(seen + to, source + to + 1, bytes), seen + to);
			assert_memory_equal(seen, expected, ROOM);
			for (unsigned i = 0; i < bytes; i++)
				expected[to + i] = 0xa5;
			assert_ptr_equal(str_memset(seen + to, ~0x5a, bytes), seen + to); /* the byte alone counts */
			assert_memory_equal(seen, expected, ROOM);
		}
}

static void test_strings(void **state)
{
	(void)state;
	assert_int_equal(str_strlen(""), 0);
	assert_int_equal(str_strlen("scrim"), 5);
	assert_int_equal(str_strcmp("a", "a"), 0);
	assert_true(str_strcmp("a", "ab") < 0);
	assert_true(str_strcmp("\x80", "a") > 0);
	assert_int_equal(str_strncmp("abc", "abd", 2), 0);
	assert_true(str_memcmp("a\0c", "a\0b", 3) > 0);
	assert_int_equal(str_memcmp("a\0c", "a\0b", 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_copy_and_set),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
