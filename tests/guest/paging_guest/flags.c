/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries with every flag, on every level, for every kind of access. All combinations of all levels would be 2^40, so: the rights of every pair
 * of levels, all flags of each single level, each bit alone, and all levels at once at random.
 */
#include "paging.h"

#define VECTOR_GP 13u
#define RANDOM_CASES 24000u
#define RANDOM_START 0x2545f491u

struct setting {
	uint64_t entries[MODEL_LEVELS_MAX + 1]; /* by level */
};

static uint32_t thinning, combination;
static uint32_t random_state;

static uint32_t random_next(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return (uint32_t)((uint64_t)random_state * below >> 32);
}

static uint32_t top(void)
{
	return mode_shapes[mode_now()].levels;
}

static bool wide(void)
{
	return mode_shapes[mode_now()].entry_bytes == 8;
}

static bool is_pointer(uint32_t level)
{
	return mode_now() == MODE_PAE && level == 3;
}

/* The entry as `flags` has it: it leads to a table or, where it is a leaf, to the frame. */
static uint64_t entry_with(uint32_t level, uint64_t flags)
{
	bool leaf = level == 1 || ((flags & ENTRY_LARGE) != 0 && mode_may_be_large(level));

	return mode_base(level, leaf) | flags;
}

static void setting_good(struct setting *setting, uint32_t leaf)
{
	for (uint32_t level = 1; level <= top(); level++)
		setting->entries[level] = entry_with(level, is_pointer(level) ? ENTRY_PRESENT :
							    ENTRY_ALL | (level == leaf && level > 1 ? ENTRY_LARGE : 0));
}

/* PAE's pointers are as they must not be: they cannot be loaded, so no access is made by them. They are left good. */
static void refused_run(uint64_t address)
{
	probe_expect("MOV CR3", probe_raw(PROBE_LOAD_CR3, 0, cr3_read()), VECTOR_GP);
	table_set(mode_table(3), mode_index(address, 3), entry_with(3, ENTRY_PRESENT));
}

/* One case of each kind in `kinds`, a bit mask, but for the combinations that are left out. */
static void setting_run(const struct setting *setting, uint32_t kinds)
{
	uint64_t address = mode_address();

	for (uint32_t kind = 0; kind < PROBE_COUNT; kind++) {
		if ((kinds >> kind & 1) == 0 || combination++ % thinning != 0)
			continue;
		for (uint32_t level = 1; level <= top(); level++)
			table_set(mode_table(level), mode_index(address, level), setting->entries[level]);
		if (model_refuses_pointers(mode_cpu())) {
			refused_run(address);
			continue;
		}
		mode_flush(address);
		probe_page(kind, address);
		/* What the walk has not come to is as it was. */
		for (uint32_t level = 1; level + probe_steps() <= top(); level++)
			if (table_get(mode_table(level), mode_index(address, level)) != setting->entries[level])
				probe_expect("an entry that is not read", table_get(mode_table(level), mode_index(address, level)),
					     setting->entries[level]);
	}
}

#define ALL_KINDS ((1u << PROBE_COUNT) - 1)
#define PLAIN_KINDS                                                                                                    \
	(1u << PROBE_READ | 1u << PROBE_WRITE | 1u << PROBE_FETCH | 1u << PROBE_USER_READ | 1u << PROBE_USER_WRITE |   \
	 1u << PROBE_USER_FETCH)

static uint64_t rights_of(uint32_t bits)
{
	return ENTRY_PRESENT | ((bits & 1) != 0 ? ENTRY_WRITE : 0) | ((bits & 2) != 0 ? ENTRY_USER : 0) |
	       ((bits & 4) != 0 ? ENTRY_NX : 0);
}

/* Writable, user, no-execute on two levels; the other levels allow everything. */
static void rights_of_pair(uint32_t leaf, uint32_t low, uint32_t high)
{
	uint32_t bits_each = wide() ? 8 : 4, pairs = low == high ? bits_each : bits_each * bits_each;
	struct setting setting;

	for (uint32_t pair = 0; pair < pairs; pair++) {
		setting_good(&setting, leaf);
		setting.entries[low] = entry_with(low, rights_of(pair % bits_each) | (low == leaf && leaf > 1 ? ENTRY_LARGE : 0));
		if (high != low)
			setting.entries[high] = entry_with(high, rights_of(pair / bits_each));
		setting_run(&setting, ALL_KINDS);
	}
}

static void rights_run(void)
{
	uint32_t highest = mode_now() == MODE_PAE ? 2 : top();

	probe_group_begin("rights");
	for (uint32_t controls = 0; controls <= CONTROL_ALL; controls++) {
		mode_set_controls(controls);
		for (uint32_t leaf = 1; leaf <= highest; leaf++) {
			if (leaf > 1 && !mode_may_be_large(leaf))
				continue;
			if (leaf == highest)
				rights_of_pair(leaf, leaf, leaf);
			for (uint32_t low = leaf; low <= highest; low++)
				for (uint32_t high = low + 1; high <= highest; high++)
					rights_of_pair(leaf, low, high);
		}
	}
	probe_group_end();
}

