/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the nested back-end against a simulated CPU that walks its tables as hardware does, at any moment (inside each call of the
 * port too), and keeps what it found in a TLB until it is flushed. Entries that are not present are never kept. It complains
 * of reserved bits, of tables that were given back, and of two sizes for one address in the TLB: break before make was not kept.
 */
#include "boot_bytes.h"
#include "xlat/xlat.h"

#define TABLES_MAX 2048u
#define TABLES_AT 0x780123000ull /* machine address of the first one; another follows each third page */
#define TABLES_STRIDE (3 * PAGE_SIZE)
#define TLB_ENTRIES 64u
#define PAGES_HOT 96u
#define APIC 0xfee00000ull

struct found {
	bool present, writable;
	uint64_t start, bytes, frame; /* of the whole leaf */
};

static struct hardware {
	const char *fault;
	uint8_t *table[TABLES_MAX];
	uint32_t next, out;
	uint32_t fail_at; /* this table_alloc fails, once: 1 = the next; 0 = none */
	struct found tlb[TLB_ENTRIES];
	uint32_t tlb_next;
	bool running;
	uint64_t walks, hits;
} hw;

static struct random chance;
static struct xlat xlat;
static uint64_t hot[PAGES_HOT]; /* addresses that CPUs and tests prefer */
static uint32_t hot_count;

static void complain(const char *what)
{
	if (!hw.fault)
		hw.fault = what;
}

/* --- the CPU --- */

static const uint8_t *find_table(uint64_t machine)
{
	uint64_t slot = (machine - TABLES_AT) / TABLES_STRIDE;

	if (machine < TABLES_AT || (machine - TABLES_AT) % TABLES_STRIDE || slot >= TABLES_MAX || !hw.table[slot]) {
		complain("the CPU walks to a table that is none");
		return NULL;
	}
	return hw.table[slot];
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
		complain("an entry that is not for users");
}

static struct found walk(uint64_t address)
{
	struct found found = { .present = true, .writable = true };
	uint64_t next = xlat.root;

	hw.walks++;
	for (uint32_t level = 4, shift = 39;; level--, shift -= 9) {
		const uint8_t *table = find_table(next);
		uint64_t entry = table ? get_u64(table, (uint32_t)(address >> shift & 511) * 8) : 0;
		bool is_leaf = level == 1 || entry & 0x80;
		found.bytes = 1ull << shift;
		found.start = address & ~(found.bytes - 1);
		if (!(entry & 1))
			return (struct found){ .start = found.start, .bytes = found.bytes };
		check_reserved(entry, found.bytes, is_leaf, level);
		found.writable &= entry >> 1 & 1;
		next = entry & 0x000ffffffffff000ull;
		if (is_leaf) {
			found.frame = next;
			return found;
		}
	}
}

static void load_tlb(uint64_t address)
{
	struct found found = walk(address);

	if (!found.present)
		return;
	for (uint32_t i = 0; i < TLB_ENTRIES; i++) {
		const struct found *kept = &hw.tlb[i];
		if (kept->present && kept->bytes != found.bytes && kept->start < found.start + found.bytes &&
		    found.start < kept->start + kept->bytes)
			complain("two sizes for one address in the TLB: break before make was not kept");
	}
	hw.tlb[hw.tlb_next++ % TLB_ENTRIES] = found;
}

static const struct found *find_kept(uint64_t address)
{
	for (uint32_t i = 0; i < TLB_ENTRIES; i++)
		if (hw.tlb[i].present && address - hw.tlb[i].start < hw.tlb[i].bytes)
			return &hw.tlb[i];
	return NULL;
}

/* What the program on the CPU gets: by the TLB where it has the address, else by a walk. */
static struct found access_memory(uint64_t address)
{
	const struct found *kept = find_kept(address);

	if (kept) {
		hw.hits++;
		return *kept;
	}
	load_tlb(address);
	return walk(address);
}

static uint64_t limit_of(uint32_t bits, bool has_1g)
{
	uint32_t most = has_1g ? 48 : 40;

	return 1ull << (bits < most ? bits : most);
}

static uint64_t limit(void)
{
	return limit_of(xlat.address_bits, xlat.has_1g);
}

