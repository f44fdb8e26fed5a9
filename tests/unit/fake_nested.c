/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the simulated CPU's TLB, the tables that it walks, and the port that hands them out; Identity as it should be. */
#include "fake_nested.h"
#include "xlat/pte_ept.h"
#include "xlat/pte_npt.h"

#define TABLES_AT 0x780123000ull /* machine address of the first one; another follows each third page */
#define TABLES_STRIDE (3 * PAGE_SIZE)

struct nested_hardware hw;
struct random chance;
struct xlat xlat;
uint64_t hot[NESTED_PAGES_HOT];
uint32_t hot_count;
bool nested_is_ept;
uint32_t nested_regions;

static void complain(const char *what)
{
	if (!hw.fault)
		hw.fault = what;
}

/* --- the CPU --- */

static const uint8_t *find_table(uint64_t machine)
{
	uint64_t slot = (machine - TABLES_AT) / TABLES_STRIDE;

	if (machine < TABLES_AT || (machine - TABLES_AT) % TABLES_STRIDE || slot >= NESTED_TABLES_MAX || !hw.table[slot]) {
		complain("the CPU walks to a table that is none");
		return NULL;
	}
	return hw.table[slot];
}

enum memory_type nested_type(uint64_t address)
{
	static const enum memory_type types[] = { MEMORY_WRITE_BACK, MEMORY_UNCACHEABLE, MEMORY_WRITE_COMBINING, MEMORY_WRITE_THROUGH,
						  MEMORY_WRITE_PROTECTED };
	uint32_t region = 0;

	while (region < nested_regions && nested_boundaries[region] <= address)
		region++;
	return types[region % ARRAY_SIZE(types)];
}

static enum memory_type memory_type(void *context, uint64_t start, uint64_t bytes)
{
	assert_ptr_equal(context, &hw);
	assert_int_equal(start % bytes, 0);
	for (uint32_t i = 0; i < nested_regions; i++)
		if (nested_boundaries[i] > start && nested_boundaries[i] < start + bytes)
			return MEMORY_MIXED;
	return nested_type(start);
}

/* Intel SDM vol. 3, tables 28-1 to 28-6, and 28.3.3.1: what would be a misconfiguration. */
static void check_ept(uint64_t entry, uint64_t bytes, bool is_leaf)
{
	uint64_t address = entry & 0x000ffffffffff000ull;

	if (!(entry & 1))
		complain("an entry that may be written or executed and not read");
	if (!is_leaf && entry & 0xf8)
		complain("reserved bits in an entry that leads to a table");
	if (is_leaf && (entry >> 3 & 7) != nested_type(address))
		complain("a leaf of a memory type that is not the memory's");
	if (is_leaf && nested_type(address) != nested_type(address + bytes - PAGE_SIZE))
		complain("a leaf over memory of more than one type");
	if (is_leaf && entry & 0x40)
		complain("a leaf that has the OS's PAT ignored");
}

/* AMD APM vol. 2, 5.3: bits of an address beyond the CPU's, and those below a large page's, are reserved. */
static void check_reserved(uint64_t entry, uint64_t bytes, bool is_leaf, uint32_t level)
{
	uint64_t address = entry & 0x000ffffffffff000ull;

	if (xlat.address_bits < 52 && address >> xlat.address_bits)
		complain("an address beyond MAXPHYADDR in an entry");
	if (is_leaf && address & (bytes - 1))
		complain("reserved bits in a large leaf");
	if (level > 1 && is_leaf && (level == 4 || (level == 3 && !xlat.has_1g)))
		complain("a leaf larger than the CPU has");
	if (entry >> 52)
		complain("a reserved or no-execute bit in an entry");
	if (!(entry & 4))
		complain(nested_is_ept ? "an entry that may not be executed" : "an entry that is not for users");
	if (nested_is_ept)
		check_ept(entry, bytes, is_leaf);
}

static void hold_table(uint64_t machine)
{
	if (find_table(machine))
		hw.held[(machine - TABLES_AT) / TABLES_STRIDE] = true;
}

/* `keeps`: the CPU does it, and may remember every table on the way (APM vol. 2, 5.5.4: page walk caches). */
static struct nested_found walk(uint64_t address, bool keeps)
{
	struct nested_found found = { .present = true, .writable = true };
	uint64_t next = xlat.root;

	hw.walks++;
	for (uint32_t level = 4, shift = 39;; level--, shift -= 9) {
		const uint8_t *table = find_table(next);
		if (keeps)
			hold_table(next);
		uint64_t entry = table ? get_u64(table, (uint32_t)(address >> shift & 511) * 8) : 0;
		bool is_leaf = level == 1 || entry & 0x80;
		found.bytes = 1ull << shift;
		found.start = address & ~(found.bytes - 1);
		if (!(entry & (nested_is_ept ? 7 : 1)))
			return (struct nested_found){ .start = found.start, .bytes = found.bytes };
		check_reserved(entry, found.bytes, is_leaf, level);
		found.writable &= entry >> 1 & 1;
		next = entry & 0x000ffffffffff000ull;
		if (is_leaf) {
			found.frame = next;
			return found;
		}
	}
}

