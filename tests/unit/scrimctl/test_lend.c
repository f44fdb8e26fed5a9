/* SPDX-License-Identifier: BSD-2-Clause */
/* lend: blocks taken and given back, those that will not go, and a kill or a signal anywhere. */
#include <errno.h>
#include <string.h>

#include "harness.h"

/* Of 72 blocks of 128 MiB: block 0 is not all RAM, block 15 holds Scrim's own memory. */
#define LOW_BLOCK 0
#define OWN_BLOCK 15
#define USABLE    (FAKE_BLOCKS - 2)

static bool offline(unsigned number)
{
	return !fake->memory.blocks[number].online;
}

static uint64_t lent_blocks(void)
{
	return fake_pages_of(&fake->memory.lent) * 4096 / FAKE_BLOCK_BYTES;
}

/* A block is offline if, and only if, it is lent. */
static void assert_settled(uint64_t lent)
{
	assert_int_equal(lent_blocks(), lent);
	for (unsigned i = 0; i < FAKE_BLOCKS; i++) {
		const struct range range = { i * FAKE_BLOCK_BYTES, (i + 1) * FAKE_BLOCK_BYTES };

		assert_int_equal(offline(i), fake_ranges_cover(&fake->memory.lent, range));
	}
}

static void test_lend(void **state)
{
	(void)state;
	assert_done("lend 200M");
	assert_string_equal(out, "256.0 MiB lent to Scrim: 2 memory block(s) of 128.0 MiB\n");
	assert_true(offline(71) && offline(70));
	assert_settled(2);
	assert_done("lend 256M");
	assert_int_equal(fake->block_changes, 2);
	assert_done("lend 1G");
	assert_settled(8);
	assert_done("lend 129M");
	assert_settled(2);
	assert_true(offline(71) && offline(70));
	assert_done("lend 0");
	assert_string_equal(out, "0 B lent to Scrim: 0 memory block(s) of 128.0 MiB\n");
	assert_settled(0);
}

static void test_lend_takes_the_best_blocks(void **state)
{
	(void)state;
	fake->memory.blocks[40].movable = true;
	fake->memory.blocks[71].busy = true;
	fake->memory.blocks[70].removable = false;
	assert_done("lend 256M");
	assert_true(offline(40) && offline(69));
	assert_settled(2);
}

static void test_lend_while_virtualized(void **state)
{
	(void)state;
	fake_virtualize(fake, 3);
	for (unsigned i = 2; i < FAKE_BLOCKS; i++)
		fake->memory.blocks[i].busy = i != 4;
	assert_done("lend 128M"); /* block 4 is refused, for the pages that are displaced in it */
	assert_true(offline(1));
	assert_settled(1);
	assert_refused("lend 256M", "Device or resource busy");
	assert_settled(1);
}

static void test_lend_not_enough(void **state)
{
	(void)state;
	assert_refused("lend 16T", "has no more memory blocks");
	assert_settled(0);
	assert_true(fake->block_changes == 2 * USABLE);
	fake->memory.blocks[71].busy = true;
	assert_done("lend 128M");
	fake->memory.blocks[30].busy = true;
	assert_refused("lend 0xffffffffffffffff", "Device or resource busy");
	assert_settled(1);
}

static void test_lend_refused_by_scrim(void **state)
{
	(void)state;
	refuse(SCRIM_OP_LEND, SCRIM_EINVAL, 0);
	assert_refused("lend 512M", "so many lent ranges");
	assert_int_equal(fake->block_changes, 2);
	assert_settled(0);
	fake->refuse = false;
	assert_done("lend 512M");
	fake->memory.frames_hold = true;
	assert_refused("lend 0", "still hold pages; run scrimctl devirtualize first");
	assert_settled(4);
	fake->memory.frames_hold = false;
	refuse(SCRIM_OP_UNLEND, SCRIM_ENOFRAME, 0);
	assert_refused("lend 128M", "needed to bring all pages home");
	assert_settled(4);
}

static void test_lend_in_the_wrong_state(void **state)
{
	(void)state;
	for (int i = SCRIM_NATIVE; i < SCRIM_STATE_COUNT; i++) {
		fake->state = (enum scrim_state)i;
		if (i != SCRIM_NATIVE && i != SCRIM_VIRTUALIZED)
			assert_refused("lend 128M", "is unfinished");
	}
	assert_int_equal(fake->block_changes, 0);
}

