/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the parser of ACPI's IVRS: several units in several blocks, device entries, memory that must not move; every kind of broken table is refused with a line; random bytes. */
#include "boot_bytes.h"
#include "hw/acpi_ivrs.h"

#define HEAD 48u
#define UNITS_AT 0xfd200000ull
#define STRIDE 0x80000ull

static struct bytes table;
static struct ivrs ivrs;

/* --- a table, piece by piece --- */

static void begin(uint32_t info)
{
	memset(&table, 0, sizeof(table));
	put(&table, "IVRS", 4);
	table.used = HEAD;
	set_u32(table.at + 36, info);
}

/* Where the block begins. */
static uint32_t unit(uint8_t type, uint8_t flags, uint16_t segment, uint64_t registers)
{
	uint32_t at = table.used;

	put_u8(&table, type);
	put_u8(&table, flags);
	put_u16(&table, type == 0x10 ? 24 : 40);
	put_u16(&table, 2);    /* 00:00.2 */
	put_u16(&table, 0x40); /* its capability block */
	put_u64(&table, registers);
	put_u16(&table, segment);
	for (uint32_t i = 18; i < (type == 0x10 ? 24u : 40u); i++)
		put_u8(&table, 0xff);
	return at;
}

static uint32_t memory(uint8_t type, uint64_t start, uint64_t bytes)
{
	uint32_t at = table.used;

	put_u8(&table, type);
	put_u8(&table, 7);
	put_u16(&table, 32);
	put_u16(&table, 0);
	put_u16(&table, 0);
	put_u64(&table, 0);
	put_u64(&table, start);
	put_u64(&table, bytes);
	return at;
}

/* Belongs to the last unit, at `owner`; `bytes` in all. */
static uint32_t entry(uint32_t owner, uint8_t type, uint16_t device, uint32_t bytes)
{
	uint32_t at = table.used;

	put_u8(&table, type);
	put_u16(&table, device);
	for (uint32_t i = 3; i < bytes; i++)
		put_u8(&table, 0xee);
	set_u16(table.at + owner + 2, (uint16_t)(table.used - owner));
	return at;
}

static void mend(void)
{
	uint8_t sum = 0;

	set_u32(table.at + 4, table.used);
	table.at[9] = 0;
	for (uint32_t i = 0; i < table.used; i++)
		sum = (uint8_t)(sum + table.at[i]);
	table.at[9] = (uint8_t)-sum;
}

/* In memory that ends where the table does: the sanitizer finds a read behind it. */
static const char *parse(uint32_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);

	memcpy(copy, table.at, bytes);
	const char *why = acpi_ivrs_parse(copy, bytes, &ivrs);
	free(copy);
	return why;
}

static void accept(void)
{
	mend();
	assert_no_line(parse(table.used));
}

static void refuse(const char *part)
{
	mend();
	assert_line(parse(table.used), part);
}

/* Exactly [first, last] of all device ids. */
static void assert_behind(uint32_t first, uint32_t last)
{
	for (uint32_t device = 0; device < IVRS_DEVICES; device++)
		if (ivrs_is_behind(&ivrs, device) != (device >= first && device <= last))
			fail_msg("device %x", device);
}

/* --- good ones --- */

static void test_units(void **unused)
{
	(void)unused;
	begin(0x00203043);
	for (uint32_t i = 0; i < IVRS_UNITS_MAX; i++)
		entry(unit(0x10, 0x20, 0, UNITS_AT + i * STRIDE), 2, (uint16_t)(0x100 + i), 4);
	accept();
	assert_int_equal(ivrs.address_bits, 48);
	assert_int_equal(ivrs.unit_count, IVRS_UNITS_MAX);
	assert_int_equal(ivrs.unit[3].registers, UNITS_AT + 3 * STRIDE);
	assert_int_equal(ivrs.unit[3].function, 2);
	assert_int_equal(ivrs.unit[3].capability, 0x40);
	assert_int_equal(ivrs.unit[3].flags, IVRS_COHERENT);
	assert_behind(0x100, 0x100 + IVRS_UNITS_MAX - 1);
	unit(0x10, 0, 0, UNITS_AT - STRIDE);
	refuse("more units");
}

