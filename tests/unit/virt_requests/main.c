/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs scripts of random bytes through src/virt. Always the same ones; SCRIM_SEED=n runs one of them alone, SOAK has many more.
 */
#include "boot_bytes.h"
#include "script.h"
#include "seeds.h"
#include "sim.h"
#include "sim_dma.h"
#include "together.h"

#include <sanitizer/common_interface_defs.h>

#define SCRIPTS 100u
#define SCRIPTS_SOAK 600u
#define SCRIPT_BYTES 1500u

static uint64_t seed;

static void say_seed(void)
{
	fprintf(stderr, "SCRIM_SEED=%" PRIu64 " runs this script alone\n", seed);
}

static void run_seed(void)
{
	static uint8_t bytes[SCRIPT_BYTES];
	struct random random = { seed };

	for (uint32_t i = 0; i < SCRIPT_BYTES; i++)
		bytes[i] = (uint8_t)random_next(&random);
	if (seed % 2)
		bytes[0] = (uint8_t)((bytes[0] & ~SCRIPT_CPUS) | SCRIPT_RESTLESS);
	script_run(bytes, SCRIPT_BYTES);
}

static void test_random_scripts(void **unused)
{
	const char *wanted = getenv("SCRIM_SEED");
	uint64_t scripts = getenv("SOAK") ? SCRIPTS_SOAK : SCRIPTS;

	(void)unused;
	for (seed = 1; !wanted && seed <= scripts; seed++)
		run_seed();
	if (wanted) {
		seed = strtoull(wanted, NULL, 0);
		run_seed();
		return;
	}
	printf("%" PRIu64 " requests, %" PRIu64 " carried out, %" PRIu64 " beside others, %" PRIu64
	       " while pages were in flight, %" PRIu64 " accesses, %" PRIu64 " turns, %" PRIu64
	       " pages displaced, %" PRIu64 " shared at most, %" PRIu64 " scripts ended in NATIVE\n",
	       script_counts.requests, script_counts.accepted, script_counts.beside, script_counts.in_flight, script_counts.writes, script_counts.turns,
	       script_counts.displaced, script_counts.shared, script_counts.native);
	printf("a device wrote %" PRIu64 " times, %" PRIu64 " of them late, to a frame that was left\n", sim_dma_counts.writes, sim_dma_counts.late);
	assert_true(script_counts.in_flight > 0);
	assert_true(sim_dma_counts.late > 100);
	assert_true(script_counts.homeless > 0);
	for (uint32_t op = 0; op < SCRIM_OP_COUNT; op++)
		if (!script_counts.ops[op])
			fail_msg("operation %u was never carried out", op);
}

/* Those that are written by hand do what they say, so that the fuzzer begins where there is something to find. */
static void test_seeds(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < SEEDS; i++) {
		uint8_t bytes[SEED_BYTES_MAX];
		size_t length = seed_make(i, bytes);
		script_counts = (struct script_counts){ 0 };
		seed = 1000000 + i;
		script_run(bytes, length);
		printf("seed %u, %zu bytes: %" PRIu64 " requests, %" PRIu64 " carried out, %" PRIu64 " in flight, %" PRIu64
		       " displaced, %" PRIu64 " shared\n",
		       i, length, script_counts.requests, script_counts.accepted, script_counts.in_flight,
		       script_counts.displaced, script_counts.shared);
		assert_true(script_counts.displaced > 100);
		assert_int_equal(script_counts.native, 1);
		assert_true(i != SEED_IMAGE || script_counts.lost_images > 0);
	}
	script_counts = (struct script_counts){ 0 };
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_random_scripts),
		cmocka_unit_test(test_portion_meets_manage),
		cmocka_unit_test(test_waiter_comes_first),
		cmocka_unit_test(test_copies_side_by_side),
		cmocka_unit_test(test_share_without_reserve),
		cmocka_unit_test(test_late_for_a_meeting),
		cmocka_unit_test(test_writes_wait),
	};

	if (!sim_map_memory()) {
		fprintf(stderr, "this host does not give the addresses from 64 KiB to 16 MiB\n");
		return 1;
	}
	sim_at_failure = say_seed;
	__sanitizer_set_death_callback(say_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