static uint64_t hot_address(void)
{
	uint64_t near = hot[random_below(&chance, hot_count)];

	switch (random_below(&chance, 8)) {
	case 0:
		return (near ^ (1ull << (12 + random_below(&chance, 20)))) & (limit() - 1); /* in the same leaf, or the next */
	case 1:
		return random_next(&chance) & (limit() - 1);
	default:
		return near;
	}
}

/* The CPU runs ahead of its program, too: it walks also where the TLB has something. */
static void run_cpu(void)
{
	if (!hw.running || random_below(&chance, 4))
		return;
	for (uint64_t left = random_below(&chance, 4); left > 0; left--)
		load_tlb(hot_address());
}

static void flush(void)
{
	memset(hw.tlb, 0, sizeof(hw.tlb));
}

/* --- the port --- */

static void *table_alloc(void *context)
{
	assert_ptr_equal(context, &hw);
	run_cpu();
	if (hw.fail_at && --hw.fail_at == 0)
		return NULL;
	for (uint32_t tried = 0; tried < TABLES_MAX; tried++) {
		uint32_t slot = hw.next++ % TABLES_MAX;
		if (hw.table[slot])
			continue;
		hw.table[slot] = calloc(1, PAGE_SIZE);
		hw.out++;
		return hw.table[slot];
	}
	complain("more tables than any machine needs");
	return NULL;
}

static uint32_t slot_of(const void *page)
{
	for (uint32_t slot = 0; slot < TABLES_MAX; slot++)
		if (page && hw.table[slot] == page)
			return slot;
	fail_msg("a page that is no table");
	return 0;
}

static void table_free(void *context, void *page)
{
	uint32_t slot = slot_of(page);

	assert_ptr_equal(context, &hw);
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
	assert_true(machine >= TABLES_AT && slot < TABLES_MAX && (machine - TABLES_AT) % TABLES_STRIDE == 0);
	assert_non_null(hw.table[slot]);
	run_cpu();
	return hw.table[slot];
}

/* --- the start --- */

static const uint64_t odd_boundaries[] = {
	0,	     MIB(1),	  MIB(640),	MIB(640) + KIB(4), 0xbff80000, 0xc0000000, 0xfed80000,
	APIC,	     GIB(4),	  GIB(5) - KIB(4), GIB(7) + MIB(2),  GIB(9) + KIB(12), GIB(63) + MIB(511) + KIB(8), GIB(64),
	GIB(1023) + MIB(1), 1ull << 41,	  (1ull << 44) + MIB(6), (1ull << 48) - KIB(4), 1ull << 48, (1ull << 51) + KIB(4),
};

static void prepare_machine(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	for (uint32_t slot = 0; slot < TABLES_MAX; slot++)
		free(hw.table[slot]); /* of a test that failed */
	memset(&hw, 0, sizeof(hw));
	xlat = (struct xlat){ .ops = &xlat_nested,
			      .port = { table_alloc, table_free, machine_of, page_of, &hw },
			      .address_bits = bits,
			      .has_1g = has_1g,
			      .boundary = odd_boundaries,
			      .boundary_count = boundaries };
}

static void build_machine(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	prepare_machine(bits, has_1g, boundaries);
	assert_true(xlat.ops->build(&xlat));
	assert_int_equal(xlat.built_count, hw.out);
	assert_int_equal(xlat.table_count, hw.out);
}

static void assert_no_fault(void)
{
	if (hw.fault)
		fail_msg("%s", hw.fault);
}

static void end_machine(void)
{
	hw.running = false;
	assert_no_fault();
	xlat.ops->drop(&xlat);
	assert_int_equal(hw.out, 0);
	assert_int_equal(xlat.table_count, 0);
	assert_int_equal(xlat.root, 0);
	assert_null(xlat.spare);
	xlat.ops->drop(&xlat); /* nothing is left to drop */
	assert_no_fault();
}

/* The largest leaf that may be here: within one memory type, apart from the first 2 MiB and the APIC's page. */
static uint64_t expected_bytes(uint64_t address)
{
	static const uint64_t sizes[] = { 1ull << 30, 1ull << 21 };

	for (uint32_t i = xlat.has_1g ? 0 : 1; i < ARRAY_SIZE(sizes); i++) {
		uint64_t first = address / sizes[i] * sizes[i], last = first + sizes[i] - 1;
		bool whole = last >= MIB(2) && first >= MIB(2) && (APIC < first || APIC > last);
		for (uint32_t j = 0; j < xlat.boundary_count; j++)
			whole &= odd_boundaries[j] <= first || odd_boundaries[j] > last;
		if (whole)
			return sizes[i];
	}
	return PAGE_SIZE;
}

