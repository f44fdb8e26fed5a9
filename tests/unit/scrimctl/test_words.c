/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsers, words, the command line, and nobody to ask. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "fraction.h"
#include "harness.h"
#include "names.h"
#include "number.h"
#include "text.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "0x0", 0 },
		{ "4096", 4096 },
		{ "0x40000000", 0x40000000 },
		{ "0XfFf", 0xfff },
		{ "1K", 1024 },
		{ "0x10k", 16384 },
		{ "3M", 3145728 },
		{ "2g", 2147483648 },
		{ "1T", 1099511627776 },
		{ "007", 7 },
		{ "18446744073709551615", UINT64_MAX },
		{ "0xffffffffffffffff", UINT64_MAX },
		{ "16777215T", 16777215ull << 40 },
	};
	static const char *const bad[] = { "",
					   "x",
					   "0x",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "1KK",
					   "1Q",
					   "1KB",
					   "K",
					   "0x1z",
					   "12a",
					   "1.5G",
					   "0x0x1",
					   "18446744073709551616",
					   "0x10000000000000000",
					   "16777216T" };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(number_parse(good[i].text, &value));
		assert_int_equal(value, good[i].value);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (number_parse(bad[i], &value))
			fail_msg("\"%s\" was taken for a number", bad[i]);
}

static void test_cpu_lists(void **state)
{
	static const char *const bad[] = { "a",    "1-",  "-1",         "3-1",     "1,", ",1",
					   "1,,2", "1 2", "0-99999999", "1048576", "0x1" };
	struct cpu_list list = { 0 };
	unsigned count = 0;

	(void)state;
	assert_true(cpu_list_parse("0-2,5,1024,4000-4001\n", &list));
	for (unsigned cpu = cpu_list_next(&list, 0); cpu < CPU_LIST_LIMIT; cpu = cpu_list_next(&list, cpu + 1))
		count++;
	assert_int_equal(count, 7);
	assert_true(cpu_list_has(&list, 1024) && cpu_list_has(&list, 4001));
	assert_false(cpu_list_has(&list, 3) || cpu_list_has(&list, 4002) || cpu_list_has(&list, CPU_LIST_LIMIT));
	cpu_list_free(&list);
	assert_true(cpu_list_parse("\n", &list));
	assert_int_equal(cpu_list_next(&list, 0), CPU_LIST_LIMIT);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(cpu_list_parse(bad[i], &list));
		assert_null(list.words);
	}
	assert_false(cpu_list_add(&list, CPU_LIST_LIMIT));
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },           { 1023, "1023 B" },        { 1024, "1.0 KiB" },        { 1048575, "1.0 MiB" },
		{ 4194304, "4.0 MiB" }, { 1610612736, "1.5 GiB" }, { UINT64_MAX, "16.0 EiB" },
	};
	char text[TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(text_bytes(text, cases[i].bytes), cases[i].text);
}

static void test_durations(void **state)
{
	char text[TEXT_DURATION];

	(void)state;
	assert_string_equal(text_duration(text, 999), "999 us");
	assert_string_equal(text_duration(text, 12500), "12.5 ms");
	assert_string_equal(text_duration(text, 400000), "0.4 s");
	assert_string_equal(text_duration(text, 61000000), "61.0 s");
}

static void test_fractions(void **state)
{
	static const struct {
		const char *text;
		uint32_t parts;
	} good[] = {
		{ "1", 65536 },	     { "100%", 65536 }, { "1/1", 65536 },      { "0.25", 16384 },
		{ ".25", 16384 },    { "25%", 16384 },	{ "1/4", 16384 },      { "0.000001", 1 },
		{ "12.5%", 8192 },   { "3/4", 49152 },	{ "0.1/0.2", 32768 },
	};
	uint32_t parts;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(fraction_parse(good[i].text, 65536, &parts));
		assert_int_equal(parts, good[i].parts);
	}
	assert_false(fraction_parse("", 65536, &parts));
}

static void test_ranges(void **state)
{
	struct range_list list = { 0 };
	struct range range;

	(void)state;
	assert_true(range_parse("0x1000-2M", &range));
	assert_int_equal(range.start, 0x1000);
	assert_int_equal(range.end, 0x200000);
	assert_false(range_parse("0x0000000000000000000000000000000000000000000000000000000000000001-2", &range));
	assert_true(ranges_add(&list, (struct range){ 20, 30 }) && ranges_add(&list, (struct range){ 10, 20 }));
	assert_true(ranges_cover(&list, &(struct range){ 12, 30 }));
	assert_false(ranges_cover(&list, &(struct range){ 12, 31 }));
	assert_int_equal(ranges_end_of_cover(&list, 10), 30);
	assert_int_equal(ranges_end_of_cover(&list, 9), 9);
	assert_int_equal(ranges_common_bytes(&list, &(struct range){ 15, 40 }), 15);
	ranges_keep_overlapping(&list, &(struct range_list){ &(struct range){ 0, 11 }, 1 });
	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].start, 10);
	ranges_free(&list);
}

