/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many pages at once, in two address spaces, over tables that several entries share. Entries change at random, and only what a change has
 * made stale is flushed, by one of the ways that are right for it: what is cached of the rest stays, and is used.
 *
 *     two roots --> level 2: SLOTS entries --> TABLES last tables or large pages --> frames
 *
 * The pages of a slot lie where a large page has the frames, so that every page leads to some frame however its slot is mapped.
 */
#include "paging.h"

#define SLOTS 8u
#define FIRST_SLOT 0x20u
#define TABLES 4u
#define STEPS 3000u
#define STORM_START 0x9e3779b9u

static uint32_t random_state;
static bool globals; /* then a load of CR3 flushes nothing for certain */
static union table *root_in_use;

static uint32_t random_next(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return (uint32_t)((uint64_t)random_state * below >> 32);
}

static union table *last_table(uint32_t which)
{
	return which == 0 ? &arena.test[1] : &arena.spare[which - 1];
}

static union table *second_root(void)
{
	return &arena.spare[TABLES - 1];
}

/* Of two levels the root is level 2, so each root has slots of its own; else both lead to the same level 2. */
static union table *slots_of(union table *root)
{
	return mode_shapes[mode_now()].levels == 2 ? root : mode_table(2);
}

static uint64_t page_of(uint32_t slot, uint32_t frame)
{
	bool wide = mode_shapes[mode_now()].entry_bytes == 8;
	uint64_t inside = address_of(&arena.frames[frame]) & (wide ? 0x1fffff : 0x3fffff);

	return mode_shapes[mode_now()].region | (uint64_t)(FIRST_SLOT + slot) << (wide ? 21 : 22) | inside;
}

/* More often than not everything is allowed: what is never reached is never cached. */
static uint64_t flags_at_random(bool last)
{
	uint64_t flags = random_next(10) != 0 ? ENTRY_PRESENT : 0;

	flags |= random_next(4) != 0 ? ENTRY_WRITE : 0;
	flags |= random_next(4) != 0 ? ENTRY_USER : 0;
	flags |= random_next(3) == 0 ? ENTRY_ACCESSED : 0;
	flags |= random_next(3) == 0 ? ENTRY_DIRTY : 0;
	flags |= last && globals && random_next(2) == 0 ? ENTRY_GLOBAL : 0;
	flags |= mode_shapes[mode_now()].entry_bytes == 8 && random_next(8) == 0 ? ENTRY_NX : 0;
	return flags;
}

static void flush_all(void)
{
	if (!globals && random_next(2) == 0) {
		cr3_write(cr3_read());
		return;
	}
	cr4_write(cr4_read() & ~CR4_PGE);
	cr4_write(cr4_read() | CR4_PGE);
}

