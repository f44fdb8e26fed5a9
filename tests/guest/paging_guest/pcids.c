/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process-context identifiers: two address spaces, each with its PCID, and every way to flush one while it is current and while the other is (SDM vol. 3, 4.10.4.1), between
 * loads of CR3 that flush nothing. Only what a CPU has to do is looked at: that a page whose entry was changed and flushed is the new one, and that pages whose entries were
 * left alone are as they were. What it may still have of an entry that was changed and not flushed is not.
 */
#include "paging.h"

#define VECTOR_GP 13u
#define VECTOR_PF 14u
#define NO_FLUSH BIT(63)
#define PAGES 3u      /* of each space, from the test address on; the last one may be global */
#define GLOBAL_PAGE 2u
#define NOT_THERE 5u  /* so many pages on nothing is mapped */
#define ROUNDS 2u

enum invpcid { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL_GLOBAL, INVPCID_ALL, INVPCID_TYPES };

/* How an entry is flushed. Those up to the types of INVPCID flush another PCID than the current one as well. */
enum { FLUSH_CR3 = INVPCID_TYPES, FLUSH_COMPAT, FLUSHES_ELSEWHERE, FLUSH_INVLPG = FLUSHES_ELSEWHERE, FLUSHES };

/* Where the pages are: of a lower half each space has its own, an upper half is what an OS has for all of them. */
static const struct where {
	uint64_t region_four, region_five;
	bool globals;
} wheres[] = {
	{ 0x00003ac540000000, 0x003ad2c540000000, false },
	{ 0x00003ac540000000, 0x003ad2c540000000, true },
	{ 0xffffd2c540000000, 0xff3ad2c540000000, true },
};

static const struct where *where;
static uint32_t space_now;

static union table *space_table(uint32_t space, uint32_t level)
{
	bool top = level == mode_shapes[mode_now()].levels;

	if (space == 0)
		return mode_table(level);
	return &arena.spare[top ? MODEL_LEVELS_MAX - 1 : level - 1];
}

static uint64_t page_of(uint32_t page)
{
	uint64_t region = mode_now() == MODE_FIVE ? where->region_five : where->region_four;

	return (region | (address_of(&arena.frames[0]) & (BIT(30) - 1))) + page * PAGE_SIZE;
}

static uint32_t pcid_of(uint32_t space)
{
	return space + 1;
}

/* All marks are set: whether an access sets them depends on what the TLB has. */
static void map(uint32_t space, uint32_t page, uint32_t frame)
{
	uint64_t flags = ENTRY_ALL | ENTRY_ACCESSED | ENTRY_DIRTY | (page == GLOBAL_PAGE && where->globals ? ENTRY_GLOBAL : 0);

	table_set(space_table(space, 1), mode_index(page_of(page), 1), address_of(&arena.frames[frame % FRAMES]) | flags);
}

/* Where the page leads now, and then elsewhere. */
static uint32_t frame_of(uint32_t space, uint32_t page)
{
	uint64_t entry = table_get(space_table(space, 1), mode_index(page_of(page), 1));

	return ((uint32_t)entry & ~(PAGE_SIZE - 1)) / PAGE_SIZE - address_of(&arena.frames[0]) / PAGE_SIZE;
}

static void map_another(uint32_t space, uint32_t page)
{
	map(space, page, frame_of(space, page) + 1);
}

static void load(uint32_t root, uint32_t pcid, bool flushes)
{
	probe_address = address_of(space_table(root, mode_shapes[mode_now()].levels)) | pcid | (flushes ? 0 : NO_FLUSH);
	cr3_load64();
	mode_read_cpu();
	space_now = root;
}

static void enter(uint32_t space, bool flushes)
{
	load(space, pcid_of(space), flushes);
	probe_expect("CR3", cr3_read(), address_of(space_table(space, mode_shapes[mode_now()].levels)) | pcid_of(space));
}

static void use(uint32_t page)
{
	probe_page(PROBE_READ, page_of(page));
	probe_page(PROBE_USER_WRITE, page_of(page));
}

static void use_all(void)
{
	for (uint32_t page = 0; page < PAGES; page++)
		use(page);
}