static void test_unknown_numbers_have_a_word(void **state)
{
	(void)state;
	assert_string_equal(name_of_state(SCRIM_STATE_COUNT), "unknown");
	assert_string_equal(name_of_exit(UINT64_MAX), "unknown");
	assert_string_equal(name_of_vendor(2), "unknown");
	assert_string_equal(name_of_backend(4), "unknown");
	assert_string_equal(meaning_of_violation(SCRIM_VIOLATION_COUNT), "unknown");
}

static void test_help_and_version(void **state)
{
	static const char *const verbs[] = { "status", "virtualize", "devirtualize", "move",
					     "scatter", "share", "lend", "check" };
	char line[64];

	(void)state;
	assert_done("--help");
	for (size_t i = 0; i < COUNT(verbs); i++)
		assert_non_null(strstr(out, verbs[i]));
	assert_done("-h");
	assert_done("--version");
	assert_non_null(strstr(out, "ABI 3"));
	for (size_t i = 0; i < COUNT(verbs); i++) {
		snprintf(line, sizeof(line), "%s --help", verbs[i]);
		assert_done(line);
		assert_non_null(strstr(out, "Example: "));
	}
	assert_int_equal(fake->requests, 0);
}

static void test_usage(void **state)
{
	static const char *const lines[] = {
		"",
		"lend",
		"lend 1G 2G",
		"lend much",
		"lend --json 1G",
		"crash 0x1000",
		"status now",
		"status --jsonx",
		"status --json=1",
		"virtualize x",
		"virtualize --backend",
		"virtualize --backend fast",
		"virtualize --range",
		"virtualize --range 1G",
		"virtualize --range 2G-1G",
		"virtualize --range 1G-1G",
		"virtualize --range=1G-",
		"virtualize --range 1G-2G-3G",
		"devirtualize --range 1G-zz",
		"devirtualize --paused --concurrent",
		"devirtualize --force",
		"devirtualize --abort --paused",
		"devirtualize --abort --range 1G-2G",
		"devirtualize --abort --jobs 2",
		"devirtualize --remap fast",
		"devirtualize --reverse none",
		"devirtualize --batch 0",
		"devirtualize --batch 257",
		"devirtualize --jobs 0",
		"devirtualize --jobs 65",
		"scatter now",
		"scatter --range 1G-2G --range 3G-4G",
		"scatter --seed x",
		"scatter --fraction 0",
		"scatter --fraction 25",
		"scatter --fraction 2/1",
		"scatter --fraction 1/0",
		"scatter --fraction 0/0",
		"scatter --fraction 1/2/3",
		"scatter --fraction 5%%",
		"scatter --fraction .",
		"scatter --batch 1",
		"share --batch 257",
		"share --batch x",
		"share --seed 1",
		"share --range 1G-2G --range 3G-4G",
		"move",
		"move --json",
		"move 0x1000 zz",
		"move -1",
		"move -- -1",
		"check 1",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_usage(lines[i]);
}

static void test_backends(void **state)
{
	(void)state;
	fake->no_shadow = true;
	assert_refused("virtualize --backend shadow", "shadow=");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake->no_shadow = false;
	assert_done("virtualize --backend shadow");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake->backend, SCRIM_BACKEND_SHADOW);
	assert_done("virtualize --backend=vtlb");
	for (unsigned i = 0; i < fake->cpu_count; i++)
		assert_true(fake->cpus[i].mode != SCRIM_CPU_TRANSLATING || fake->cpus[i].backend == SCRIM_BACKEND_VTLB);
	assert_done("virtualize"); /* none is named: none is changed */
	assert_int_equal(fake->backend, SCRIM_BACKEND_VTLB);
	fake->no_shadow = true;
	assert_refused("virtualize --backend shadow", "shadow=");
	assert_int_equal(fake->backend, SCRIM_BACKEND_VTLB);
	assert_done("virtualize --backend nested");
	assert_int_equal(fake->backend, SCRIM_BACKEND_NESTED);
}