static void assert_identity_at(uint64_t address, const struct found *found)
{
	mfn_t frame;
	enum mem_access access;

	assert_true(found->present && found->writable);
	assert_int_equal(found->frame, found->start);
	assert_int_equal(found->bytes, expected_bytes(address));
	assert_true(xlat.ops->get(&xlat, gfn_of_address(address), &frame, &access));
	assert_int_equal(mfn_address(frame), address & ~PAGE_MASK);
	assert_int_equal(access, MEM_ACCESS_ALL);
}

/* Every leaf below the limit, and its last page. */
static void assert_identity(void)
{
	for (uint64_t address = 0; address < limit();) {
		struct found found = walk(address);
		assert_int_equal(found.start, address);
		assert_identity_at(address, &found);
		address += found.bytes;
		assert_identity_at(address - PAGE_SIZE, &found);
	}
	assert_no_fault();
}

static void refuse(uint64_t address)
{
	mfn_t frame;
	enum mem_access access;
	uint32_t out = hw.out;

	assert_false(xlat.ops->get(&xlat, gfn_of_address(address), &frame, &access));
	assert_false(xlat.ops->prepare(&xlat, gfn_of_address(address)));
	assert_int_equal(hw.out, out);
	if (address >> 48 == 0)
		assert_false(walk(address).present);
}

static void assert_nothing_above(void)
{
	refuse(limit());
	refuse(limit() | PAGE_SIZE);
	for (uint32_t bit = 0; bit < 52; bit++)
		if (1ull << bit >= limit())
			refuse(1ull << bit | (random_next(&chance) & (limit() - 1)));
	for (uint32_t i = 0; i < 1000; i++)
		refuse(limit() + random_below(&chance, (1ull << 52) - limit()));
	refuse((1ull << 52) - 1);
}

static void test_identity(void **unused)
{
	static const uint32_t bits[] = { 36, 40, 48, 52 };

	(void)unused;
	chance = random_start("identity");
	for (uint32_t i = 0; i < ARRAY_SIZE(bits) * 4; i++) {
		build_machine(bits[i / 4], i & 1, i & 2 ? ARRAY_SIZE(odd_boundaries) : 0);
		assert_identity();
		assert_nothing_above();
		end_machine();
	}
}

/* The tables of Identity are those that the sizes ask for, and none more: a page where a larger leaf stood would be one. */
static void test_table_count(void **unused)
{
	(void)unused;
	build_machine(36, true, 0);
	assert_int_equal(hw.out, 1 + 1 + 2 + 2); /* two directories and two tables: the first MiBs and the APIC */
	end_machine();
	build_machine(36, false, 0);
	assert_int_equal(hw.out, 1 + 1 + 64 + 2);
	end_machine();
	build_machine(52, true, 0);
	assert_int_equal(hw.out, 1 + 512 + 2 + 2);
	end_machine();
	build_machine(52, false, 0);
	assert_int_equal(hw.out, 1 + 2 + 1024 + 2);
	end_machine();
}

static void test_build_without_memory(void **unused)
{
	static const struct {
		uint32_t bits, boundaries;
		bool has_1g;
	} machines[] = {
		{ 36, ARRAY_SIZE(odd_boundaries), true }, { 36, 0, false }, { 48, ARRAY_SIZE(odd_boundaries), true }
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(machines); i++) {
		build_machine(machines[i].bits, machines[i].has_1g, machines[i].boundaries);
		uint32_t needed = hw.out;
		end_machine();
		for (uint32_t fail_at = 1; fail_at <= needed; fail_at++) {
			prepare_machine(machines[i].bits, machines[i].has_1g, machines[i].boundaries);
			hw.fail_at = fail_at;
			assert_false(xlat.ops->build(&xlat));
			assert_int_equal(hw.fail_at, 0);
			assert_int_equal(hw.out, 0);
			assert_int_equal(xlat.table_count, 0);
			assert_int_equal(xlat.root, 0);
		}
		assert_true(xlat.ops->build(&xlat)); /* and with memory it goes on */
		end_machine();
	}
}

/* --- moves --- */

/* What tests know of the pages that they have touched: hot[i] is in frame[i]. */
static struct page {
	uint64_t frame;
	enum mem_access access;
	bool flushed; /* since it became absent */
} page[PAGES_HOT];

