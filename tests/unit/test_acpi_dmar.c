/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the parser of ACPI's DMAR: several units, scopes, reserved ranges; every kind of broken table is refused with a line; random bytes. */
#include "boot_bytes.h"
#include "hw/acpi_dmar.h"

#define HEAD 48u
#define UNITS_AT 0xfed90000ull

static struct bytes table;
static struct dmar dmar;

/* --- a table, piece by piece --- */

static void begin(uint8_t width)
{
	memset(&table, 0, sizeof(table));
	put(&table, "DMAR", 4);
	table.used = HEAD;
	table.at[36] = width;
}

/* Where the structure begins. */
static uint32_t unit(uint8_t flags, uint16_t segment, uint64_t registers)
{
	uint32_t at = table.used;

	put_u16(&table, 0);
	put_u16(&table, 16);
	put_u8(&table, flags);
	put_u8(&table, 0);
	put_u16(&table, segment);
	put_u64(&table, registers);
	return at;
}

static uint32_t reserved(uint64_t start, uint64_t last)
{
	uint32_t at = table.used;

	put_u16(&table, 1);
	put_u16(&table, 24);
	put_u16(&table, 0);
	put_u16(&table, 0);
	put_u64(&table, start);
	put_u64(&table, last);
	return at;
}

static uint32_t other(uint16_t type, uint16_t bytes)
{
	uint32_t at = table.used;

	put_u16(&table, type);
	put_u16(&table, bytes);
	for (uint32_t i = 4; i < bytes; i++)
		put_u8(&table, 0xff);
	return at;
}

/* Belongs to the structure at `owner`; a path of `hops` pairs, 1.2 3.4 ... */
static uint32_t scope(uint32_t owner, uint8_t type, uint8_t bus, uint8_t hops)
{
	uint32_t at = table.used;

	put_u8(&table, type);
	put_u8(&table, (uint8_t)(6 + 2 * hops));
	put_u16(&table, 0);
	put_u8(&table, 0);
	put_u8(&table, bus);
	for (uint8_t i = 0; i < hops; i++) {
		put_u8(&table, (uint8_t)(2 * i + 1));
		put_u8(&table, (uint8_t)(2 * i + 2));
	}
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
	const char *why = acpi_dmar_parse(copy, bytes, &dmar);
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

/* --- good ones --- */

static void test_units(void **unused)
{
	(void)unused;
	begin(38);
	for (uint32_t i = 0; i < DMAR_UNITS_MAX; i++)
		unit(i + 1 == DMAR_UNITS_MAX, 0, UNITS_AT + i * PAGE_SIZE);
	accept();
	assert_int_equal(dmar.address_bits, 39);
	assert_int_equal(dmar.unit_count, DMAR_UNITS_MAX);
	assert_int_equal(dmar.unit[3].registers, UNITS_AT + 3 * PAGE_SIZE);
	assert_int_equal(dmar.unit[3].bytes, PAGE_SIZE);
	assert_true(dmar.covers_all);
	assert_int_equal(dmar.scope_count + dmar.reserved_count, 0);
	unit(0, 0, UNITS_AT - PAGE_SIZE);
	refuse("more units");
}

static void test_register_pages(void **unused)
{
	(void)unused;
	begin(47);
	table.at[unit(1, 0, UNITS_AT) + 5] = 2;
	accept();
	assert_int_equal(dmar.unit[0].bytes, 4 * PAGE_SIZE);
}

/* Endpoints and bridges are kept, with their way; others are no functions that read or write memory. */
static void test_scopes(void **unused)
{
	(void)unused;
	begin(47);
	uint32_t first = unit(0, 0, UNITS_AT);
	scope(first, 1, 0, 1);
	scope(first, 3, 0xff, 1);
	scope(first, 4, 0xff, 1);
	scope(first, 2, 0x40, 3);
	uint32_t second = unit(0, 0, UNITS_AT + PAGE_SIZE);
	scope(second, 1, 7, DMAR_HOPS_MAX);
	accept();
	assert_false(dmar.covers_all);
	assert_int_equal(dmar.scope_count, 3);
	assert_false(dmar.scope[0].all_below);
	assert_int_equal(dmar.scope[0].hops, 1);
	assert_int_equal(dmar.scope[0].function[0], 1 << 3 | 2);
	assert_true(dmar.scope[1].all_below);
	assert_int_equal(dmar.scope[1].bus, 0x40);
	assert_int_equal(dmar.scope[1].hops, 3);
	assert_int_equal(dmar.scope[1].function[2], 5 << 3 | 6);
	assert_int_equal(dmar.scope[2].bus, 7);
	scope(second, 1, 0, DMAR_HOPS_MAX + 1);
	refuse("device scopes");
}

static void test_many_scopes(void **unused)
{
	(void)unused;
	begin(47);
	uint32_t at = unit(0, 0, UNITS_AT);
	for (uint32_t i = 0; i < DMAR_SCOPES_MAX; i++)
		scope(at, 1, (uint8_t)i, 1);
	accept();
	assert_int_equal(dmar.scope_count, DMAR_SCOPES_MAX);
	scope(at, 1, 0, 1);
	refuse("device scopes");
}

static void test_reserved(void **unused)
{
	(void)unused;
	begin(47);
	unit(1, 0, UNITS_AT);
	scope(reserved(0x7b800000, 0x7fffffff), 1, 0, 1);
	reserved(0xe0000, 0xeffff);
	accept();
	assert_int_equal(dmar.reserved_count, 2);
	assert_int_equal(dmar.reserved[0].start, 0x7b800000);
	assert_int_equal(dmar.reserved[0].end, 0x80000000);
	assert_int_equal(dmar.reserved[1].end, 0xf0000);
}

/* ATSR, RHSA, ANDD, SATC, and kinds that nobody knows yet. */
static void test_others(void **unused)
{
	(void)unused;
	begin(47);
	for (uint16_t type = 2; type < 9; type++)
		other(type, (uint16_t)(type == 2 ? 4 : 4 * type));
	unit(1, 0, UNITS_AT);
	accept();
	assert_int_equal(dmar.unit_count, 1);
}

/* --- broken ones --- */

static void test_head(void **unused)
{
	(void)unused;
	begin(47);
	refuse("no unit");
	unit(1, 0, UNITS_AT);
	accept();
	table.at[40]++;
	assert_line(parse(table.used), "checksum");
	table.at[40]--;
	for (uint32_t bytes = 0; bytes < HEAD; bytes++)
		assert_line(parse(bytes), "too short");
}

static void test_lengths(void **unused)
{
	static const uint16_t wrong[] = { 0, 3, 15, 17, 23, 25, 0xffff };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin(47);
		uint32_t at = unit(1, 0, UNITS_AT);
		scope(at, 1, 0, 1);
		set_u16(table.at + at + 2, wrong[i]);
		refuse("ACPI DMAR: ");
	}
	begin(47);
	uint32_t at = reserved(0, PAGE_MASK);
	set_u16(table.at + at + 2, 20);
	table.used = at + 20;
	refuse("reserved range's structure");
	begin(47);
	other(5, 8);
	table.used -= 1;
	refuse("past the table's end");
	table.used -= 4;
	refuse("past the table's end");
}

