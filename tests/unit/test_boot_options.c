/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests Scrim's boot options: defaults, each option, and that what is not understood is refused by name. */
#include "boot_bytes.h"
#include "boot/boot_options.h"

static struct boot_options options;
static char line[200];

static void accept(const char *text)
{
	assert_no_line(boot_options_parse(text, &options, line, sizeof(line)));
}

static void refuse(const char *text, const char *part)
{
	const char *given = boot_options_parse(text, &options, line, sizeof(line));

	assert_line(given, part);
	assert_line(given, "Boot option '");
}

static void test_defaults(void **unused)
{
	const char *const texts[] = { "", " ", "\t \n" };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		memset(&options, 0xff, sizeof(options));
		accept(texts[i]);
		assert_int_equal(options.reserve_bytes, MIB(4));
		assert_int_equal(options.trace_bytes, KIB(64));
		assert_false(options.map_late);
		assert_false(options.dma_free_all);
		assert_int_equal(options.dma_free.count, 0);
		assert_true(options.console_serial);
		assert_true(options.console_screen);
	}
}

static void test_reserve(void **unused)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "reserve=0", 0 },
		{ "reserve=4096", 4096 },
		{ "reserve=64K", KIB(64) },
		{ "reserve=16M", MIB(16) },
		{ "reserve=16m", MIB(16) },
		{ "reserve=2G", GIB(2) },
		{ "reserve=0x200000", MIB(2) },
		{ "reserve=0X2M", MIB(2) },
		{ "reserve=8M reserve=4K", KIB(4) },
		{ "reserve=4194304G", 1ull << 52 },
	};
	static const char *const bad[] = {
		"reserve=", "reserve=K", "reserve=4095", "reserve=1", "reserve=-4096", "reserve=4 096", "reserve=0x",
		"reserve=4MB", "reserve=4T", "reserve=4194305G", "reserve=18446744073709551616", "reserve=0xg000",
		"reserve=99999999999999999999999999999999", "reserve=4096,", "reserve==4096", "reserve=1e3", "reserve=0a",
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		accept(good[i].text);
		assert_int_equal(options.reserve_bytes, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i], "whole pages");
}

static void test_trace(void **unused)
{
	static const char *const bad[] = { "trace=", "trace=on", "trace=100", "trace=32M" };

	(void)unused;
	accept("trace=0");
	assert_int_equal(options.trace_bytes, 0);
	accept("trace=16M");
	assert_int_equal(options.trace_bytes, MIB(16));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i], "write for example trace=64K");
}

static void test_map(void **unused)
{
	(void)unused;
	accept("map=late");
	assert_true(options.map_late);
	accept("map=late map=boot");
	assert_false(options.map_late);
	refuse("map=", "map=boot or map=late");
	refuse("map=lat", "map=boot or map=late");
	refuse("map=later", "map=boot or map=late");
	refuse("map", "needs a value");
}

static void test_console(void **unused)
{
	static const char *const words[] = { "none", "serial", "vga", "both" };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(words); i++) {
		char text[32];

		snprintf(text, sizeof(text), " console=%s ", words[i]);
		accept(text);
		assert_int_equal(options.console_serial, i & 1);
		assert_int_equal(options.console_screen, i >> 1);
	}
	refuse("console=ttyS0", "no such console");
	refuse("console=", "no such console");
}

static void test_dma_free(void **unused)
{
	static const char *const bad[] = {
		"dma-free=", "dma-free=1G", "dma-free=-", "dma-free=1G-", "dma-free=-1G", "dma-free=1G-2G,",
		"dma-free=,1G-2G", "dma-free=1G-2G,,3G-4G", "dma-free=1G-2G-3G", "dma-free=1-2", "dma-free=4096-5000",
		"dma-free=ALL",
	};

	(void)unused;
	accept("dma-free=all");
	assert_true(options.dma_free_all);
	assert_int_equal(options.dma_free.count, 0);
	accept("dma-free=0x40000000-0x50000000,3G-4G dma-free=1M-2M");
	assert_false(options.dma_free_all);
	assert_int_equal(options.dma_free.count, 3);
	assert_int_equal(options.dma_free.entry[0].start, MIB(1));
	assert_int_equal(options.dma_free.entry[0].end, MIB(2));
	assert_int_equal(options.dma_free.entry[1].start, GIB(1));
	assert_int_equal(options.dma_free.entry[1].end, 0x50000000);
	assert_int_equal(options.dma_free.entry[2].end, GIB(4));
	accept("dma-free=1G-2G,0-4096,2G-3G"); /* neighbours are joined */
	assert_int_equal(options.dma_free.count, 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i], "dma-free=");
	refuse("dma-free=2G-2G", "empty");
	refuse("dma-free=2G-1G", "empty");
	refuse("dma-free=1G-2G,1G-2G", "overlap");
	refuse("dma-free=1G-3G dma-free=2G-4G", "overlap");
}

static void test_dma_free_many(void **unused)
{
	static char text[16384];

	(void)unused;
	for (uint32_t count = RANGES_MAX; count <= RANGES_MAX + 1; count++) {
		size_t used = (size_t)snprintf(text, sizeof(text), "dma-free=");

		for (uint32_t i = 0; i < count; i++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%uK-%uK", i ? "," : "", i * 8,
						 i * 8 + 4);
		if (count == RANGES_MAX)
			accept(text);
		else
			refuse(text, "more than 256");
	}
}

static void test_unknown(void **unused)
{
	static char text[5000];

	(void)unused;
	refuse("quiet", "'quiet'");
	refuse("reserve=4M quiet=1 map=late", "'quiet=1'");
	refuse("=4M", "no such option");
	refuse("reserv=4M", "no such option");
	refuse("reserves=4M", "no such option");
	refuse("a\x01 ", "'a?': ");
	memset(text, 'z', sizeof(text) - 1);
	refuse(text, "zzz...'");
}

static void test_small_line(void **unused)
{
	(void)unused;
	for (size_t size = 1; size < 60; size++) {
		memset(line, 'x', sizeof(line));
		assert_ptr_equal(boot_options_parse("quiet", &options, line, size), line);
		assert_true(strlen(line) < size);
		assert_int_equal(line[size], 'x');
	}
}

/* Numbers and ranges that are written out are read back. */
static void test_random(void **unused)
{
	struct random random = random_start("boot options");

	(void)unused;
	for (uint32_t round = 0; round < 5000; round++) {
		uint64_t start = random_below(&random, 1ull << 39) << PAGE_SHIFT;
		uint64_t end = start + ((1 + random_below(&random, 1ull << 39)) << PAGE_SHIFT);
		uint32_t shift = 10 * (uint32_t)random_below(&random, 3);
		uint64_t size = random_below(&random, 1ull << (52 - 12 - shift)) << 12;
		char text[200];

		snprintf(text, sizeof(text), round & 1 ? "dma-free=0x%" PRIx64 "-%" PRIu64 " reserve=%" PRIu64 "%c"
						       : "dma-free=%" PRIu64 "-%" PRIu64 " reserve=%" PRIu64 "%c",
			 start, end, size, shift == 0 ? ' ' : shift == 10 ? 'K' : 'M');
		accept(text);
		assert_int_equal(options.dma_free.entry[0].start, start);
		assert_int_equal(options.dma_free.entry[0].end, end);
		assert_int_equal(options.reserve_bytes, size << shift);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_reserve),	     cmocka_unit_test(test_map),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_console),		cmocka_unit_test(test_dma_free),     cmocka_unit_test(test_dma_free_many),
		cmocka_unit_test(test_unknown),		cmocka_unit_test(test_small_line),   cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
