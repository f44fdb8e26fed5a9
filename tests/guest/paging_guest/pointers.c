/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a walk begins with: CR3 with its ignored bits, PAE's tables that need not begin a page, what must be zero in PAE's top level
 * (APM vol. 2, 5.2.3 and 5.5), and addresses that are none (5.3.1).
 */
#include "paging.h"

#define VECTOR_GP 13u
#define POINTER_BYTES 32u

/* Loads CR3 and says what came of it. */
static uint32_t load(uint32_t value)
{
	uint32_t vector = probe_raw(PROBE_LOAD_CR3, 0, value);

	mode_read_cpu();
	return vector;
}

static void low_bits_run(void)
{
	uint32_t root = address_of(&arena.roots[mode_now()]), bits = mode_now() == MODE_PAE ? 5 : 12;

	probe_group_begin("cr3-low-bits");
	mode_make_path(1, ENTRY_ALL);
	for (uint32_t bit = 0; bit < bits; bit++) {
		probe_expect("MOV CR3", load(root | 1u << bit), 0);
		probe_expect("CR3", cr3_read(), root | 1u << bit);
		probe_page(PROBE_READ, mode_address());
		probe_page(PROBE_USER_WRITE, mode_address());
	}
	probe_expect("MOV CR3", load(root | ((1u << bits) - 1)), 0);
	probe_page(PROBE_USER_READ, mode_address());
	probe_expect("MOV CR3", load(root), 0);
	probe_group_end();
}

static void offsets_run(void)
{
	union table *page = &arena.spare[0];
	uint64_t *root = arena.roots[MODE_PAE].wide;

	probe_group_begin("pointers-anywhere");
	mode_make_path(1, ENTRY_ALL);
	for (uint32_t offset = 0; offset < PAGE_SIZE; offset += POINTER_BYTES * 5) {
		/* Some CPUs read the pointers at each walk (APM vol. 2, 15.25.10): what is in use is not written over. */
		probe_expect("MOV CR3", load(address_of(root)), 0);
		for (uint32_t i = 0; i < ARRAY_SIZE(page->wide); i++)
			page->wide[i] = ~0ull;
		for (uint32_t i = 0; i < 4; i++)
			page->wide[offset / 8 + i] = root[i];
		probe_expect("MOV CR3", load(address_of(page) + offset), 0);
		probe_page(PROBE_READ, mode_address());
		probe_page(PROBE_USER_WRITE, mode_address());
	}
	probe_expect("MOV CR3", load(address_of(root)), 0);
	probe_group_end();
}

/* Each bit of an entry that no access uses. A machine that looks only when it is used lets all of them pass. */
static void reserved_run(void)
{
	uint64_t *root = arena.roots[MODE_PAE].wide, reserved = ENTRY_NX | (BIT(63) - BIT(52)) | 0x1e6;
	bool late = (mode_cpu()->quirks & 1u << QUIRK_PDPTE_LATE) != 0;

	probe_group_begin("pointers-reserved");
	mode_make_path(1, ENTRY_ALL);
	reserved |= BIT(52) - BIT(mode_cpu()->physical_bits);
	for (uint32_t bit = 0; bit < 64; bit++) {
		root[1] = address_of(&arena.own_directory) | ENTRY_PRESENT;
		if (bit > 0 && (bit < 12 || bit >= mode_cpu()->physical_bits))
			root[1] |= BIT(bit);
		probe_expect("MOV CR3", load(address_of(root)), (root[1] & reserved) != 0 && !late ? VECTOR_GP : 0);
		probe_page(PROBE_READ, mode_address());
		/* Not present: nothing else is looked at. */
		root[1] &= ~ENTRY_PRESENT;
		probe_expect("MOV CR3", load(address_of(root)), 0);
		probe_page(PROBE_USER_WRITE, mode_address());
	}
	root[1] = 0;
	probe_expect("MOV CR3", load(address_of(root)), 0);
	probe_group_end();
}

/* Each bit from below the sign upwards: only the sign and what repeats it decides, and before any table is read. */
static void canonical_run(void)
{
	static const enum probe_kind kinds[] = { PROBE_READ, PROBE_WRITE, PROBE_USER_READ, PROBE_USER_WRITE };

	probe_group_begin("canonical");
	mode_make_path(1, ENTRY_ALL);
	for (uint32_t bit = 46; bit < 64; bit++)
		for (uint32_t i = 0; i < ARRAY_SIZE(kinds); i++)
			probe_page(kinds[i], mode_address() ^ BIT(bit));
	probe_group_end();
}

void pointers_run(void)
{
	low_bits_run();
	if (mode_is_long())
		canonical_run();
	if (mode_now() != MODE_PAE)
		return;
	offsets_run();
	reserved_run();
}