/* One unit, told of three times: the highest type has the say, devices add up. */
static void test_types(void **unused)
{
	(void)unused;
	begin(0);
	entry(unit(0x40, 0x05, 0, UNITS_AT), 2, 0x11, 4);
	entry(unit(0x10, 0xff, 0, UNITS_AT), 2, 0x10, 4);
	entry(unit(0x11, 0x0a, 0, UNITS_AT), 2, 0x12, 4);
	accept();
	assert_int_equal(ivrs.address_bits, 64);
	assert_int_equal(ivrs.unit_count, 1);
	assert_int_equal(ivrs.unit[0].type, 0x40);
	assert_int_equal(ivrs.unit[0].flags, 0x05);
	assert_behind(0x10, 0x12);
}

/* Every kind of device entry: one, ranges, aliases, extended, the IOAPIC's, a named device, padding. */
static void test_entries(void **unused)
{
	(void)unused;
	begin(40u << 8);
	uint32_t at = unit(0x40, 0, 0, UNITS_AT);
	entry(at, 0, 0xffff, 4);
	entry(at, 2, 0x200, 4);
	entry(at, 66, 0x201, 8);
	entry(at, 70, 0x202, 8);
	entry(at, 3, 0x203, 4);
	entry(at, 4, 0x2ff, 4);
	entry(at, 67, 0x300, 8);
	entry(at, 4, 0x300, 4);
	entry(at, 71, 0x301, 8);
	entry(at, 4, 0x302, 4);
	entry(at, 72, 0xffff, 8);
	entry(at, 130, 0xffff, 16);
	entry(at, 200, 0xffff, 32);
	table.at[entry(at, 240, 0x303, 22 + 5) + 21] = 5;
	accept();
	assert_int_equal(ivrs.address_bits, 40);
	assert_behind(0x200, 0x303);
}

static void test_all(void **unused)
{
	(void)unused;
	begin(0);
	entry(unit(0x11, 0, 0, UNITS_AT), 1, 0, 4);
	accept();
	assert_behind(0, 0xffff);
}

/* Ids of another segment are others' ids. */
static void test_segments(void **unused)
{
	(void)unused;
	begin(0);
	entry(unit(0x11, 0, 0, UNITS_AT), 2, 7, 4);
	entry(unit(0x11, 0, 1, UNITS_AT + STRIDE), 1, 0, 4);
	accept();
	assert_int_equal(ivrs.unit_count, 2);
	assert_int_equal(ivrs.unit[1].segment, 1);
	assert_behind(7, 7);
	unit(0x40, 0, 1, UNITS_AT);
	refuse("same registers");
}

static void test_memory(void **unused)
{
	(void)unused;
	begin(0);
	unit(0x10, 0, 0, UNITS_AT);
	memory(0x20, 0x7b800000, 0x800000);
	memory(0x21, 0xe0010, 0xffe0);
	memory(0x22, (1ull << 52) - PAGE_SIZE, PAGE_SIZE);
	accept();
	assert_int_equal(ivrs.reserved_count, 3);
	assert_int_equal(ivrs.reserved[0].start, 0x7b800000);
	assert_int_equal(ivrs.reserved[0].end, 0x7c000000);
	assert_int_equal(ivrs.reserved[1].start, 0xe0000);
	assert_int_equal(ivrs.reserved[1].end, 0xf0000);
	assert_int_equal(ivrs.reserved[2].end, 1ull << 52);
}

static void test_address_bits(void **unused)
{
	(void)unused;
	begin(48u << 8 | 40u << 15);
	unit(0x10, 0, 0, UNITS_AT);
	accept();
	assert_int_equal(ivrs.address_bits, 40);
}

/* --- broken ones --- */

static void test_head(void **unused)
{
	(void)unused;
	begin(0);
	refuse("no unit");
	memory(0x20, 0, PAGE_SIZE);
	refuse("no unit");
	unit(0x10, 0, 0, UNITS_AT);
	accept();
	table.at[40]++;
	assert_line(parse(table.used), "checksum");
	table.at[40]--;
	for (uint32_t bytes = 0; bytes < HEAD; bytes++)
		assert_line(parse(bytes), "too short");
}

static void test_lengths(void **unused)
{
	static const uint16_t wrong[] = { 0, 3, 4, 23, 25, 39, 41, 0xffff };
	static const uint8_t types[] = { 0x10, 0x11, 0x40 };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++)
		for (uint32_t j = 0; j < ARRAY_SIZE(types); j++) {
			begin(0);
			uint32_t at = unit(types[j], 0, 0, UNITS_AT);
			entry(at, 2, 0, 4);
			set_u16(table.at + at + 2, wrong[i]);
			refuse("ACPI IVRS: ");
		}
	begin(0);
	uint32_t at = memory(0x20, 0, PAGE_SIZE);
	set_u16(table.at + at + 2, 28);
	table.used = at + 28;
	refuse("memory block is broken");
	begin(0);
	memory(0x99, 0, 0);
	table.used -= 1;
	refuse("past the table's end");
	table.used -= 28;
	refuse("past the table's end");
}

