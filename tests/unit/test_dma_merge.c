/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the merge of a page that moved under a device's writes. Alone: every value of a byte in the three frames, every relation of the
 * eight bytes of a word. Beside a device, which is a thread: it writes two pages, a byte to a word at any address, through translations
 * that it keeps for some writes, while the pages take turns to move to the one free frame, which the other has just left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "mem/dma_merge.h"

#define BYTES       128u /* of a page: so few that device and mover meet in a word often */
#define PAGES       2u
#define ROUNDS      50000u
#define ROUNDS_SOAK 2000000u
#define WRITES_MAX  200u /* in one round; so no byte gets a value twice, and comes back to what it was */
#define KEPT        4u   /* writes through one translation */
#define LOOKS       2000u /* before the other thread is given this CPU */

static uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % limit;
}

/* --- alone --- */

static uint8_t merged(uint8_t old, uint8_t pristine, uint8_t new)
{
	return old != pristine && new == pristine ? old : new;
}

static void test_every_byte(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 1u << 24; i += sizeof(uint64_t)) {
		uint8_t old[8], pristine[8], new[8], want[8];
		uint64_t word[3];
		uint32_t taken = 0;

		for (uint32_t at = 0; at < 8; at++) {
			old[at] = (uint8_t)((i + at) >> 16);
			pristine[at] = (uint8_t)((i + at) >> 8);
			new[at] = (uint8_t)(i + at);
			want[at] = merged(old[at], pristine[at], new[at]);
			taken += want[at] != new[at];
		}
		memcpy(&word[0], old, 8);
		memcpy(&word[1], pristine, 8);
		memcpy(&word[2], new, 8);
		assert_int_equal(dma_merge_late_writes(&word[0], &word[1], &word[2], 8), taken);
		assert_memory_equal(&word[2], want, 8);
	}
}

/* A byte is what it was in all frames, written in one, written in both with another value or the same. */
static void set_relation(uint32_t relation, uint8_t *old, uint8_t pristine, uint8_t *new)
{
	*old = (uint8_t)(relation == 0 || relation == 2 ? pristine : pristine + 1);
	*new = (uint8_t)(relation == 0 || relation == 1 ? pristine : relation == 3 ? pristine + 1 : pristine ^ 0x80);
}

static void test_every_relation(void **unused)
{
	uint64_t seed = 1;

	(void)unused;
	for (uint32_t i = 0; i < 5 * 5 * 5 * 5 * 5 * 5 * 5 * 5; i++) {
		uint64_t word[3] = { 0, random_below(&seed, UINT64_MAX) };
		uint8_t *old = (uint8_t *)&word[0], *pristine = (uint8_t *)&word[1], *new = (uint8_t *)&word[2], want[8];

		for (uint32_t at = 0, rest = i; at < 8; at++, rest /= 5) {
			set_relation(rest % 5, &old[at], pristine[at], &new[at]);
			want[at] = merged(old[at], pristine[at], new[at]);
		}
		dma_merge_late_writes(&word[0], &word[1], &word[2], 8);
		assert_memory_equal(new, want, 8);
	}
}

static void test_only_what_is_named(void **unused)
{
	uint64_t old[4] = { 1, 2, 3, 4 }, pristine[4] = { 0 }, new[4] = { 0 };
	const uint64_t copied[4] = { 0, 2, 3, 0 }, late[4] = { 0, 2, 0xff03, 0 };

	(void)unused;
	dma_merge_copy(old + 1, pristine + 1, new + 1, 16);
	assert_memory_equal(pristine, copied, sizeof(copied));
	assert_memory_equal(new, copied, sizeof(copied));
	assert_int_equal(dma_merge_late_writes(old + 1, pristine + 1, new + 1, 16), 0);
	assert_memory_equal(new, copied, sizeof(copied));
	old[2] = 0xff03;
	assert_int_equal(dma_merge_late_writes(old + 1, pristine + 1, new + 1, 16), 1);
	assert_memory_equal(new, late, sizeof(late));
	assert_memory_equal(pristine, copied, sizeof(copied));
}

/* --- beside a device --- */

union frame {
	uint64_t word[BYTES / sizeof(uint64_t)];
	uint8_t byte[BYTES];
};

/* Stores that have no alignment. */
struct half { uint16_t value; } PACKED __attribute__((may_alias));
struct full { uint32_t value; } PACKED __attribute__((may_alias));
struct twice { uint64_t value; } PACKED __attribute__((may_alias));

static union frame frame[PAGES + 1], pristine;
static uint64_t entry[PAGES];          /* what the device's IOMMU walks: a frame */
static uint64_t invalidations, answered;
static uint64_t round_asked, round_begun, round_done;
static uint8_t wrote[PAGES][BYTES]; /* the device's own */
static uint64_t seed_of_device = 20250202;