static void test_lend_without_memory_blocks(void **state)
{
	(void)state;
	fake->blocks_error = ENOENT;
	assert_refused("lend 1G", "this kernel cannot put memory offline");
	fake->blocks_error = EACCES;
	assert_refused("lend 1G", "Permission denied");
	fake->blocks_error = 0;
	for (unsigned i = 0; i < FAKE_BLOCKS; i++)
		fake->memory.blocks[i].removable = false;
	assert_refused("lend 1G", "this kernel cannot put memory offline");
	assert_int_equal(fake->block_changes, 0);
}

static void test_lend_finds_what_is_offline(void **state)
{
	(void)state;
	fake->memory.blocks[20].online = false;
	assert_done("lend 128M");
	assert_true(offline(20));
	assert_settled(1);
	fake->memory.blocks[21].online = false;
	assert_done("lend 128M");
	assert_settled(1);
	fake->memory.blocks[22].online = false;
	assert_done("lend 0");
	assert_settled(0);
}

static void test_lend_block_that_stays_offline(void **state)
{
	(void)state;
	assert_done("lend 256M");
	fake->memory.blocks[70].stuck = true;
	assert_refused("lend 0", "cannot be put online");
	assert_int_equal(lent_blocks(), 0);
	fake->memory.blocks[70].stuck = false;
	assert_done("lend 0");
	assert_settled(0);
}

static const struct {
	unsigned lent; /* 128 MiB each, at first */
	const char *line;
} journeys[] = { { 0, "lend 512M" }, { 2, "lend 512M" }, { 5, "lend 256M" }, { 4, "lend 0" } };

static void start(size_t journey)
{
	char line[32];

	fake_reset(fake);
	snprintf(line, sizeof(line), "lend %uM", 128 * journeys[journey].lent);
	assert_done(line);
	fake->requests = fake->block_changes = 0;
}

static void assert_goes_on(size_t journey)
{
	struct fake left;

	fake->kill_at = fake->kill_at_block = fake->signal_at = fake->signal_at_block = 0;
	fake->interrupted = 0;
	left = *fake;
	assert_done(journeys[journey].line);
	assert_settled(fake_pages_of(&fake->memory.lent) * 4096 / FAKE_BLOCK_BYTES);
	*fake = left;
	assert_done("lend 0");
	assert_settled(0);
}

static void test_lend_killed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned n = 1;; n++) {
			enum exit_code by_request, by_block;

			start(i);
			fake->kill_at = n;
			by_request = run_in_child(journeys[i].line);
			assert_goes_on(i);
			start(i);
			fake->kill_at_block = n;
			by_block = run_in_child(journeys[i].line);
			assert_goes_on(i);
			if (by_request == EXIT_DONE && by_block == EXIT_DONE)
				break;
			assert_true(n < 200);
		}
	}
}

static void test_lend_interrupted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned n = 1;; n++) {
			bool came;

			start(i);
			fake->signal_at = n;
			if (run(journeys[i].line) != EXIT_DONE)
				assert_one_complaint();
			assert_settled(lent_blocks());
			came = fake->interrupted != 0;
			assert_goes_on(i);
			start(i);
			fake->signal_at_block = n;
			if (run(journeys[i].line) != EXIT_DONE)
				assert_non_null(strstr(err, "interrupted"));
			came = came || fake->interrupted != 0;
			assert_goes_on(i);
			if (!came)
				break;
			assert_true(n < 200);
		}
	}
}

/* The real OS, read only: blocks of one size, or none. */
static void test_linux_blocks(void **state)
{
	struct block_list list = { 0 };
	int error = linux_blocks.list(NULL, &list);

	(void)state;
	assert_int_equal(error == 0, list.count != 0);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(list.items[i].range.end - list.items[i].range.start,
				 list.items[0].range.end - list.items[0].range.start);
	assert_int_not_equal(linux_blocks.set_online(NULL, UINT64_MAX, true), 0);
	blocks_free(&list);
}

int tests_of_lend(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lend),
		TEST(test_lend_takes_the_best_blocks),
		TEST(test_lend_while_virtualized),
		TEST(test_lend_not_enough),
		TEST(test_lend_refused_by_scrim),
		TEST(test_lend_in_the_wrong_state),
		TEST(test_lend_without_memory_blocks),
		TEST(test_lend_finds_what_is_offline),
		TEST(test_lend_block_that_stays_offline),
		TEST(test_lend_killed),
		TEST(test_lend_interrupted),
		TEST(test_linux_blocks),
	};

	return cmocka_run_group_tests_name("lend", tests, NULL, NULL);
}