static void add_hot(uint64_t address)
{
	address &= ~PAGE_MASK;
	for (uint32_t i = 0; i < hot_count; i++)
		if (hot[i] == address)
			return;
	if (address >= limit() || address == APIC || hot_count == PAGES_HOT)
		return;
	page[hot_count] = (struct page){ address, MEM_ACCESS_ALL, false };
	hot[hot_count++] = address;
}

/* Neighbours in one leaf, leaves of one directory, both sides of boundaries, the ends, and anything. */
static void choose_hot(void)
{
	hot_count = 0;
	for (uint32_t i = 0; i < xlat.boundary_count; i++) {
		add_hot(odd_boundaries[i]);
		add_hot(odd_boundaries[i] - PAGE_SIZE);
	}
	add_hot(0);
	add_hot(APIC - PAGE_SIZE);
	add_hot(APIC + PAGE_SIZE);
	add_hot(APIC + MIB(2));
	add_hot(APIC - MIB(2));
	add_hot(limit() - PAGE_SIZE);
	while (hot_count < PAGES_HOT) {
		uint64_t near = random_below(&chance, 3) ? hot[random_below(&chance, hot_count)] : random_next(&chance);
		add_hot((near ^ (1ull << (12 + random_below(&chance, 20)))) & (limit() - 1));
	}
}