static uint32_t invpcid(uint32_t type, uint64_t pcid, uint64_t address)
{
	invpcid_descriptor[0] = pcid;
	invpcid_descriptor[1] = address;
	/* By one form of its operand and another. */
	return probe_raw(type % 2 == 0 ? PROBE_INVPCID_RIP : PROBE_INVPCID, address_of(invpcid_descriptor), type);
}

/* The second space has tables of its own for the pages, and the first one's for the rest. */
static void spaces_make(void)
{
	uint32_t levels = mode_shapes[mode_now()].levels;
	union table *root = space_table(1, levels);

	for (uint32_t i = 0; i < ARRAY_SIZE(root->wide); i++)
		root->wide[i] = space_table(0, levels)->wide[i];
	for (uint32_t space = 0; space < 2; space++) {
		for (uint32_t level = 1; level < levels; level++)
			for (uint32_t i = 0; i < ARRAY_SIZE(root->wide); i++)
				space_table(space, level)->wide[i] = 0;
		for (uint32_t level = 2; level <= levels; level++)
			table_set(space_table(space, level), mode_index(page_of(0), level),
				  address_of(space_table(space, level - 1)) | ENTRY_ALL | ENTRY_ACCESSED);
		for (uint32_t page = 0; page < PAGES; page++)
			map(space, page, page == GLOBAL_PAGE ? 0 : page + 2 * space);
	}
}

static void spaces_end(void)
{
	uint32_t levels = mode_shapes[mode_now()].levels;

	table_set(space_table(0, levels), mode_index(page_of(0), levels), 0);
}

/* Both have been in use, each as its tables are, and the first one is current. */
static void spaces_use(void)
{
	enter(0, true);
	use_all();
	enter(1, true);
	use_all();
	enter(0, false);
	use_all();
	enter(1, false);
	use_all();
	enter(0, false);
}

/* What is flushed of a space: all of it, or (by address) one page. */
static void flush(uint32_t how, uint32_t space, uint32_t page)
{
	uint32_t now = space_now;

	switch (how) {
	case FLUSH_CR3: /* also by the other root, under the PCID that is to be flushed */
		load(now, pcid_of(space), true);
		load(now, pcid_of(now), now == space);
		return;
	case FLUSH_COMPAT:
		invpcid_descriptor[0] = pcid_of(space);
		invpcid_descriptor[1] = 0;
		invpcid_write(INVPCID_SINGLE, invpcid_descriptor);
		return;
	case FLUSH_INVLPG:
		mode_flush(page_of(page));
		return;
	default:
		probe_expect("INVPCID", invpcid(how, pcid_of(space), page_of(page)), 0);
	}
}

/* One page of a space is another frame, and is flushed while `from` is current. */
static void change(uint32_t how, uint32_t space, uint32_t from)
{
	spaces_use();
	enter(from, false);
	map_another(space, 0);
	flush(how, space, 0);
	if (how != FLUSH_CR3 || from == space) /* under its PCID the other root was current: what a TLB has of that may serve the first one */
		enter(space, false);
	else
		enter(space, true);
	use(0);
	use(1);
	enter(1 - space, false);
	use(0);
	use(1);
}

/* INVLPG, and INVPCID of all, take global entries from all PCIDs. */
static void change_global(uint32_t how)
{
	spaces_use();
	enter(1, false);
	for (uint32_t space = 0; space < 2; space++)
		map_another(space, GLOBAL_PAGE);
	flush(how, 1, GLOBAL_PAGE);
	use(GLOBAL_PAGE);
	enter(0, false);
	use_all();
}

