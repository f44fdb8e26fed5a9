/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries every order in which two CPUs can take the steps of their batches (begin, flush, copy, end), with one write by the
 * OS, to each page, at every point in between: on every map of up to 3 pages, shared ones among them, with one and two free
 * frames, and on one map of each shape of 4 and 5 pages (maps that differ only in how pages are numbered have one shape).
 * States are walked once each, whichever way leads there. In every state what is present reads what was written and every
 * invariant holds; every way ends with all pages at home; no way comes back to where it was. SOAK in the environment: all
 * maps of 4 pages, and batches of 3, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_small.h"
#include "mem/mem_check.h"

#define PAGES_MAX  5u
#define CPUS       2u
#define DEPTH_MAX  128u
#define SEEN_SLOTS (1u << 20)
#define TRIES      64u /* of a begin, until it says other than AGAIN */

enum phase { IDLE, BEGUN, FLUSHED, COPIED };

/* Everything: a copy of it is the whole machine at a time. */
struct all {
	struct small_world world;
	struct mem mem;
	struct mem_batch batch[CPUS];
	enum phase phase[CPUS];
	bool written, is_done;
};

struct place {
	struct all all;
	uint64_t hash;
	uint32_t choice; /* the next to try */
};

static struct all now;
static struct place path[DEPTH_MAX];
static uint32_t depth, pages_now, spare_now, limit_now, copies_max;
static enum mem_remap_mode mode_now;
static const uint32_t *map_now;
static uint64_t seen[SEEN_SLOTS], seen_count, states, maps, ends;