static void store(uint8_t *at, const uint8_t *value, uint32_t size)
{
	struct half half;
	struct full full;
	struct twice twice;

	if (size == 1) {
		*(volatile uint8_t *)at = *value;
	} else if (size == 2) {
		memcpy(&half, value, 2);
		*(volatile struct half *)at = half;
	} else if (size == 4) {
		memcpy(&full, value, 4);
		*(volatile struct full *)at = full;
	} else {
		memcpy(&twice, value, 8);
		*(volatile struct twice *)at = twice;
	}
}

static void wait_for(const uint64_t *word, uint64_t number)
{
	for (uint32_t looks = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) < number; looks++)
		if (looks % LOOKS == 0)
			sched_yield();
}

/* The other comes to any point of what it does. */
static void dawdle(uint64_t *seed)
{
	for (uint64_t i = random_below(seed, 200); i > 0; i--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (random_below(seed, 32) == 0)
		sched_yield();
}

/* Some writes to a page through one translation; then what was asked for before them is answered. */
static void write_page(uint32_t page)
{
	uint8_t *at = frame[__atomic_load_n(&entry[page], __ATOMIC_ACQUIRE)].byte;

	for (uint32_t i = 0; i < KEPT; i++) {
		if (i == KEPT / 2)
			dawdle(&seed_of_device);

		uint32_t size = 1u << random_below(&seed_of_device, 4);
		uint32_t offset = (uint32_t)random_below(&seed_of_device, BYTES - size + 1);

		for (uint32_t byte = 0; byte < size; byte++)
			wrote[page][offset + byte]++;
		store(at + offset, &wrote[page][offset], size);
	}
}

static void *run_device(void *unused)
{
	(void)unused;
	for (uint64_t round = 1;; round++) {
		uint64_t writes = 1 + random_below(&seed_of_device, WRITES_MAX / KEPT);

		wait_for(&round_asked, round);
		if (__atomic_load_n(&round_asked, __ATOMIC_ACQUIRE) == UINT64_MAX)
			return NULL;
		__atomic_store_n(&round_begun, round, __ATOMIC_RELEASE);
		for (uint64_t i = 0; i < writes; i++) {
			write_page((uint32_t)random_below(&seed_of_device, PAGES));
			__atomic_store_n(&answered, __atomic_load_n(&invalidations, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		}
		/* It writes no more in this round: the answer to all that may come. */
		__atomic_store_n(&answered, UINT64_MAX, __ATOMIC_RELEASE);
		__atomic_store_n(&round_done, round, __ATOMIC_RELEASE);
	}
}

static uint32_t move(uint32_t page, uint64_t from, uint64_t to, uint64_t *seed)
{
	dawdle(seed);
	dma_merge_copy(frame[from].word, pristine.word, frame[to].word, BYTES);
	dawdle(seed);
	__atomic_store_n(&entry[page], to, __ATOMIC_RELEASE);
	wait_for(&answered, __atomic_add_fetch(&invalidations, 1, __ATOMIC_ACQ_REL));
	return dma_merge_late_writes(frame[from].word, pristine.word, frame[to].word, BYTES);
}

static void test_beside_a_device(void **unused)
{
	uint32_t rounds = getenv("SOAK") ? ROUNDS_SOAK : ROUNDS;
	uint64_t seed = 20250101, spare = PAGES, bytes = 0, moves = 0;
	pthread_t device;

	(void)unused;
	for (uint32_t page = 0; page < PAGES; page++)
		entry[page] = page;
	assert_int_equal(pthread_create(&device, NULL, run_device, NULL), 0);
	for (uint64_t round = 1; round <= rounds; round++) {
		uint32_t page = (uint32_t)(round % PAGES);
		uint64_t from = entry[page];

		__atomic_store_n(&answered, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&round_asked, round, __ATOMIC_RELEASE);
		wait_for(&round_begun, round);
		uint32_t taken = move(page, from, spare, &seed);
		spare = from;
		bytes += taken;
		moves += taken > 0;
		wait_for(&round_done, round);
		for (uint32_t i = 0; i < PAGES; i++)
			assert_memory_equal(frame[entry[i]].byte, wrote[i], BYTES);
	}
	__atomic_store_n(&round_asked, UINT64_MAX, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(device, NULL), 0);
	assert_true(bytes > 0);
	print_message("figure: %u moves under a device's writes, none lost: %llu bytes taken from old frames, in %llu of them\n", rounds,
		      (unsigned long long)bytes, (unsigned long long)moves);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_every_relation),
		cmocka_unit_test(test_only_what_is_named),
		cmocka_unit_test(test_beside_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