static void flags_of_level(uint32_t leaf, uint32_t level)
{
	static const uint64_t flags[] = {
		ENTRY_PRESENT,	ENTRY_WRITE, ENTRY_USER,   ENTRY_THROUGH | ENTRY_UNCACHED, ENTRY_ACCESSED,
		ENTRY_DIRTY,	ENTRY_LARGE, ENTRY_GLOBAL, BIT(9) | BIT(11),		   ENTRY_NX,
	};
	uint32_t count = wide() ? ARRAY_SIZE(flags) : ARRAY_SIZE(flags) - 1;
	struct setting setting;

	for (uint32_t bits = 0; bits < 1u << count; bits++) {
		uint64_t entry = 0;

		for (uint32_t i = 0; i < count; i++)
			entry |= (bits >> i & 1) != 0 ? flags[i] : 0;
		setting_good(&setting, leaf);
		setting.entries[level] = entry_with(level, entry);
		setting_run(&setting, PLAIN_KINDS);
	}
}

static void flags_of_all(void)
{
	probe_group_begin("flags");
	for (uint32_t nxe = 0; nxe < 2; nxe++) {
		mode_set_controls(CONTROL_WP | (nxe != 0 ? CONTROL_NXE : 0));
		for (uint32_t leaf = 1; leaf <= top(); leaf++)
			if (leaf == 1 || mode_may_be_large(leaf))
				for (uint32_t level = leaf; level <= top(); level++)
					flags_of_level(leaf, level);
	}
	probe_group_end();
}

/* Bits that would lead to another place of the machine's are not tried: only those that mean something, must be zero, or are ignored. */
static bool bit_may_be_set(uint32_t leaf, uint32_t level, uint32_t bit)
{
	bool large = level == leaf && level > 1;

	if (bit < 12)
		return true;
	if (!wide())
		return large && (bit == 12 || bit == 21);
	if (bit >= mode_cpu()->physical_bits)
		return true;
	return large && bit < (level == 2 ? 21u : 30u);
}

/* Each bit turned over in an entry that is good otherwise. */
static void bits_run(void)
{
	struct setting setting;

	probe_group_begin("bits");
	for (uint32_t controls = 0; controls <= CONTROL_ALL; controls += 3) {
		mode_set_controls(controls);
		for (uint32_t leaf = 1; leaf <= top(); leaf++)
			for (uint32_t level = leaf; level <= top() && (leaf == 1 || mode_may_be_large(leaf)); level++)
				for (uint32_t bit = 0; bit < (wide() ? 64u : 32u); bit++) {
					if (!bit_may_be_set(leaf, level, bit))
						continue;
					setting_good(&setting, leaf);
					if (bit == 7 && level > 1)
						setting.entries[level] = entry_with(level, ENTRY_ALL | (level == leaf ? 0 : ENTRY_LARGE));
					else if (bit < 12 || (setting.entries[level] & BIT(bit)) == 0)
						setting.entries[level] ^= BIT(bit);
					setting_run(&setting, ALL_KINDS);
				}
	}
	probe_group_end();
}

static uint64_t flags_at_random(uint32_t level, uint32_t leaf)
{
	uint64_t flags = random_next(24) != 0 ? ENTRY_PRESENT : 0;

	flags |= random_next(4) != 0 ? ENTRY_WRITE : 0;
	flags |= random_next(4) != 0 ? ENTRY_USER : 0;
	flags |= BIT(3 + random_next(4));
	flags |= random_next(12) == 0 && level < 4 ? ENTRY_GLOBAL : 0;
	flags |= random_next(12) == 0 ? BIT(8 + random_next(4)) : 0;
	flags |= level == leaf && level > 1 ? ENTRY_LARGE : 0;
	if (!wide())
		return flags;
	flags |= random_next(8) == 0 ? ENTRY_NX : 0;
	flags |= random_next(32) == 0 ? BIT(mode_cpu()->physical_bits + random_next(63 - mode_cpu()->physical_bits)) : 0;
	return flags;
}

static void random_run(uint32_t cases)
{
	struct setting setting;
	uint32_t leaf;

	probe_group_begin("random");
	random_state = RANDOM_START;
	for (uint32_t i = 0; i < cases; i++) {
		if (i % 32 == 0)
			mode_set_controls(random_next(CONTROL_ALL + 1));
		do {
			leaf = 1 + random_next(3);
		} while (leaf > 1 && !mode_may_be_large(leaf));
		for (uint32_t level = 1; level <= top(); level++)
			setting.entries[level] = is_pointer(level) && random_next(16) != 0 ? entry_with(level, ENTRY_PRESENT) :
							      entry_with(level, flags_at_random(level, leaf));
		combination = 0;
		setting_run(&setting, 1u << random_next(PROBE_COUNT));
	}
	probe_group_end();
}

void flags_run(uint32_t thin)
{
	thinning = thin;
	combination = 0;
	mode_make_path(1, ENTRY_ALL);
	rights_run();
	flags_of_all();
	bits_run();
	random_run(RANDOM_CASES / thin);
	mode_set_controls(0);
}
