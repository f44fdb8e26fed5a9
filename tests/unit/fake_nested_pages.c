/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what is known of the pages that a test has touched, and random moves of them in the order that the engine keeps. */
#include "fake_nested.h"

struct nested_page touched[NESTED_PAGES_HOT];

void nested_add_hot(uint64_t address)
{
	address &= ~PAGE_MASK;
	for (uint32_t i = 0; i < hot_count; i++)
		if (hot[i] == address)
			return;
	if (address >= nested_limit() || address == NESTED_APIC || hot_count == NESTED_PAGES_HOT)
		return;
	touched[hot_count] = (struct nested_page){ address, MEM_ACCESS_ALL, false };
	hot[hot_count++] = address;
}

/* Neighbours in one leaf, leaves of one directory, both sides of boundaries, the ends, and anything. */
void nested_choose_hot(void)
{
	hot_count = 0;
	for (uint32_t i = 0; i < nested_regions; i++) {
		nested_add_hot(nested_boundaries[i]);
		nested_add_hot(nested_boundaries[i] - PAGE_SIZE);
	}
	nested_add_hot(0);
	nested_add_hot(NESTED_APIC - PAGE_SIZE);
	nested_add_hot(NESTED_APIC + PAGE_SIZE);
	nested_add_hot(NESTED_APIC + MIB(2));
	nested_add_hot(NESTED_APIC - MIB(2));
	nested_add_hot(nested_limit() - PAGE_SIZE);
	while (hot_count < NESTED_PAGES_HOT) {
		uint64_t near = random_below(&chance, 3) ? hot[random_below(&chance, hot_count)] : random_next(&chance);
		nested_add_hot((near ^ (1ull << (12 + random_below(&chance, 20)))) & (nested_limit() - 1));
	}
}

/* get() tells what a walk finds. */
void nested_assert_get(uint64_t address)
{
	address &= ~PAGE_MASK;
	struct nested_found found = nested_walk(address);
	mfn_t frame;
	enum mem_access access;

	assert_int_equal(xlat.ops->get(&xlat, gfn_of_address(address), &frame, &access), found.present);
	if (!found.present)
		return;
	assert_int_equal(mfn_address(frame), found.frame + (address - found.start));
	assert_int_equal(access, found.writable ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
}

/*
 * A program's access to a touched page: present with the frame and rights that it was given, at once; absent after a flush for
 * certain. In between it may find either. A page that was not made absent itself may be absent while its leaf is split.
 */
void nested_check_access(uint32_t i)
{
	struct nested_found found = nested_access(hot[i]);
	struct nested_found walked = nested_walk(hot[i]);

	if (touched[i].access == MEM_ACCESS_NONE) {
		assert_false(walked.present);
		assert_false(found.present && touched[i].flushed);
	}
	if (!found.present)
		return;
	assert_int_equal(found.frame + (hot[i] - found.start), touched[i].frame);
	if (touched[i].access != MEM_ACCESS_NONE)
		assert_int_equal(found.writable, touched[i].access == MEM_ACCESS_ALL);
}

static bool is_any_absent(void)
{
	for (uint32_t i = 0; i < hot_count; i++)
		if (touched[i].access == MEM_ACCESS_NONE)
			return true;
	return false;
}

void nested_flush_pages(void)
{
	nested_flush();
	for (uint32_t i = 0; i < hot_count; i++)
		touched[i].flushed = true;
}

/* Alone, or as one of the moves of a batch. */
static void set(uint32_t i, uint64_t frame, enum mem_access access)
{
	const struct mem_move move = { .page = gfn_of_address(hot[i]), .from = mfn_of_address(frame), .to = mfn_of_address(frame) };

	if (access == MEM_ACCESS_NONE && random_below(&chance, 2))
		xlat.ops->hide(&xlat, &move, 1);
	else if (access == MEM_ACCESS_ALL && random_below(&chance, 2))
		xlat.ops->show(&xlat, &move, 1);
	else
		xlat.ops->set(&xlat, move.page, move.to, access);
}

void nested_make_absent(uint32_t i)
{
	assert_true(xlat.ops->prepare(&xlat, gfn_of_address(hot[i])));
	uint32_t out = hw.out;
	set(i, touched[i].frame, MEM_ACCESS_NONE);
	assert_int_equal(hw.out, out); /* set() takes nothing: it cannot fail */
	touched[i].access = MEM_ACCESS_NONE;
	touched[i].flushed = false;
}

void nested_make_present(uint32_t i, uint64_t frame, enum mem_access access)
{
	uint32_t out = hw.out;

	touched[i].frame = frame;
	touched[i].access = access;
	set(i, frame, access);
	assert_int_equal(hw.out, out);
	struct nested_found found = nested_walk(hot[i]); /* without a flush */
	assert_true(found.present);
	assert_int_equal(found.bytes, PAGE_SIZE);
}

uint64_t nested_some_frame(uint32_t i)
{
	switch (random_below(&chance, 3)) {
	case 0:
		return hot[i];
	case 1:
		return hot[random_below(&chance, hot_count)];
	default:
		return random_next(&chance) & ((1ull << xlat.address_bits) - 1) & 0x000ffffffffff000ull;
	}
}

void nested_step(void)
{
	uint32_t i = (uint32_t)random_below(&chance, hot_count);

	if (!random_below(&chance, 6))
		nested_flush_pages();
	if (touched[i].access != MEM_ACCESS_NONE)
		nested_make_absent(i);
	else if (touched[i].flushed)
		nested_make_present(i, nested_some_frame(i), random_below(&chance, 8) ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
	for (uint32_t n = 0; n < 4; n++)
		nested_check_access((uint32_t)random_below(&chance, hot_count));
	nested_assert_get(nested_hot_address());
	nested_assert_no_fault();
}

/* Nothing is absent between operations: no leaf is left split and not linked, whichever page it is. */
void nested_settle(void)
{
	nested_flush_pages();
	for (uint32_t i = 0; i < hot_count; i++)
		if (touched[i].access == MEM_ACCESS_NONE)
			nested_make_present(i, nested_some_frame(i), MEM_ACCESS_ALL);
	assert_false(is_any_absent());
	for (uint32_t n = 0; n < 500; n++) {
		uint64_t address = nested_hot_address();
		assert_true(nested_walk(address).present);
		nested_assert_get(address);
	}
}

void nested_bring_home(void)
{
	for (uint32_t i = 0; i < hot_count; i++)
		if (touched[i].frame != hot[i] || touched[i].access != MEM_ACCESS_ALL)
			nested_make_absent(i);
	nested_flush_pages();
	for (uint32_t i = 0; i < hot_count; i++)
		if (touched[i].access == MEM_ACCESS_NONE)
			nested_make_present(i, hot[i], MEM_ACCESS_ALL);
	for (uint32_t i = 0; i < hot_count; i++)
		xlat.ops->release(&xlat, gfn_of_address(hot[i]));
}

/* No CPU translates: its TLB is empty before and after. */
void nested_tidy(void)
{
	hw.running = false;
	nested_flush();
	xlat.ops->tidy(&xlat);
	assert_int_equal(xlat.table_count, xlat.built_count);
	assert_int_equal(hw.out, xlat.built_count);
	assert_null(xlat.spare);
	nested_assert_known();
}