static void test_scope_lengths(void **unused)
{
	static const uint8_t wrong[] = { 0, 5, 6, 7, 9, 10, 0xff };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin(47);
		uint32_t at = scope(unit(1, 0, UNITS_AT), 1, 0, 1);
		table.at[at + 1] = wrong[i];
		refuse("unit's structure");
		begin(47);
		unit(1, 0, UNITS_AT);
		at = scope(reserved(0, PAGE_MASK), 1, 0, 1);
		table.at[at + 1] = wrong[i];
		refuse("reserved range's structure");
	}
}

static void test_values(void **unused)
{
	static const uint64_t ranges[][2] = {
		{ 0x1001, 0x1fff }, { 0x1000, 0x1ffe }, { 0x1000, 0x2000 }, { 0x2000, 0x1fff }, { 0, UINT64_MAX }, { 0x1000, 0 }
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		begin(47);
		unit(1, 0, UNITS_AT);
		reserved(ranges[i][0], ranges[i][1]);
		refuse("whole pages");
	}
	begin(47);
	unit(1, 0, 0);
	refuse("begin at a page");
	begin(47);
	unit(1, 0, UNITS_AT + 8);
	refuse("begin at a page");
	begin(47);
	unit(0, 0, UNITS_AT);
	unit(1, 0, UNITS_AT);
	refuse("same registers");
	begin(47);
	unit(1, 0, UNITS_AT);
	unit(0, 1, UNITS_AT + PAGE_SIZE);
	refuse("segment other than 0");
	begin(47);
	unit(1, 0, UNITS_AT);
	for (uint32_t i = 0; i <= DMAR_RESERVED_MAX; i++)
		reserved(i * PAGE_SIZE, (i + 1) * PAGE_SIZE - 1);
	refuse("more reserved ranges");
}

/* Whatever bytes there are: no read outside, and what is accepted is within its bounds. */
static void test_random(void **unused)
{
	struct random random = random_start("random");
	uint32_t accepted = 0;

	(void)unused;
	for (uint32_t i = 0; i < 20000; i++) {
		begin(47);
		uint32_t at = unit(1, 0, UNITS_AT);
		scope(at, 1, 0, 1);
		scope(reserved(0x1000, 0x2fff), 1, 0, 2);
		for (uint64_t n = random_below(&random, 3); n > 0; n--)
			table.at[HEAD + random_below(&random, table.used - HEAD)] = (uint8_t)random_next(&random);
		table.used -= random_below(&random, 4) ? 0 : (uint32_t)random_below(&random, table.used - HEAD);
		mend();
		const char *why = parse(table.used);
		if (why)
			assert_line(why, "ACPI DMAR: ");
		accepted += !why;
		assert_true(dmar.unit_count <= DMAR_UNITS_MAX && dmar.scope_count <= DMAR_SCOPES_MAX);
	}
	assert_true(accepted > 1000 && accepted < 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),	  cmocka_unit_test(test_register_pages), cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_many_scopes), cmocka_unit_test(test_reserved),	 cmocka_unit_test(test_others),
		cmocka_unit_test(test_head),	  cmocka_unit_test(test_lengths),	 cmocka_unit_test(test_scope_lengths),
		cmocka_unit_test(test_values),	  cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