/* get() tells what a walk finds. */
static void assert_get_is_walk(uint64_t address)
{
	address &= ~PAGE_MASK;
	struct found found = walk(address);
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
static void check_access(uint32_t i)
{
	struct found found = access_memory(hot[i]);
	struct found walked = walk(hot[i]);

	if (page[i].access == MEM_ACCESS_NONE) {
		assert_false(walked.present);
		assert_false(found.present && page[i].flushed);
	}
	if (!found.present)
		return;
	assert_int_equal(found.frame + (hot[i] - found.start), page[i].frame);
	if (page[i].access != MEM_ACCESS_NONE)
		assert_int_equal(found.writable, page[i].access == MEM_ACCESS_ALL);
}

static bool is_any_absent(void)
{
	for (uint32_t i = 0; i < hot_count; i++)
		if (page[i].access == MEM_ACCESS_NONE)
			return true;
	return false;
}

static void flush_pages(void)
{
	flush();
	for (uint32_t i = 0; i < hot_count; i++)
		page[i].flushed = true;
}

static void make_absent(uint32_t i)
{
	assert_true(xlat.ops->prepare(&xlat, gfn_of_address(hot[i])));
	uint32_t out = hw.out;
	xlat.ops->set(&xlat, gfn_of_address(hot[i]), mfn_of_address(page[i].frame), MEM_ACCESS_NONE);
	assert_int_equal(hw.out, out); /* set() takes nothing: it cannot fail */
	page[i].access = MEM_ACCESS_NONE;
	page[i].flushed = false;
}

static void make_present(uint32_t i, uint64_t frame, enum mem_access access)
{
	uint32_t out = hw.out;

	page[i].frame = frame;
	page[i].access = access;
	xlat.ops->set(&xlat, gfn_of_address(hot[i]), mfn_of_address(frame), access);
	assert_int_equal(hw.out, out);
	struct found found = walk(hot[i]); /* without a flush */
	assert_true(found.present);
	assert_int_equal(found.bytes, PAGE_SIZE);
}

static uint64_t some_frame(uint32_t i)
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

static void one_step(void)
{
	uint32_t i = (uint32_t)random_below(&chance, hot_count);

	if (!random_below(&chance, 6))
		flush_pages();
	if (page[i].access != MEM_ACCESS_NONE)
		make_absent(i);
	else if (page[i].flushed)
		make_present(i, some_frame(i), random_below(&chance, 8) ? MEM_ACCESS_ALL : MEM_ACCESS_READ);
	for (uint32_t n = 0; n < 4; n++)
		check_access((uint32_t)random_below(&chance, hot_count));
	assert_get_is_walk(hot_address());
	assert_no_fault();
}

/* Nothing is absent between operations: no leaf is left split and not linked, whichever page it is. */
static void settle(void)
{
	flush_pages();
	for (uint32_t i = 0; i < hot_count; i++)
		if (page[i].access == MEM_ACCESS_NONE)
			make_present(i, some_frame(i), MEM_ACCESS_ALL);
	assert_false(is_any_absent());
	for (uint32_t n = 0; n < 500; n++) {
		uint64_t address = hot_address();
		assert_true(walk(address).present);
		assert_get_is_walk(address);
	}
}

static void bring_home(void)
{
	for (uint32_t i = 0; i < hot_count; i++)
		if (page[i].frame != hot[i] || page[i].access != MEM_ACCESS_ALL)
			make_absent(i);
	flush_pages();
	for (uint32_t i = 0; i < hot_count; i++)
		if (page[i].access == MEM_ACCESS_NONE)
			make_present(i, hot[i], MEM_ACCESS_ALL);
	for (uint32_t i = 0; i < hot_count; i++)
		xlat.ops->release(&xlat, gfn_of_address(hot[i]));
}

/* No CPU translates: its TLB is empty before and after. */
static void tidy(void)
{
	hw.running = false;
	flush();
	xlat.ops->tidy(&xlat);
	assert_int_equal(xlat.table_count, xlat.built_count);
	assert_int_equal(hw.out, xlat.built_count);
	assert_null(xlat.spare);
}

static void run_moves(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	build_machine(bits, has_1g, boundaries);
	choose_hot();
	for (uint32_t round = 0; round < 4; round++) {
		hw.running = true;
		for (uint32_t step = 0; step < 1500; step++)
			one_step();
		settle();
		bring_home();
		assert_true(xlat.table_count > xlat.built_count);
		tidy();
		if (round == 3)
			assert_identity();
		xlat.ops->tidy(&xlat); /* nothing to do */
		assert_int_equal(hw.out, xlat.built_count);
	}
	assert_true(hw.hits > 1000);
	for (uint32_t step = 0; step < 300; step++)
		one_step();
	end_machine(); /* with pages displaced, absent, and tables that are not linked */
}

static void test_moves(void **unused)
{
	static const uint32_t bits[] = { 36, 40, 48, 52 };

	(void)unused;
	chance = random_start("moves");
	for (uint32_t i = 0; i < ARRAY_SIZE(bits) * 4; i++)
		run_moves(bits[i / 4], i & 1, i & 2 ? ARRAY_SIZE(odd_boundaries) : 0);
}

/* --- no memory --- */

static uint64_t sum_of_tables(void)
{
	uint64_t sum = 0;

	for (uint32_t slot = 0; slot < TABLES_MAX; slot++)
		for (uint32_t i = 0; hw.table[slot] && i < PAGE_SIZE; i += 8)
			sum = (sum ^ get_u64(hw.table[slot], i)) * 0x100000001b3ull + slot;
	return sum;
}

/* Fails each table_alloc of one prepare() in turn. Returns how many there were. */
static uint32_t fail_prepare(uint64_t address)
{
	for (uint32_t fail_at = 1;; fail_at++) {
		uint64_t before = sum_of_tables();
		uint32_t out = hw.out;
		const void *spare = xlat.spare;

		hw.fail_at = fail_at;
		bool done = xlat.ops->prepare(&xlat, gfn_of_address(address));
		if (done)
			assert_int_equal(hw.fail_at, 1);
		hw.fail_at = 0;
		if (done)
			return fail_at - 1;
		assert_int_equal(sum_of_tables(), before);
		assert_int_equal(hw.out, out);
		assert_int_equal(xlat.table_count, out);
		assert_ptr_equal(xlat.spare, spare);
	}
}

static void test_prepare_without_memory(void **unused)
{
	uint64_t at = GIB(20) + MIB(6) + KIB(8);

	(void)unused;
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		build_machine(40, has_1g, 0);
		assert_int_equal(fail_prepare(APIC), 0);
		assert_int_equal(fail_prepare(PAGE_SIZE), 0);
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		/* Prepared, not used; prepared again, others after it, too. */
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		assert_int_equal(fail_prepare(at + GIB(1)), 1 + has_1g);
		tidy();
		assert_identity();
		assert_int_equal(fail_prepare(at), 1 + has_1g);
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_NONE);
		assert_int_equal(fail_prepare(at), 0);
		assert_int_equal(fail_prepare(at + PAGE_SIZE), 0);
		assert_int_equal(fail_prepare(at + MIB(2)), 1);
		end_machine();
	}
}

/* --- the APIC's page --- */