static void fail_here(const char *what)
{
	char text[64] = "";

	for (uint32_t i = 0; i < pages_now; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", map_now[i]);
	print_message("choices:");
	for (uint32_t i = 0; i < depth; i++)
		print_message(" %u", path[i].choice - 1);
	print_message("\n");
	fail_msg("%s: map%s, %u spare, mode %u, limit %u", what, text, spare_now, mode_now, limit_now);
}

/* --- states --- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t hash_batch(const struct mem_batch *batch, enum phase phase)
{
	uint64_t hash = mix(1, phase);

	for (uint32_t i = 0; phase != IDLE && i < batch->count; i++) {
		const struct mem_move *move = &batch->move[i];

		hash = mix(hash, move->page.n << 32 | move->from.n << 16 | move->to.n);
		hash = mix(hash, (move->has_rider ? move->rider.n + 1 : 0) << 8 | move->access << 1 | move->chained);
	}
	return hash;
}

static uint64_t hash_world(const struct small_world *world)
{
	uint64_t hash = 2;

	for (uint32_t i = 0; i < SMALL_PAGES; i++) {
		hash = mix(hash, world->frame[i] << 32 | world->wrote[i]);
		hash = mix(hash, world->now[i].frame << 8 | world->now[i].access);
		for (uint32_t k = 0; k < world->stale_count[i]; k++)
			hash = mix(hash, world->stale[i][k].frame << 8 | world->stale[i][k].access);
	}
	return mix(hash, world->given_up << 1 | (world->reading != NULL));
}

/* What decides how the engine goes on. Two CPUs are alike. */
static uint64_t hash_all(void)
{
	const struct mem_remap *remap = &now.mem.remap;
	uint64_t one = hash_batch(&now.batch[0], now.phase[0]), two = hash_batch(&now.batch[1], now.phase[1]);
	uint64_t hash = mix(hash_world(&now.world), maps);

	hash = mix(hash, one < two ? one : two);
	hash = mix(hash, one < two ? two : one);
	hash = mix(hash, remap->cursor.n << 16 | remap->open_cursor.n);
	hash = mix(hash, (remap->quiet < 3 ? remap->quiet : 3) << 8 | (remap->open_quiet < 3 ? remap->open_quiet : 3) << 4 |
				 remap->clearing);
	hash = mix(hash, (remap->cleared < 3 ? remap->cleared : 3) << 8 | (remap->idle < 3 ? remap->idle : 3));
	for (uint32_t i = 0; i < now.mem.hint_count; i++)
		hash = mix(hash, now.mem.hint[i].n + 1);
	return mix(hash, (uint64_t)now.written << 1 | now.is_done) | 1;
}

static bool see(uint64_t hash)
{
	uint64_t at = hash >> 8 & (SEEN_SLOTS - 1);

	for (; seen[at]; at = (at + 1) & (SEEN_SLOTS - 1))
		if (seen[at] == hash)
			return true;
	seen[at] = hash;
	if (++seen_count > SEEN_SLOTS / 2)
		fail_here("more states than there is room for");
	return false;
}

/* --- choices: a CPU takes its next step, or the OS writes a page; true when that changed anything --- */

static void end_homecoming(void)
{
	now.is_done = true;
	mem_remap_stop(&now.mem);
	if (now.mem.displaced || now.mem.in_flight || now.mem.saved || now.mem.read_only || now.world.tables)
		fail_here("done, and something is left");
	small_verify(&now.world);
	ends++;
}

static bool begin(uint32_t cpu)
{
	enum mem_step step = MEM_STEP_AGAIN;

	for (uint32_t i = 0; i < TRIES && step == MEM_STEP_AGAIN; i++)
		step = mem_remap_begin(&now.mem, &now.batch[cpu], limit_now);
	if (step == MEM_STEP_MOVES)
		now.phase[cpu] = BEGUN;
	else if (step == MEM_STEP_DONE)
		end_homecoming();
	else if (step != MEM_STEP_AGAIN && step != MEM_STEP_WAIT)
		fail_here("a step is refused");
	else if (now.phase[1 - cpu] == IDLE)
		fail_here("a wait for nothing");
	return true;
}

static bool step_cpu(uint32_t cpu)
{
	struct mem_moved moved = { 0 };

	switch (now.phase[cpu]) {
	case IDLE:
		return begin(cpu);
	case BEGUN:
		now.mem.config.port->flush(&now.world);
		break;
	case FLUSHED:
		mem_batch_copy(&now.mem, &now.batch[cpu]);
		break;
	case COPIED:
		mem_batch_end(&now.mem, &now.batch[cpu], &moved);
		now.phase[cpu] = IDLE;
		return true;
	}
	now.phase[cpu]++;
	return true;
}

static bool write_page(uint32_t page)
{
	struct mem_moved moved = { 0 };

	if (now.written || page >= pages_now)
		return false;
	now.written = true;
	if (small_write(&now.world, page))
		return true;
	if (mem_unshare_on_write(&now.mem, gfn(page), &moved) == MEM_STEP_DONE && !small_write(&now.world, page))
		fail_here("a page that may be written may not");
	return true; /* or it waits, and nothing has changed: a state like any other */
}

static bool apply(uint32_t choice)
{
	if (now.is_done)
		return false;
	return choice < CPUS ? step_cpu(choice) : write_page(choice - CPUS);
}

/* --- the walk --- */

static void check(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;

	if (mem_check(&now.mem, &view, &where) != SCRIM_HOLDS)
		fail_here("an invariant");
	small_verify_present(&now.world);
	if (now.world.fault)
		fail_here(now.world.fault);
	if (now.world.copies > copies_max)
		fail_here("more copies than two a page");
}

static void push(uint64_t hash)
{
	if (depth == DEPTH_MAX)
		fail_here("no end");
	path[depth].all = now;
	path[depth].hash = hash;
	path[depth++].choice = 0;
	states++;
}

/* A batch has ended, and the way is where it was before: it could go on like that for ever. */
static void check_progress(uint64_t hash)
{
	for (uint32_t i = 0; i < depth; i++)
		if (path[i].hash == hash)
			fail_here("the way goes round");
}

static void walk(void)
{
	push(hash_all());
	(void)see(path[0].hash);
	while (depth > 0) {
		struct place *place = &path[depth - 1];
		uint32_t choice = place->choice++;
		bool ended;
		uint64_t hash;

		if (choice == CPUS + pages_now) {
			depth--;
			continue;
		}
		now = place->all;
		ended = choice < CPUS && now.phase[choice] == COPIED;
		if (!apply(choice))
			continue;
		hash = hash_all();
		if (ended)
			check_progress(hash);
		if (see(hash))
			continue;
		check();
		push(hash);
	}
}

static void try_map(const uint32_t *map, uint32_t pages, uint32_t spare)
{
	static const enum mem_reverse reverses[] = { MEM_REVERSE_BACKMAP, MEM_REVERSE_REFCOUNT, MEM_REVERSE_SEARCH };

	for (uint32_t mode = 0; mode < 2; mode++) {
		map_now = map;
		pages_now = pages;
		spare_now = spare;
		mode_now = (enum mem_remap_mode)mode;
		copies_max = 2 * pages + 2;
		memset(now.phase, 0, sizeof(now.phase));
		now.written = now.is_done = false;
		small_start(&now.world, &now.mem, map, pages, spare);
		/* Every map by one of them; they answer alike, as is shown elsewhere. */
		assert_int_equal(mem_use_reverse(&now.mem, reverses[maps % ARRAY_SIZE(reverses)]), SCRIM_OK);
		assert_int_equal(mem_remap_start(&now.mem, mode_now, gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
		maps++;
		if (seen_count > SEEN_SLOTS / 4) {
			memset(seen, 0, sizeof(seen));
			seen_count = 0;
		}
		walk();
	}
}

/* --- maps --- */

static uint64_t code_of(const uint32_t *map, uint32_t pages)
{
	uint64_t code = 0;

	for (uint32_t i = 0; i < pages; i++)
		code = code * SMALL_PAGES + map[i];
	return code;
}

/* The map with its pages numbered in another way, and its free frames where `swap` says so. */
static uint64_t code_renamed(const uint32_t *map, uint32_t pages, const uint32_t *name, bool swap)
{
	uint32_t renamed[PAGES_MAX];

	for (uint32_t i = 0; i < pages; i++)
		renamed[name[i]] = map[i] < pages ? name[map[i]] : swap ? 2 * SMALL_SPARE + 1 - map[i] : map[i];
	return code_of(renamed, pages);
}

/* The next order of these numbers; false behind the last. */
static bool next_order(uint32_t *order, uint32_t count)
{
	uint32_t i = count - 1, k = count - 1, was;

	while (i > 0 && order[i - 1] > order[i])
		i--;
	if (i == 0)
		return false;
	while (order[k] < order[i - 1])
		k--;
	was = order[i - 1];
	order[i - 1] = order[k];
	order[k] = was;
	for (k = count - 1; i < k; i++, k--) {
		was = order[i];
		order[i] = order[k];
		order[k] = was;
	}
	return true;
}

/* No way to number the pages makes less of it: it stands for its shape. */
static bool is_least(const uint32_t *map, uint32_t pages, uint32_t spare)
{
	uint32_t order[PAGES_MAX] = { 0, 1, 2, 3, 4 };
	uint64_t code = code_of(map, pages);

	do
		for (uint32_t swap = 0; swap < spare; swap++)
			if (code_renamed(map, pages, order, swap) < code)
				return false;
	while (next_order(order, pages));
	return true;
}

static void for_every_map(uint32_t pages, uint32_t spare, bool shapes_only)
{
	uint32_t choice[PAGES_MAX] = { 0 }, map[PAGES_MAX], i;

	do {
		for (i = 0; i < pages; i++)
			map[i] = choice[i] < pages ? choice[i] : SMALL_SPARE + choice[i] - pages;
		if (!shapes_only || is_least(map, pages, spare))
			try_map(map, pages, spare);
		for (i = 0; i < pages && ++choice[i] == pages + spare; i++)
			choice[i] = 0;
	} while (i < pages);
}

static void test_every_order(void **unused)
{
	bool in_full = getenv("SOAK") != NULL;

	(void)unused;
	for (limit_now = 2; limit_now <= (in_full ? 3u : 2u); limit_now++)
		for (uint32_t pages = 1; pages <= PAGES_MAX; pages++)
			for (uint32_t spare = 1; spare <= 2; spare++)
				for_every_map(pages, spare, pages > (in_full && limit_now == 2 ? 4u : 3u));
	print_message("figure: engine, two CPUs: %llu homecomings, %llu states, %llu ends, one write at every point\n",
		      (unsigned long long)maps, (unsigned long long)states, (unsigned long long)ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_order) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
