/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Millions of random operations on the simulated machine: everything that the engine can do, in any order, with batches of
 * three CPUs in flight, aborts, switches of the reverse, portions, lent and withdrawn frames and failing allocations, while CPUs and
 * devices go on. The model is an array: what was written last to each page (fake_machine.h says what is held against
 * it, at every access). Every invariant is checked now and then. SEED=n repeats a run, STEPS=n makes it longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mem/mem_check.h"
#include "mem/scatter.h"
#include "mem/share.h"

#define STEPS     5000000u
#define CPUS      3u
#define SLOTS     1024u
#define VALUES    6u     /* so few that pages are equal */
#define SEASON    40000u /* steps */
#define WITHDRAWN_MAX 20u /* runs */
#define CHECK_AT  20000u /* steps from one check of all to the next */

enum operation {
	DISPLACE, SCATTER, SHARE, WRITE, TRANSLATE, REMAP_START, REMAP_STOP, REMAP, STEP, ABORT, REVERSE, PORTION, LEND,
	WITHDRAW, GIVE_BACK, FAILURE, OPERATIONS
};

/* A CPU in the VMM, between the begin and the end of a batch. */
struct mover {
	struct mem_batch batch;
	bool in_flight, flushed, copied;
};

static struct fake_machine machine;
static struct mem mem;
static struct mover mover[CPUS];
static struct mem_moved moved;
static struct mem_scatter scatter;
static struct mem_share share;
static uint64_t slots[SLOTS], seed, tried[OPERATIONS], done[OPERATIONS], homecomings, shared;

static uint64_t below(uint64_t limit) { return fake_random_below(&seed, limit); }

static void check(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;
	enum scrim_violation found = mem_check(&mem, &view, &where);

	if (found != SCRIM_HOLDS)
		fail_msg("violation %u at page %llu", found, (unsigned long long)(where >> PAGE_SHIFT));
	assert_int_equal(fake_machine_leaves(&machine), mem.leaf_count + mem.reverse_leaf_count);
	assert_int_equal(fake_machine_split_chunks(&machine), mem.leaf_count);
	fake_machine_verify_present(&machine);
}

/* Mostly in a corner where operations meet. */
static uint64_t random_page(void) { return below(4) ? 400 + below(400) : below(FAKE_PAGES); }

static bool do_displace(void)
{
	mfn_t frame;

	return mem_displace(&mem, gfn(random_page()), &frame, &moved) == SCRIM_OK;
}

static bool begun(struct mover *self, enum mem_step step)
{
	self->in_flight = step == MEM_STEP_MOVES;
	self->flushed = self->copied = false;
	return self->in_flight;
}

static uint32_t random_limit(void) { return (uint32_t)below(1ull << (1 + below(8))); }

static bool do_scatter(void)
{
	struct mover *self = &mover[below(CPUS)];

	if (self->in_flight)
		return false;
	if (scatter.at == scatter.pages) {
		uint64_t first = random_page();

		mem_scatter_start(&scatter, fake_random(&seed), gfn(first), gfn(first + 1 + below(600)),
				  (uint32_t)below(SCATTER_ALL + 1));
	}
	return begun(self, mem_scatter_begin(&mem, &scatter, &self->batch, 2 + random_limit()));
}

static bool do_share(void)
{
	uint64_t before = share.shared;

	if (share.next.n >= share.last.n) {
		uint64_t first = random_page();

		memset(slots, 0, sizeof(slots));
		mem_share_start(&share, gfn(first), gfn(first + 1 + below(500)), slots, SLOTS);
		before = 0;
	}
	(void)!mem_share_step(&mem, &share, random_limit());
	shared += share.shared - before;
	return share.shared > before;
}

/* A CPU has met a page that it may not write. */
static bool do_write(void)
{
	enum mem_access access;
	uint64_t page = random_page();

	(void)mem_translate(&mem, gfn(page), &access);
	if (access != MEM_ACCESS_READ || machine.is_offline[page])
		return false;
	machine.hot[machine.hot_next++ % FAKE_HOT] = page;

	enum mem_step step = mem_unshare_on_write(&mem, gfn(page), &moved);

	(void)mem_translate(&mem, gfn(page), &access);
	assert_int_equal(step == MEM_STEP_DONE, access == MEM_ACCESS_ALL);
	return step == MEM_STEP_DONE;
}

/* What lies outside of RAM, or where devices write, is always at home. */
static bool do_translate(void)
{
	enum mem_access access;
	uint64_t page = random_page();
	bool at_home = mem_translate(&mem, gfn(page), &access).n == page;

	if (!machine.is_ram[page] || machine.is_offline[page] || page < 256 || page >= 4700)
		assert_true(at_home && access == MEM_ACCESS_ALL);
	return !at_home;
}