/* A table serves several slots: each of its pages has as many names. */
static void change_page(uint32_t frame)
{
	union table *table = last_table(random_next(TABLES));
	uint32_t index = mode_index(page_of(0, frame), 1);
	uint64_t old = table_get(table, index);
	uint64_t entry = address_of(&arena.frames[random_next(FRAMES)]) | flags_at_random(true);

	/* Sometimes nothing but the marks. */
	if (random_next(4) == 0)
		entry = old & ~(ENTRY_ACCESSED | ENTRY_DIRTY);
	table_set(table, index, entry);
	/* What was not present was not cached. */
	if ((old & ENTRY_PRESENT) == 0 && random_next(2) == 0)
		return;
	if (random_next(4) == 0) {
		flush_all();
		return;
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		mode_flush(page_of(slot, frame));
}

static void change_slot(uint32_t slot)
{
	union table *slots = slots_of(root_in_use);
	uint32_t index = mode_index(page_of(slot, 0), 2);
	uint64_t old = table_get(slots, index), entry = address_of(last_table(random_next(TABLES))) | flags_at_random(false);

	if (mode_may_be_large(2) && random_next(3) == 0)
		entry = mode_base(2, true) | flags_at_random(true) | ENTRY_LARGE;
	table_set(slots, index, entry);
	if ((old & ENTRY_PRESENT) == 0 && random_next(2) == 0)
		return;
	if (random_next(4) == 0) {
		flush_all();
		return;
	}
	for (uint32_t frame = 0; frame < FRAMES; frame++)
		mode_flush(page_of(slot, frame));
}

/* What all pages have in common. */
static void change_above(void)
{
	uint64_t entry = mode_base(3, false) | flags_at_random(false);

	if (mode_shapes[mode_now()].levels < 4)
		return;
	table_set(mode_table(3), mode_index(page_of(0, 0), 3), random_next(3) == 0 ? entry : mode_base(3, false) | ENTRY_ALL);
	flush_all();
}

/* Global entries stay valid for both: in two levels the roots have slots of their own, so there they are flushed. */
static void change_space(void)
{
	root_in_use = root_in_use == second_root() ? &arena.roots[mode_now()] : second_root();
	cr3_write(address_of(root_in_use));
	mode_read_cpu();
	if (globals)
		flush_all();
}

/* Whether no-execute is a right or a reserved bit is cached with the entry; nothing says that a write of EFER flushes. */
static void change_controls(void)
{
	uint32_t old = mode_controls(), controls = random_next(CONTROL_ALL + 1);

	mode_set_controls(controls);
	if (((old ^ controls) & CONTROL_NXE) != 0)
		flush_all();
}

static void access_some(uint32_t slot, uint32_t frame)
{
	probe_page((enum probe_kind)random_next(PROBE_COUNT), page_of(slot, frame));
	probe_page(PROBE_USER_READ, page_of((slot + 1) % SLOTS, frame));
	probe_page(PROBE_WRITE_AC, page_of(slot, (frame + 1) % FRAMES));
}

/* Pages that it is about are in use before and after. */
static void change_something(void)
{
	uint32_t what = random_next(32), slot = random_next(SLOTS), frame = random_next(FRAMES);

	access_some(slot, frame);
	if (what < 16)
		change_page(frame);
	else if (what < 26)
		change_slot(slot);
	else if (what < 28)
		change_above();
	else if (what < 30)
		change_space();
	else
		change_controls();
	access_some(slot, frame);
}

static void storm_start(void)
{
	union table *root = &arena.roots[mode_now()];

	mode_make_path(1, ENTRY_ALL);
	for (uint32_t i = 0; i < TABLES; i++)
		for (uint32_t j = 0; j < ARRAY_SIZE(root->narrow); j++)
			last_table(i)->narrow[j] = 0;
	for (uint32_t i = 0; i < TABLES; i++)
		for (uint32_t frame = 0; frame < FRAMES; frame++)
			table_set(last_table(i), mode_index(page_of(0, frame), 1), address_of(&arena.frames[(frame + i) % FRAMES]) | ENTRY_ALL);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		table_set(slots_of(root), mode_index(page_of(slot, 0), 2), address_of(last_table(slot % TABLES)) | ENTRY_ALL);
	for (uint32_t i = 0; i < ARRAY_SIZE(root->narrow); i++)
		second_root()->narrow[i] = root->narrow[i];
	root_in_use = root;
	flush_all();
}

static void storm_end(void)
{
	cr3_write(address_of(&arena.roots[mode_now()]));
	mode_read_cpu();
	mode_set_controls(0);
	if (mode_shapes[mode_now()].levels == 2)
		for (uint32_t slot = 0; slot < SLOTS; slot++)
			table_set(&arena.roots[mode_now()], mode_index(page_of(slot, 0), 2), 0);
	mode_make_path(1, ENTRY_ALL);
	cr4_write(cr4_read() & ~CR4_PGE);
	cr4_write(cr4_read() | CR4_PGE);
}

static void storm(const char *name)
{
	probe_group_begin(name);
	random_state = STORM_START;
	storm_start();
	for (uint32_t step = 0; step < STEPS; step++) {
		if (random_next(4) == 0)
			change_something();
		else
			access_some(random_next(SLOTS), random_next(FRAMES));
	}
	storm_end();
	probe_group_end();
}

void storm_run(void)
{
	globals = false;
	storm("storm");
	globals = true;
	storm("storm-global");
}
