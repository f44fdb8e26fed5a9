/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the state table twice: entry by entry against the ABI's words, and by exploring everything that requests and
 * visits of three CPUs can do in any order. The second is also run with tables that are wrong, which it must notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/types.h"
#include "mem/memvirt_state.h"

/* --- entry by entry --- */

struct expected {
	enum scrim_state state;
	enum memvirt_event event;
	enum scrim_state next;
	enum memvirt_action action;
};

/* All that is not "nothing" or "refuse". */
static const struct expected edges[] = {
	{ SCRIM_NATIVE, MEMVIRT_VIRTUALIZE, SCRIM_COMMENCING, MEMVIRT_BUILD_MAP },
	{ SCRIM_COMMENCING, MEMVIRT_ALL_SWITCHED, SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
	{ SCRIM_COMMENCING, MEMVIRT_ABORT, SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
	{ SCRIM_VIRTUALIZED, MEMVIRT_DEVIRTUALIZE, SCRIM_REMAPPING, MEMVIRT_LOCK_MAP },
	{ SCRIM_VIRTUALIZED, MEMVIRT_DEVIRTUALIZE_HOME, SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
	{ SCRIM_REMAPPING, MEMVIRT_ALL_HOME, SCRIM_CEASING, MEMVIRT_NEW_EPOCH },
	{ SCRIM_REMAPPING, MEMVIRT_PORTION_HOME, SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
	{ SCRIM_REMAPPING, MEMVIRT_ABORT, SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP },
	{ SCRIM_CEASING, MEMVIRT_ALL_SWITCHED, SCRIM_NATIVE, MEMVIRT_DROP_MAP },
	{ SCRIM_CEASING, MEMVIRT_ABORT, SCRIM_COMMENCING, MEMVIRT_NEW_EPOCH },
};

/* Where a request has no edge: does it find its wish fulfilled or under way (nothing), or is it refused? */
static bool is_refused(enum scrim_state state, enum memvirt_event event)
{
	switch (event) {
	case MEMVIRT_VIRTUALIZE:
		return state != SCRIM_COMMENCING;
	case MEMVIRT_DEVIRTUALIZE:
	case MEMVIRT_DEVIRTUALIZE_HOME:
		return state != SCRIM_REMAPPING && state != SCRIM_CEASING;
	case MEMVIRT_ABORT:
		return true;
	default:
		return false;
	}
}

static struct expected expect(enum scrim_state state, enum memvirt_event event)
{
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		if (edges[i].state == state && edges[i].event == event)
			return edges[i];
	return (struct expected){ state, event, state, is_refused(state, event) ? MEMVIRT_REFUSE : MEMVIRT_NOTHING };
}

static void test_every_entry(void **unused)
{
	(void)unused;
	for (unsigned int state = SCRIM_NATIVE; state < SCRIM_STATE_COUNT; state++) {
		for (unsigned int event = 0; event < MEMVIRT_EVENT_COUNT; event++) {
			struct expected want = expect(state, event);
			struct memvirt_transition got = memvirt_next(state, event);

			assert_int_equal(got.next, want.next);
			assert_int_equal(got.action, want.action);
		}
	}
}

static void test_no_such_state_or_event(void **unused)
{
	(void)unused;
	const unsigned int states[] = { SCRIM_GUARDED, SCRIM_STATE_COUNT, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct memvirt_transition got = memvirt_next(states[i], MEMVIRT_VIRTUALIZE);

		assert_int_equal(got.next, states[i]);
		assert_int_equal(got.action, MEMVIRT_REFUSE);
	}

	struct memvirt_transition got = memvirt_next(SCRIM_NATIVE, MEMVIRT_EVENT_COUNT);

	assert_int_equal(got.next, SCRIM_NATIVE);
	assert_int_equal(got.action, MEMVIRT_REFUSE);
}

/* --- every order of requests and visits --- */

#define CPUS          3u
#define ALL_CPUS      ((1u << CPUS) - 1)
#define DISPLACED_MAX 2u

struct world {
	enum scrim_state state;
	unsigned int translating; /* CPUs behind the map */
	unsigned int switched;    /* CPUs visited in this epoch */
	unsigned int displaced;
	bool unlocked; /* the map may change, by the actions alone */
	bool built;
};

#define WORLDS (SCRIM_STATE_COUNT << (2 * CPUS + 2 + 2))

static unsigned int world_index(const struct world *w)
{
	unsigned int index = w->state;

	index = index << CPUS | w->translating;
	index = index << CPUS | w->switched;
	return ((index << 2 | w->displaced) << 1 | w->unlocked) << 1 | w->built;
}

typedef struct memvirt_transition (*next_fn)(enum scrim_state state, enum memvirt_event event);

static void act(struct world *w, next_fn next, enum memvirt_event event)
{
	struct memvirt_transition t = next(w->state, event);

	w->state = t.next;
	if (t.action == MEMVIRT_BUILD_MAP)
		w->built = true;
	if (t.action == MEMVIRT_DROP_MAP)
		w->built = false;
	if (t.action == MEMVIRT_BUILD_MAP || t.action == MEMVIRT_NEW_EPOCH)
		w->switched = 0;
	if (t.action != MEMVIRT_NOTHING && t.action != MEMVIRT_REFUSE)
		w->unlocked = t.action == MEMVIRT_UNLOCK_MAP;
}

static void visit(struct world *w, next_fn next, unsigned int cpu)
{
	if (w->state != SCRIM_COMMENCING && w->state != SCRIM_CEASING)
		return;
	w->switched |= 1u << cpu;
	if (w->state == SCRIM_COMMENCING)
		w->translating |= 1u << cpu;
	else
		w->translating &= ~(1u << cpu);
	if (w->switched == ALL_CPUS)
		act(w, next, MEMVIRT_ALL_SWITCHED);
}

static void bring_one_home(struct world *w, next_fn next)
{
	if (!w->unlocked && w->state != SCRIM_REMAPPING)
		return;
	if (w->displaced > 0)
		w->displaced--;
	if (w->displaced == 0)
		act(w, next, MEMVIRT_ALL_HOME);
}

#define CHOICES (6u + CPUS)

static struct world choose(struct world w, next_fn next, unsigned int choice)
{
	if (choice == 0)
		act(&w, next, MEMVIRT_VIRTUALIZE);
	else if (choice == 1)
		act(&w, next, w.displaced ? MEMVIRT_DEVIRTUALIZE : MEMVIRT_DEVIRTUALIZE_HOME);
	else if (choice == 2)
		act(&w, next, MEMVIRT_ABORT);
	else if (choice == 3)
		w.displaced += w.unlocked && w.displaced < DISPLACED_MAX;
	else if (choice == 4)
		bring_one_home(&w, next);
	else if (choice == 5)
		act(&w, next, MEMVIRT_PORTION_HOME); /* whatever other portions have displaced */
	else
		visit(&w, next, choice - 6);
	return w;
}

static bool holds(const struct world *w)
{
	if (w->displaced > 0 && w->translating != ALL_CPUS)
		return false;
	if (w->unlocked && (w->translating != ALL_CPUS || w->state != SCRIM_VIRTUALIZED))
		return false;
	if (w->translating != 0 && !w->built)
		return false;
	switch (w->state) {
	case SCRIM_NATIVE:
		return w->translating == 0 && w->displaced == 0 && !w->built;
	case SCRIM_COMMENCING:
	case SCRIM_CEASING:
		return w->displaced == 0 && w->switched != ALL_CPUS;
	case SCRIM_VIRTUALIZED:
		return w->unlocked && w->translating == ALL_CPUS;
	case SCRIM_REMAPPING:
		return w->displaced > 0 && w->translating == ALL_CPUS;
	default:
		return false;
	}
}

struct exploration {
	struct world found[WORLDS];
	bool known[WORLDS];
	unsigned int count, violations;
};

static void reach(struct exploration *e, struct world w)
{
	unsigned int index = world_index(&w);

	if (e->known[index])
		return;
	e->known[index] = true;
	e->found[e->count++] = w;
	e->violations += !holds(&w);
}

static void explore(struct exploration *e, next_fn next)
{
	memset(e, 0, sizeof(*e));
	reach(e, (struct world){ .state = SCRIM_NATIVE });
	for (unsigned int i = 0; i < e->count; i++)
		for (unsigned int choice = 0; choice < CHOICES; choice++)
			reach(e, choose(e->found[i], next, choice));
}

static struct exploration exploration;

static void test_every_order(void **unused)
{
	(void)unused;
	bool seen[SCRIM_STATE_COUNT] = { false };
	unsigned int mixed = 0;

	explore(&exploration, memvirt_next);
	assert_int_equal(exploration.violations, 0);
	for (unsigned int i = 0; i < exploration.count; i++) {
		const struct world *w = &exploration.found[i];

		seen[w->state] = true;
		mixed += w->translating != 0 && w->translating != ALL_CPUS;
	}
	for (unsigned int state = SCRIM_NATIVE; state < SCRIM_STATE_COUNT; state++)
		assert_true(seen[state]);
	assert_true(mixed > 0);
	print_message("%u worlds, %u of them with mixed CPUs\n", exploration.count, mixed);
}

/* How many of the worlds found can get to `goal`. */
static unsigned int count_leading_to(const struct exploration *e, enum scrim_state goal)
{
	static bool leads[WORLDS];
	unsigned int count = 0, before;

	memset(leads, 0, sizeof(leads));
	do {
		before = count;
		for (unsigned int i = 0; i < e->count; i++) {
			bool *mine = &leads[world_index(&e->found[i])];
			bool now = *mine || e->found[i].state == goal;

			for (unsigned int choice = 0; choice < CHOICES && !now; choice++) {
				struct world w = choose(e->found[i], memvirt_next, choice);

				now = leads[world_index(&w)];
			}
			count += now && !*mine;
			*mine = now;
		}
	} while (count > before);
	return count;
}

static void test_no_dead_end(void **unused)
{
	(void)unused;
	explore(&exploration, memvirt_next);
	for (unsigned int state = SCRIM_NATIVE; state < SCRIM_STATE_COUNT; state++)
		assert_int_equal(count_leading_to(&exploration, state), exploration.count);
}

static struct memvirt_transition abort_skips_visits(enum scrim_state state, enum memvirt_event event)
{
	if (state == SCRIM_CEASING && event == MEMVIRT_ABORT)
		return (struct memvirt_transition){ SCRIM_VIRTUALIZED, MEMVIRT_UNLOCK_MAP };
	return memvirt_next(state, event);
}

static struct memvirt_transition abort_keeps_epoch(enum scrim_state state, enum memvirt_event event)
{
	struct memvirt_transition t = memvirt_next(state, event);

	if (event == MEMVIRT_ABORT && t.action == MEMVIRT_NEW_EPOCH)
		t.action = MEMVIRT_NOTHING;
	return t;
}

static struct memvirt_transition ceases_displaced(enum scrim_state state, enum memvirt_event event)
{
	if (state == SCRIM_VIRTUALIZED && event == MEMVIRT_DEVIRTUALIZE)
		event = MEMVIRT_DEVIRTUALIZE_HOME;
	return memvirt_next(state, event);
}

static struct memvirt_transition forgets_lock(enum scrim_state state, enum memvirt_event event)
{
	struct memvirt_transition t = memvirt_next(state, event);

	if (t.action == MEMVIRT_LOCK_MAP)
		t.action = MEMVIRT_NOTHING;
	return t;
}

static struct memvirt_transition keeps_map(enum scrim_state state, enum memvirt_event event)
{
	struct memvirt_transition t = memvirt_next(state, event);

	if (t.action == MEMVIRT_DROP_MAP)
		t.action = MEMVIRT_NOTHING;
	return t;
}

static void test_wrong_tables_are_noticed(void **unused)
{
	(void)unused;
	const next_fn wrong[] = { abort_skips_visits, abort_keeps_epoch, ceases_displaced, forgets_lock, keeps_map };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		explore(&exploration, wrong[i]);
		assert_true(exploration.violations > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_entry),
		cmocka_unit_test(test_no_such_state_or_event),
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_no_dead_end),
		cmocka_unit_test(test_wrong_tables_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