/* A range without a beginning, without an end, backwards, or with another beginning in it; unknown lengths; too long. */
static void test_entries_broken(void **unused)
{
	static const struct {
		uint8_t type[3];
		uint16_t device[3];
	} wrong[] = {
		{ { 4, 2, 2 }, { 1, 1, 1 } },	 { { 2, 2, 3 }, { 1, 1, 1 } },	 { { 3, 4, 2 }, { 2, 1, 1 } },
		{ { 3, 3, 4 }, { 1, 2, 3 } },	 { { 3, 2, 4 }, { 1, 2, 3 } },	 { { 3, 1, 4 }, { 1, 2, 3 } },
		{ { 2, 2, 241 }, { 1, 1, 1 } },	 { { 2, 2, 255 }, { 1, 1, 1 } }, { { 2, 2, 66 }, { 1, 1, 1 } },
		{ { 2, 2, 240 }, { 1, 1, 1 } },
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++)
		for (uint16_t segment = 0; segment < 2; segment++) {
			begin(0);
			uint32_t at = unit(0x11, 0, segment, UNITS_AT);
			for (uint32_t j = 0; j < 3; j++)
				entry(at, wrong[i].type[j], wrong[i].device[j], 4);
			refuse("device entries");
		}
	for (uint32_t length = 6; length < 256; length += 249) {
		begin(0);
		table.at[entry(unit(0x40, 0, 0, UNITS_AT), 240, 1, 27) + 21] = (uint8_t)length;
		refuse("device entries");
	}
}

static void test_values(void **unused)
{
	static const uint64_t registers[] = { 0, UNITS_AT + 8, 1ull << 52, 0xfffffffffffff000ull };
	static const uint64_t ranges[][2] = { { 0x1000, 0 }, { 0x1000, UINT64_MAX }, { UINT64_MAX, 1 }, { 1ull << 52, 1 }, { (1ull << 52) - 1, 2 } };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(registers); i++) {
		begin(0);
		unit(0x10, 0, 0, registers[i]);
		refuse("begin at a page");
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		begin(0);
		unit(0x10, 0, 0, UNITS_AT);
		memory(0x21, ranges[i][0], ranges[i][1]);
		refuse("memory block is empty");
	}
	begin(0);
	unit(0x10, 0, 0, UNITS_AT);
	for (uint32_t i = 0; i <= IVRS_RESERVED_MAX; i++)
		memory(0x20, i * PAGE_SIZE, PAGE_SIZE);
	refuse("more memory blocks");
}

/* Whatever bytes there are: no read outside, and what is accepted is within its bounds. */
static void test_random(void **unused)
{
	struct random random = random_start("random");
	uint32_t accepted = 0;

	(void)unused;
	for (uint32_t i = 0; i < 20000; i++) {
		begin(0x00203043);
		uint32_t at = unit(0x40, 0, 0, UNITS_AT);
		entry(at, 3, 3, 4);
		entry(at, 4, 0xfffe, 4);
		table.at[entry(at, 240, 1, 26) + 21] = 4;
		memory(0x21, 0x1000, 0x2000);
		for (uint64_t n = random_below(&random, 3); n > 0; n--)
			table.at[HEAD + random_below(&random, table.used - HEAD)] = (uint8_t)random_next(&random);
		table.used -= random_below(&random, 4) ? 0 : (uint32_t)random_below(&random, table.used - HEAD);
		mend();
		const char *why = parse(table.used);
		if (why)
			assert_line(why, "ACPI IVRS: ");
		accepted += !why;
		assert_true(ivrs.unit_count <= IVRS_UNITS_MAX && ivrs.reserved_count <= IVRS_RESERVED_MAX);
		for (uint32_t j = 0; j < ivrs.reserved_count; j++)
			assert_true(ivrs.reserved[j].start < ivrs.reserved[j].end);
	}
	assert_true(accepted > 1000 && accepted < 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),	cmocka_unit_test(test_types),	cmocka_unit_test(test_entries),
		cmocka_unit_test(test_all),	cmocka_unit_test(test_segments), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_address_bits), cmocka_unit_test(test_head), cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_entries_broken), cmocka_unit_test(test_values), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