static void test_connect(void **state)
{
	static const char *const verbs[] = {
		"status",          "status --json",          "virtualize", "devirtualize",
		"move 0x20000000", "move --json 0x20000000", "check",      "check --json",
		"scatter",         "share --json",           "lend 1G",    "virtualize --range 1G-2G"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(verbs); i++) {
		fake_reset(fake);
		fake->absent = true;
		assert_refused(verbs[i], "does not run on Scrim");
		assert_string_equal(out, "");
		fake->absent_reads = 0;
		assert_refused(verbs[i], "does not run on Scrim");
		fake_reset(fake);
		fake->abi = 7;
		assert_refused(verbs[i], "speaks ABI 7 and this scrimctl ABI 3");
		assert_int_equal(fake->requests, 1);
		fake_reset(fake);
		fake->refuse = true;
		fake->refuse_op = SCRIM_OP_VERSION;
		fake->refuse_status = 0x1234;
		assert_refused(verbs[i], "0x1234");
	}
}

static void test_permission(void **state)
{
	(void)state;
	fake->open_error = EPERM;
	assert_refused("status", "lacks CAP_SYS_RAWIO");
	fake->lockdown = "none [integrity] confidentiality\n";
	assert_refused("status", "locked down (mode integrity)");
	fake->lockdown = "strange";
	assert_refused("status", "securityfs");
	fake->lockdown = NULL;
	assert_refused("status", "securityfs");
	fake->root = false;
	assert_refused("status", "as root");
	fake->open_error = ENOSYS;
	assert_refused("status", "CONFIG_X86_IOPL_IOPERM");
	fake->open_error = EIO;
	assert_refused("status", "CONFIG_X86_IOPL_IOPERM");
	fake->open_error = ENOMEM;
	assert_refused("status", "Cannot allocate memory");
	assert_int_equal(fake->requests, 0);
}

/* Every refusal of every operation has one sentence with a way out. */
static void test_every_status_is_explained(void **state)
{
	char text[256];

	(void)state;
	for (int op = 0; op < SCRIM_OP_COUNT; op++) {
		for (uint32_t status = SCRIM_OK + 1; status <= SCRIM_STATUS_COUNT; status++) {
			for (uint64_t now = 0; now <= SCRIM_STATE_COUNT; now++) {
				struct reply reply = { .status = status, .result0 = now };

				explain_text(text, sizeof(text), (enum scrim_op)op, &reply);
				assert_true(strlen(text) < sizeof(text) - 1);
				assert_non_null(strchr(text, ';'));
				assert_null(strchr(text, '\n'));
			}
		}
	}
}

static void test_progress(void **state)
{
	size_t size;
	struct session session = { .show_progress = true };
	struct progress progress;

	(void)state;
	forget_output();
	session.err = open_memstream(&err, &size);
	progress_start(&progress, "scattering", 200);
	progress_show(&session, &progress, 150);
	progress_show(&session, &progress, 0);
	progress_end(&session, &progress);
	fclose(session.err);
	assert_non_null(strstr(err, "scattering ["));
	assert_non_null(strstr(err, "50/200"));
	assert_non_null(strstr(err, "[########################] 200/200"));
	assert_int_equal(err[size - 1], '\n');
}

/* The real OS: its list of CPUs can be read, and this thread gets its affinity back. */
static void test_linux_cpus(void **state)
{
	struct cpu_list online = { 0 };

	(void)state;
	if (linux_cpus.online(NULL, &online) != 0)
		skip();
	assert_true(cpu_list_next(&online, 0) < CPU_LIST_LIMIT);
	for (unsigned cpu = cpu_list_next(&online, 0); cpu < CPU_LIST_LIMIT; cpu = cpu_list_next(&online, cpu + 1))
		if (linux_cpus.enter(NULL, cpu) == 0)
			linux_cpus.leave(NULL);
	linux_cpus.leave(NULL);
	assert_int_not_equal(linux_cpus.enter(NULL, CPU_LIST_LIMIT - 1), 0);
	linux_cpus.leave(NULL);
	assert_int_equal(linux_cpus.number_of(NULL, 0xfffffff0u), -1);
	cpu_list_free(&online);
}

int tests_of_words(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers),
		TEST(test_cpu_lists),
		TEST(test_bytes),
		TEST(test_durations),
		TEST(test_fractions),
		TEST(test_ranges),
		TEST(test_unknown_numbers_have_a_word),
		TEST(test_help_and_version),
		TEST(test_usage),
		TEST(test_backends),
		TEST(test_connect),
		TEST(test_permission),
		TEST(test_every_status_is_explained),
		TEST(test_progress),
		TEST(test_linux_cpus),
	};

	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
