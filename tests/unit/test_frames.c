/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the boot reserve: every size around a word of its bitmap, against an array model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/frames.h"

#define FIRST 1000u
#define MOST  200u

static uint64_t used[4], seen[4];

static struct mem reserve_of(uint64_t frame_count)
{
	for (size_t i = 0; i < ARRAY_SIZE(used); i++)
		used[i] = seen[i] = 0;
	return (struct mem){
		.config = { .reserve_first = mfn(FIRST), .reserve_frames = frame_count },
		.reserve_used = used,
		.reserve_seen = seen,
		.reserve_free = frame_count,
	};
}

static void test_contain(void **unused)
{
	(void)unused;
	struct mem mem = reserve_of(70);

	assert_false(frames_contain(&mem, mfn(0)));
	assert_false(frames_contain(&mem, mfn(FIRST - 1)));
	assert_true(frames_contain(&mem, mfn(FIRST)));
	assert_true(frames_contain(&mem, mfn(FIRST + 69)));
	assert_false(frames_contain(&mem, mfn(FIRST + 70)));
	assert_false(frames_contain(&mem, mfn(UINT64_MAX)));
}

static void test_take_all_lowest_first(void **unused)
{
	(void)unused;
	for (uint64_t count = 0; count <= MOST; count++) {
		struct mem mem = reserve_of(count);
		mfn_t frame;

		for (uint64_t i = 0; i < count; i++) {
			assert_false(frames_is_used(&mem, mfn(FIRST + i)));
			assert_true(frames_take(&mem, &frame));
			assert_int_equal(frame.n, FIRST + i);
			assert_true(frames_is_used(&mem, frame));
			assert_int_equal(mem.reserve_free, count - i - 1);
		}
		assert_false(frames_take(&mem, &frame));
	}
}

/* A count that promises a frame where the bitmap has none must not lead out of the bitmap. */
static void test_wrong_count(void **unused)
{
	(void)unused;
	struct mem mem = reserve_of(64);
	mfn_t frame = mfn(7);

	used[0] = UINT64_MAX;
	assert_false(frames_take(&mem, &frame));
	assert_int_equal(frame.n, 7);
}

static void test_random_against_model(void **unused)
{
	(void)unused;
	struct mem mem = reserve_of(MOST);
	bool model[MOST] = { false };
	uint64_t seed = 42, free_count = MOST;

	for (int i = 0; i < 100000; i++) {
		uint64_t pick = fake_random_below(&seed, MOST);
		mfn_t frame;

		if (model[pick]) {
			frames_give(&mem, mfn(FIRST + pick));
			model[pick] = false;
			free_count++;
		} else if (frames_take(&mem, &frame)) {
			assert_true(frames_contain(&mem, frame));
			assert_false(model[frame.n - FIRST]);
			model[frame.n - FIRST] = true;
			free_count--;
		}
		assert_int_equal(mem.reserve_free, free_count);
		assert_int_equal(frames_is_used(&mem, mfn(FIRST + pick)), model[pick]);
	}
}

static void test_see_once(void **unused)
{
	(void)unused;
	struct mem mem = reserve_of(MOST);

	for (uint64_t i = 0; i < MOST; i++) {
		assert_true(frames_see(&mem, mfn(FIRST + i)));
		assert_false(frames_see(&mem, mfn(FIRST + i)));
		assert_false(frames_is_used(&mem, mfn(FIRST + i)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contain),     cmocka_unit_test(test_take_all_lowest_first),
		cmocka_unit_test(test_wrong_count), cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_see_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