struct nested_found nested_walk(uint64_t address)
{
	return walk(address, false);
}

void nested_load_tlb(uint64_t address)
{
	struct nested_found found = walk(address, true);

	if (!found.present)
		return;
	for (uint32_t i = 0; i < NESTED_TLB_ENTRIES; i++) {
		const struct nested_found *kept = &hw.tlb[i];
		if (kept->present && kept->bytes != found.bytes && kept->start < found.start + found.bytes &&
		    found.start < kept->start + kept->bytes)
			complain("two sizes for one address in the TLB: break before make was not kept");
	}
	hw.tlb[hw.tlb_next++ % NESTED_TLB_ENTRIES] = found;
}

static const struct nested_found *find_kept(uint64_t address)
{
	for (uint32_t i = 0; i < NESTED_TLB_ENTRIES; i++)
		if (hw.tlb[i].present && address - hw.tlb[i].start < hw.tlb[i].bytes)
			return &hw.tlb[i];
	return NULL;
}

/* What the program on the CPU gets: by the TLB where it has the address, else by a walk. */
struct nested_found nested_access(uint64_t address)
{
	const struct nested_found *kept = find_kept(address);

	if (kept) {
		hw.hits++;
		return *kept;
	}
	nested_load_tlb(address);
	return nested_walk(address);
}

static uint64_t limit_of(uint32_t bits, bool has_1g)
{
	uint32_t most = has_1g ? 48 : 40;

	return 1ull << (bits < most ? bits : most);
}

uint64_t nested_limit(void)
{
	return limit_of(xlat.address_bits, xlat.has_1g);
}

uint64_t nested_hot_address(void)
{
	uint64_t near = hot[random_below(&chance, hot_count)];

	switch (random_below(&chance, 8)) {
	case 0:
		return (near ^ (1ull << (12 + random_below(&chance, 20)))) & (nested_limit() - 1); /* in the same leaf, or the next */
	case 1:
		return random_next(&chance) & (nested_limit() - 1);
	default:
		return near;
	}
}

/* The CPU runs ahead of its program, too: it walks also where the TLB has something. */
static void run_cpu(void)
{
	if (!hw.running || (!hw.eager && random_below(&chance, 4)))
		return;
	for (uint64_t left = hw.eager ? 8 : random_below(&chance, 4); left > 0; left--)
		nested_load_tlb(nested_hot_address());
}

void nested_flush(void)
{
	memset(hw.tlb, 0, sizeof(hw.tlb));
	memset(hw.held, 0, sizeof(hw.held));
}

/* --- the port --- */

static void *table_alloc(void *context)
{
	assert_ptr_equal(context, &hw);
	run_cpu();
	if (hw.fail_at && --hw.fail_at == 0)
		return NULL;
	for (uint32_t tried = 0; tried < NESTED_TABLES_MAX; tried++) {
		uint32_t slot = hw.next++ % NESTED_TABLES_MAX;
		if (hw.table[slot])
			continue;
		hw.table[slot] = aligned_alloc(PAGE_SIZE, PAGE_SIZE); /* known by its pages, see xlat->near */
		memset(hw.table[slot], 0, PAGE_SIZE);
		hw.out++;
		return hw.table[slot];
	}
	complain("more tables than any machine needs");
	return NULL;
}

static uint32_t slot_of(const void *page)
{
	for (uint32_t slot = 0; slot < NESTED_TABLES_MAX; slot++)
		if (page && hw.table[slot] == page)
			return slot;
	fail_msg("a page that is no table");
	return 0;
}

static void table_free(void *context, void *page)
{
	uint32_t slot = slot_of(page);

	assert_ptr_equal(context, &hw);
	run_cpu();
	if (hw.held[slot])
		complain("a table is given back that a CPU may still walk");
	free(page);
	hw.table[slot] = NULL;
	hw.out--;
}

static uint64_t machine_of(void *context, const void *page)
{
	assert_ptr_equal(context, &hw);
	run_cpu();
	return TABLES_AT + slot_of(page) * TABLES_STRIDE;
}

static void *page_of(void *context, uint64_t machine)
{
	uint64_t slot = (machine - TABLES_AT) / TABLES_STRIDE;

	assert_ptr_equal(context, &hw);
	assert_true(machine >= TABLES_AT && slot < NESTED_TABLES_MAX && (machine - TABLES_AT) % TABLES_STRIDE == 0);
	assert_non_null(hw.table[slot]);
	run_cpu();
	return hw.table[slot];
}

/* --- the start --- */