static bool do_remap_start(void)
{
	uint64_t first = below(3) ? 0 : random_page(), last = first || !below(4) ? first + 1 + below(900) : UINT64_MAX;

	return mem_remap_start(&mem, (enum mem_remap_mode)below(2), gfn(first), gfn(last)) == SCRIM_OK;
}

static bool do_remap_stop(void)
{
	mem_remap_stop(&mem);
	return true;
}

static bool do_remap(void)
{
	struct mover *self = &mover[below(CPUS)];

	if (self->in_flight || !mem.remap.active)
		return false;

	enum mem_step step = mem_remap_begin(&mem, &self->batch, 1 + random_limit());

	if (step == MEM_STEP_DONE) {
		homecomings++;
		mem_remap_stop(&mem);
	}
	return begun(self, step);
}

/* The next step of a batch in flight. */
static bool do_step(void)
{
	struct mover *self = &mover[below(CPUS)];

	if (!self->in_flight)
		return false;
	if (!self->flushed) {
		mem.config.port->flush(&machine);
		self->flushed = true;
	} else if (!self->copied) {
		mem_batch_copy(&mem, &self->batch);
		self->copied = true;
	} else {
		mem_batch_end(&mem, &self->batch, &moved);
		self->in_flight = false;
	}
	return true;
}

/* Without its flush nothing may change; and the machine would tell if the engine gave back more than it had taken. */
static bool do_abort(void)
{
	struct mover *self = &mover[below(CPUS)];

	if (!self->in_flight || self->copied)
		return false;
	if (!self->flushed)
		mem.config.port->flush(&machine);
	mem_batch_abort(&mem, &self->batch);
	self->in_flight = false;
	return true;
}

static bool do_reverse(void) { return mem_use_reverse(&mem, (enum mem_reverse)below(MEM_REVERSE_COUNT)) == SCRIM_OK; }

/* Few places, so that lists do not fill up. */
static bool do_portion(void)
{
	uint64_t start = below(12) * 100 * PAGE_SIZE, end = start + (1 + below(12)) * 100 * PAGE_SIZE;

	if (below(3))
		return mem_manage(&mem, start, end) == SCRIM_OK;
	return !mem.in_flight && mem_unmanage(&mem, start, end) == SCRIM_OK;
}

/* Blocks of 64 pages, in RAM that devices reach and in RAM that they do not. */
static bool do_lend(void)
{
	static const uint64_t block[] = { 640, 704, 1536, 1600, 3000 - 65, 4544, 4864 - 32 };
	uint64_t first = block[below(ARRAY_SIZE(block))], last = first + 64;

	if (machine.is_offline[first]) {
		if (mem_unlend(&mem, first * PAGE_SIZE, last * PAGE_SIZE) != SCRIM_OK)
			return false;
		fake_machine_online(&machine, first, last);
		return true;
	}
	if (mem_lend(&mem, first * PAGE_SIZE, last * PAGE_SIZE) != SCRIM_OK)
		return false;
	fake_machine_offline(&machine, first, last); /* long ago, in truth; nothing has been put there yet */
	return true;
}

/* Mostly a run of the reserve; homes that are free now and then. */
static bool do_withdraw(void)
{
	uint64_t first = below(3) ? FAKE_RESERVE_FIRST + below(FAKE_RESERVE_FRAMES) : random_page();

	if (mem.withdrawn.count > WITHDRAWN_MAX)
		return false;
	return mem_withdraw(&mem, mfn(first), 1 + below(10)) == SCRIM_OK;
}

/* Part of a run. */
static bool do_give_back(void)
{
	if (mem.withdrawn.count == 0)
		return false;

	const struct range *run = &mem.withdrawn.entry[below(mem.withdrawn.count)];
	uint64_t first = run->start >> PAGE_SHIFT, count = (run->end - run->start) >> PAGE_SHIFT, skip = below(count);

	return mem_give_back(&mem, mfn(first + skip), 1 + below(count - skip)) == SCRIM_OK;
}

static bool do_failure(void)
{
	machine.fail_at = below(2) ? 0 : 1 + (uint32_t)below(6);
	return machine.fail_at > 0;
}

static bool (*const operation[OPERATIONS])(void) = {
	[DISPLACE] = do_displace, [SCATTER] = do_scatter, [SHARE] = do_share, [WRITE] = do_write,
	[TRANSLATE] = do_translate, [REMAP_START] = do_remap_start, [REMAP_STOP] = do_remap_stop, [REMAP] = do_remap,
	[STEP] = do_step, [ABORT] = do_abort, [REVERSE] = do_reverse, [PORTION] = do_portion, [LEND] = do_lend,
	[WITHDRAW] = do_withdraw, [GIVE_BACK] = do_give_back, [FAILURE] = do_failure,
};