static void set_apic(enum mem_access access)
{
	uint32_t out = hw.out;

	xlat.ops->set(&xlat, gfn_of_address(APIC), mfn_of_address(APIC), access);
	assert_int_equal(hw.out, out);
}

static void assert_apic(bool writable)
{
	struct found found = walk(APIC);

	assert_true(found.present && found.bytes == PAGE_SIZE && found.frame == APIC);
	assert_int_equal(found.writable, writable);
	assert_get_is_walk(APIC);
	for (uint64_t offset = PAGE_SIZE; offset < MIB(4); offset += PAGE_SIZE) {
		assert_true(walk(APIC + offset).writable);
		assert_true(walk(APIC - offset).writable);
	}
}

/* Needs neither memory nor absence, since its size never changes; what stays in the TLB is the guard's affair. */
static void test_apic(void **unused)
{
	(void)unused;
	chance = random_start("APIC");
	for (uint32_t i = 0; i < 4; i++) {
		build_machine(40, i & 1, i & 2 ? ARRAY_SIZE(odd_boundaries) : 0);
		choose_hot();
		hw.running = true;
		for (uint32_t round = 0; round < 20; round++) {
			set_apic(MEM_ACCESS_READ);
			assert_apic(false);
			access_memory(APIC);
			set_apic(MEM_ACCESS_ALL);
			assert_apic(true);
			flush();
			assert_true(access_memory(APIC).writable);
		}
		assert_int_equal(hw.out, xlat.built_count);
		tidy();
		assert_identity();
		/* Read-only while others move, and across tidy(): on the way to NATIVE the entry stays so. */
		set_apic(MEM_ACCESS_READ);
		hw.running = true;
		for (uint32_t step = 0; step < 300; step++)
			one_step();
		bring_home();
		tidy();
		assert_apic(false);
		end_machine();
	}
}

/* --- the tester --- */

static void assert_found(const char *what)
{
	assert_non_null(hw.fault);
	assert_non_null(strstr(hw.fault, what));
	hw.fault = NULL;
	flush();
}

/* Present without the flush: the CPU must complain where it held the large leaf. */
static void test_no_flush_is_found(void **unused)
{
	uint64_t at = GIB(20) + MIB(6) + KIB(8);

	(void)unused;
	for (uint32_t has_1g = 0; has_1g < 2; has_1g++) {
		build_machine(40, has_1g, 0);
		access_memory(at + PAGE_SIZE);
		assert_true(xlat.ops->prepare(&xlat, gfn_of_address(at)));
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_NONE);
		assert_true(access_memory(at).present); /* stale */
		load_tlb(at);
		assert_no_fault();
		xlat.ops->set(&xlat, gfn_of_address(at), mfn_of_address(at), MEM_ACCESS_ALL);
		load_tlb(at);
		assert_found("break before make");
		end_machine();
	}
}

static void test_foreign_table_is_found(void **unused)
{
	(void)unused;
	build_machine(40, false, 0);
	uint64_t root = xlat.root;
	xlat.root += PAGE_SIZE;
	walk(0);
	xlat.root = root;
	assert_found("a table that is none");
	end_machine();
}

/* The back-end of NATIVE: nothing built, nothing moved, everything at home. */
static void test_native(void **unused)
{
	enum mem_access access;
	mfn_t frame;

	(void)unused;
	prepare_machine(48, true, 0);
	xlat.ops = &xlat_native;
	assert_true(xlat.ops->build(&xlat));
	assert_int_equal(xlat.root, 0);
	assert_false(xlat.ops->prepare(&xlat, gfn(77)));
	xlat.ops->set(&xlat, gfn(77), mfn(78), MEM_ACCESS_NONE);
	xlat.ops->release(&xlat, gfn(77));
	assert_true(xlat.ops->get(&xlat, gfn(77), &frame, &access));
	assert_int_equal(frame.n, 77);
	assert_int_equal(access, MEM_ACCESS_ALL);
	xlat.ops->tidy(&xlat);
	xlat.ops->drop(&xlat);
	assert_int_equal(hw.next, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_table_count),
		cmocka_unit_test(test_build_without_memory),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_prepare_without_memory),
		cmocka_unit_test(test_apic),
		cmocka_unit_test(test_no_flush_is_found),
		cmocka_unit_test(test_foreign_table_is_found),
		cmocka_unit_test(test_native),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