/* A lowest table is another one: what leads there is flushed with the PCID, while that is not current. */
static void change_table(uint32_t how)
{
	union table *other = &arena.spare[3], *directory = space_table(0, 2);

	if (mode_shapes[mode_now()].levels > 4)
		return; /* that one is in use there */
	spaces_use();
	for (uint32_t i = 0; i < ARRAY_SIZE(other->wide); i++)
		other->wide[i] = mode_table(1)->wide[i];
	enter(1, false);
	table_set(other, mode_index(page_of(0), 1), address_of(&arena.frames[(frame_of(0, 0) + 1) % FRAMES]) | ENTRY_ALL | ENTRY_ACCESSED | ENTRY_DIRTY);
	table_set(directory, mode_index(page_of(0), 2), address_of(other) | ENTRY_ALL | ENTRY_ACCESSED);
	flush(how, 0, 0);
	enter(0, false);
	use_all();
	table_set(directory, mode_index(page_of(0), 2), address_of(mode_table(1)) | ENTRY_ALL | ENTRY_ACCESSED);
	invpcid(INVPCID_ALL_GLOBAL, 0, 0);
}

/* Both roots under one PCID. What they say of the page agrees when it counts: a TLB may use what it has of either. */
static void one_pcid(void)
{
	spaces_use();
	load(1, pcid_of(0), false);
	map_another(0, 0);
	map(1, 0, frame_of(0, 0));
	mode_flush(page_of(0));
	use(0);
	load(0, pcid_of(0), false);
	use(0);
	enter(0, true);
	map_another(1, 0);
	enter(1, true);
	use_all();
}

/* What no flush is: the instruction is refused, or is not reached. */
static void refusals_run(bool pcids)
{
	for (uint32_t type = 0; type < INVPCID_TYPES + 3; type++)
		probe_expect("INVPCID of PCID 0", invpcid(type, 0, page_of(0)), type < INVPCID_TYPES ? 0 : VECTOR_GP);
	for (uint32_t bit = 12; bit < 64; bit++)
		probe_expect("INVPCID, reserved", invpcid(bit % INVPCID_TYPES, BIT(bit), page_of(0)), VECTOR_GP);
	for (uint32_t type = 0; type < INVPCID_TYPES; type++) {
		probe_expect("INVPCID of a PCID", invpcid(type, 7, page_of(0)), pcids || type > INVPCID_SINGLE ? 0 : VECTOR_GP);
		probe_expect("INVPCID, not canonical", invpcid(type, 0, BIT(59)), type == INVPCID_ADDRESS ? VECTOR_GP : 0);
	}
	probe_expect("INVPCID, no descriptor", probe_raw(PROBE_INVPCID, page_of(NOT_THERE), INVPCID_ALL), VECTOR_PF);
	probe_expect("CR2", seen_cr2, page_of(NOT_THERE));
	probe_expect("INVPCID, half of a descriptor", probe_raw(PROBE_INVPCID, page_of(GLOBAL_PAGE + 1) - 8, INVPCID_ALL), VECTOR_PF);
	probe_expect("CR2", seen_cr2, page_of(GLOBAL_PAGE + 1));
}

bool pcids_are_there(void)
{
	return (cpuid_read(1, 0).ecx >> 17 & 1) != 0 && (cpuid_read(7, 0).ebx >> 10 & 1) != 0;
}

static void where_run(void)
{
	spaces_make();
	cr4_write(cr4_read() | CR4_PCIDE);
	mode_read_cpu();
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t how = 0; how < FLUSHES; how++)
			change(how, round % 2, round % 2);
		for (uint32_t how = 0; how < FLUSHES_ELSEWHERE; how++)
			change(how, round % 2, 1 - round % 2);
		if (where->globals) {
			change_global(FLUSH_INVLPG);
			change_global(INVPCID_ALL_GLOBAL);
		}
		for (uint32_t how = 0; how < INVPCID_TYPES; how++)
			change_table(how);
		one_pcid();
	}
	enter(0, true);
	refusals_run(true);
	load(0, 0, true);
	cr4_write(cr4_read() & ~CR4_PCIDE);
	mode_read_cpu();
	use_all();
	refusals_run(false);
	spaces_end();
}

void pcids_run(void)
{
	if (!mode_is_long() || !pcids_are_there())
		return;
	mode_set_controls(CONTROL_WP); /* else no back-end does without nested paging */
	probe_group_begin("pcids");
	for (uint32_t i = 0; i < ARRAY_SIZE(wheres); i++) {
		where = &wheres[i];
		where_run();
	}
	probe_group_end();
	mode_set_controls(0);
}