/* By season: pages are spread and shared, or come home. */
static const uint16_t weight[2][OPERATIONS] = {
	{ [DISPLACE] = 100, [SCATTER] = 40, [SHARE] = 20, [WRITE] = 150, [TRANSLATE] = 250, [REMAP_START] = 1,
	  [REMAP_STOP] = 3, [REMAP] = 20, [STEP] = 150, [ABORT] = 8, [REVERSE] = 1, [PORTION] = 3, [LEND] = 1,
	  [WITHDRAW] = 3, [GIVE_BACK] = 3, [FAILURE] = 10 },
	{ [DISPLACE] = 30, [SCATTER] = 5, [SHARE] = 4, [WRITE] = 100, [TRANSLATE] = 150, [REMAP_START] = 20,
	  [REMAP_STOP] = 1, [REMAP] = 200, [STEP] = 300, [ABORT] = 12, [REVERSE] = 1, [PORTION] = 3, [LEND] = 1,
	  [WITHDRAW] = 3, [GIVE_BACK] = 3, [FAILURE] = 10 },
};

static enum operation choose(const uint16_t *weights)
{
	uint32_t sum = 0, i;

	for (i = 0; i < OPERATIONS; i++)
		sum += weights[i];

	uint64_t left = below(sum);

	for (i = 0; left >= weights[i]; i++)
		left -= weights[i];
	return (enum operation)i;
}

static void finish(struct mover *self)
{
	if (!self->in_flight)
		return;
	mem.config.port->flush(&machine);
	if (!self->copied) /* twice would read what the batch itself has written */
		mem_batch_copy(&mem, &self->batch);
	mem_batch_end(&mem, &self->batch, &moved);
	self->in_flight = false;
}

/* Everything comes home, and nothing is left. */
static void settle_all(void)
{
	enum mem_step step;

	machine.fail_at = 0;
	for (uint32_t i = 0; i < CPUS; i++)
		finish(&mover[i]);
	while (do_give_back())
		;
	mem_remap_stop(&mem);
	assert_int_equal(mem_remap_start(&mem, (enum mem_remap_mode)below(2), gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	do {
		step = mem_remap_begin(&mem, &mover[0].batch, SCRIM_BATCH_MAX);
		assert_true(step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN || step == MEM_STEP_DONE);
		if (begun(&mover[0], step))
			finish(&mover[0]);
	} while (step != MEM_STEP_DONE);
	mem_remap_stop(&mem);
	check();
	fake_machine_verify(&machine);
	assert_int_equal(mem.displaced + mem.saved + mem.read_only + mem.leaf_count + mem.reverse_leaf_count, 0);
	assert_int_equal(mem.free_frames, FAKE_RESERVE_FRAMES + mem.lent_frames);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void one_step(uint64_t i)
{
	enum operation which = choose(weight[i / SEASON % 2]);

	tried[which]++;
	done[which] += operation[which]();
	if (machine.fault)
		fail_msg("%s: step %llu, operation %u", machine.fault, (unsigned long long)i, which);
	if (i % CHECK_AT == 0)
		check();
	if (i % (6 * SEASON) == 0)
		settle_all();
}

static void test_random(void **unused)
{
	uint64_t first = from_environment("SEED", 20250101);
	uint64_t steps = from_environment("STEPS", getenv("SOAK") ? 20 * (uint64_t)STEPS : STEPS);

	(void)unused;
	print_message("SEED=%llu STEPS=%llu\n", (unsigned long long)first, (unsigned long long)steps);
	seed = first ? first : 1;
	fake_machine_start(&machine, seed);
	fake_machine_fill(&machine, VALUES);

	struct mem_config config = fake_machine_config(&machine);

	mem_init(&mem, &config);
	machine.mem = &mem;
	for (uint64_t i = 0; i < steps; i++)
		one_step(i);
	settle_all();
	fake_machine_stop(&machine);
	free(config.storage);
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		print_message("%llu of %llu%s", (unsigned long long)done[i], (unsigned long long)tried[i],
			      i + 1 < OPERATIONS ? ", " : "\n");
		assert_true(done[i] > 0);
	}
	print_message("figure: engine, %llu random operations (SEED=%llu): %llu copies, %llu pages shared, %llu homecomings, "
		      "%llu accesses by CPUs, %llu waits, %llu stores that a flush waited for\n",
		      (unsigned long long)steps, (unsigned long long)first, (unsigned long long)moved.copies,
		      (unsigned long long)shared, (unsigned long long)homecomings, (unsigned long long)machine.accesses,
		      (unsigned long long)machine.waits, (unsigned long long)machine.late);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