const uint64_t nested_boundaries[NESTED_BOUNDARIES] = {
	0,	     MIB(1),	  MIB(640),	MIB(640) + KIB(4), 0xbff80000, 0xc0000000, 0xfed80000,
	NESTED_APIC,	     GIB(4),	  GIB(5) - KIB(4), GIB(7) + MIB(2),  GIB(9) + KIB(12), GIB(63) + MIB(511) + KIB(8), GIB(64),
	GIB(1023) + MIB(1), 1ull << 41,	  (1ull << 44) + MIB(6), (1ull << 48) - KIB(4), 1ull << 48, (1ull << 51) + KIB(4),
};

/* Of the lower part of all addresses: elsewhere the way is long. */
static uint64_t known[GIB(32) / MIB(2)];

/* The table of 4 KiB entries that a walk to this address comes to, or NULL. */
static const uint8_t *last_table(uint64_t address)
{
	uint64_t next = xlat.root;

	for (uint32_t shift = 39; shift > 12; shift -= 9) {
		const uint8_t *table = next ? find_table(next) : NULL;
		uint64_t entry = table ? get_u64(table, (uint32_t)(address >> shift & 511) * 8) : 0;
		if (!(entry & 1) || entry & 0x80)
			return NULL;
		next = entry & 0x000ffffffffff000ull;
	}
	return find_table(next);
}

void nested_assert_known(void)
{
	for (uint64_t chunk = 0; chunk < ARRAY_SIZE(known); chunk++)
		if (known[chunk])
			assert_ptr_equal((const void *)(uintptr_t)known[chunk], last_table(chunk * MIB(2)));
}

enum mem_access (*nested_map)(gfn_t page);

static enum mem_access map_says(void *context, gfn_t page)
{
	(void)context;
	return nested_map(page);
}

void nested_prepare(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	for (uint32_t slot = 0; slot < NESTED_TABLES_MAX; slot++)
		free(hw.table[slot]); /* of a test that failed */
	memset(&hw, 0, sizeof(hw));
	memset(known, 0, sizeof(known));
	xlat = (struct xlat){ .ops = &xlat_nested,
			      .format = nested_is_ept ? &pte_ept : &pte_npt,
			      .near = known,
			      .near_count = ARRAY_SIZE(known),
			      .port = { table_alloc, table_free, machine_of, page_of, NULL, memory_type, map_says, &hw },
			      .address_bits = bits,
			      .has_1g = has_1g,
			      .boundary = nested_boundaries,
			      .boundary_count = nested_is_ept ? 0 : boundaries };
	nested_regions = boundaries;
}

void nested_build(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	nested_prepare(bits, has_1g, boundaries);
	assert_true(xlat.ops->build(&xlat));
	assert_int_equal(xlat.built_count, hw.out);
	assert_int_equal(xlat.table_count, hw.out);
}

void nested_assert_no_fault(void)
{
	if (hw.fault)
		fail_msg("%s", hw.fault);
}

void nested_end(void)
{
	hw.running = false;
	nested_assert_no_fault();
	nested_flush();
	xlat.ops->drop(&xlat);
	assert_int_equal(hw.out, 0);
	assert_int_equal(xlat.table_count, 0);
	assert_int_equal(xlat.root, 0);
	nested_assert_known();
	assert_null(xlat.spare);
	xlat.ops->drop(&xlat); /* nothing is left to drop */
	nested_assert_no_fault();
}

/* The largest leaf that may be here: within one memory type, apart from the first 2 MiB and the APIC's page. */
uint64_t nested_expected_bytes(uint64_t address)
{
	static const uint64_t sizes[] = { 1ull << 30, 1ull << 21 };

	for (uint32_t i = xlat.has_1g ? 0 : 1; i < ARRAY_SIZE(sizes); i++) {
		uint64_t first = address / sizes[i] * sizes[i], last = first + sizes[i] - 1;
		bool whole = last >= MIB(2) && first >= MIB(2) && (NESTED_APIC < first || NESTED_APIC > last);
		for (uint32_t j = 0; j < nested_regions; j++)
			whole &= nested_boundaries[j] <= first || nested_boundaries[j] > last;
		if (whole)
			return sizes[i];
	}
	return PAGE_SIZE;
}

static void assert_identity_at(uint64_t address, const struct nested_found *found)
{
	mfn_t frame;
	enum mem_access access;

	assert_true(found->present && found->writable);
	assert_int_equal(found->frame, found->start);
	assert_int_equal(found->bytes, nested_expected_bytes(address));
	assert_true(xlat.ops->get(&xlat, gfn_of_address(address), &frame, &access));
	assert_int_equal(mfn_address(frame), address & ~PAGE_MASK);
	assert_int_equal(access, MEM_ACCESS_ALL);
}

/* Every leaf below the limit, and its last page. */
void nested_assert_identity(void)
{
	for (uint64_t address = 0; address < nested_limit();) {
		struct nested_found found = nested_walk(address);
		assert_int_equal(found.start, address);
		assert_identity_at(address, &found);
		address += found.bytes;
		assert_identity_at(address - PAGE_SIZE, &found);
	}
	nested_assert_no_fault();
}
