/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scrimctl against a fake machine: every verb done and refused, the tool killed and interrupted at every request, the
 * keys of its JSON, and its parsers. One test program; the machine is in fake_vmm.c.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explain.h"
#include "fake_vmm.h"
#include "names.h"
#include "number.h"
#include "text.h"
#include "verbs.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define WORDS_MAX    8

static struct fake *fake; /* in shared memory: it outlives a tool that is killed */
static char *out, *err;   /* of the last run */

static void forget_output(void)
{
	free(out);
	free(err);
	out = err = NULL;
}

/* Runs a command line: "move --json 0x1000". */
static enum exit_code run(const char *line)
{
	char text[256], *words[WORDS_MAX + 1] = { text };
	size_t out_size, err_size;
	struct session session = { .port = &fake_port, .cpus = &fake_cpu_ops, .context = fake };
	enum exit_code code;
	int count = 1;
	char *rest = NULL;

	forget_output();
	session.out = open_memstream(&out, &out_size);
	session.err = open_memstream(&err, &err_size);
	session.interrupted = &fake->interrupted;
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &rest); word != NULL && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	code = scrimctl_run(&session, count, words);
	fclose(session.out);
	fclose(session.err);
	assert_false(fake->pinned);
	return code;
}

/* One line "scrimctl: what, why; what to do instead" and nothing else on the error stream. */
static void assert_one_complaint(void)
{
	assert_int_equal(strncmp(err, "scrimctl: ", 10), 0);
	assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
	assert_non_null(strchr(err, ';'));
}

static void assert_done(const char *line)
{
	enum exit_code code = run(line);

	assert_string_equal(err, "");
	assert_int_equal(code, EXIT_DONE);
}

static void assert_refused(const char *line, const char *words)
{
	assert_int_equal(run(line), EXIT_REFUSED);
	assert_one_complaint();
	if (strstr(err, words) == NULL)
		fail_msg("\"%s\" is not in: %s", words, err);
}

static void assert_usage(const char *line)
{
	assert_int_equal(run(line), EXIT_USAGE);
	assert_string_equal(out, "");
	assert_one_complaint();
	assert_int_equal(fake->requests, 0);
}

/* Starts over; keeps nothing. */
static int setup(void **state)
{
	(void)state;
	fake_reset(fake);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	forget_output();
	return 0;
}

/* Parsers and words */

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

static void test_unknown_numbers_have_a_word(void **state)
{
	(void)state;
	assert_string_equal(name_of_state(SCRIM_STATE_COUNT), "unknown");
	assert_string_equal(name_of_exit(UINT64_MAX), "unknown");
	assert_string_equal(name_of_vendor(2), "unknown");
	assert_string_equal(name_of_backend(4), "unknown");
	assert_string_equal(meaning_of_violation(SCRIM_VIOLATION_COUNT), "unknown");
}

/* The command line */

static void test_help_and_version(void **state)
{
	static const char *const verbs[] = { "status", "virtualize", "devirtualize", "move", "check" };
	char line[64];

	(void)state;
	assert_done("--help");
	for (size_t i = 0; i < COUNT(verbs); i++)
		assert_non_null(strstr(out, verbs[i]));
	assert_done("-h");
	assert_done("--version");
	assert_non_null(strstr(out, "ABI 1"));
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
		"lend 1G",
		"scatter",
		"status now",
		"status --jsonx",
		"status --json=1",
		"virtualize x",
		"virtualize --backend",
		"virtualize --backend fast",
		"devirtualize --paused",
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
	assert_refused("virtualize --backend shadow", "not in this version");
	assert_refused("virtualize --backend=vtlb", "not in this version");
	assert_int_equal(fake->requests, 0);
	assert_done("virtualize --backend nested");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

/* Nobody to ask */

static void test_connect(void **state)
{
	static const char *const verbs[] = {
		"status",          "status --json",          "virtualize", "devirtualize",
		"move 0x20000000", "move --json 0x20000000", "check",      "check --json"
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
		assert_refused(verbs[i], "speaks ABI 7 and this scrimctl ABI 1");
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

/* status */

/* The value at "a.b.c", where a number is an index. */
static json_t *at(json_t *root, const char *path)
{
	char text[96], *rest = NULL;
	json_t *value = root;

	snprintf(text, sizeof(text), "%s", path);
	for (char *key = strtok_r(text, ".", &rest); key != NULL; key = strtok_r(NULL, ".", &rest))
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
	if (value == NULL)
		fail_msg("no %s in the JSON", path);
	return value;
}

static json_t *output_json(void)
{
	json_error_t error;
	json_t *root = json_loads(out, JSON_REJECT_DUPLICATES, &error);

	if (root == NULL)
		fail_msg("not JSON: %s", error.text);
	return root;
}

static void assert_text(json_t *root, const char *path, const char *text)
{
	assert_true(json_is_string(at(root, path)));
	assert_string_equal(json_string_value(at(root, path)), text);
}

static void assert_count(json_t *root, const char *path, json_int_t count)
{
	assert_true(json_is_integer(at(root, path)));
	assert_int_equal(json_integer_value(at(root, path)), count);
}

static void assert_near(json_t *root, const char *path, double value)
{
	double found = json_real_value(at(root, path));

	assert_true(json_is_real(at(root, path)));
	assert_true(found > value * 0.999 && found < value * 1.001);
}

static void test_status_json_keys(void **state)
{
	static const struct {
		const char *path;
		json_type type;
	} keys[] = {
		{ "version", JSON_STRING },
		{ "vendor", JSON_STRING },
		{ "state", JSON_STRING },
		{ "backend", JSON_STRING },
		{ "cpus", JSON_ARRAY },
		{ "cpus.0.index", JSON_INTEGER },
		{ "cpus.0.apic_id", JSON_INTEGER },
		{ "cpus.0.mode", JSON_STRING },
		{ "cpus.0.vmcb", JSON_STRING },
		{ "cpus.0.exits.total", JSON_INTEGER },
		{ "cpus.0.exits.by_cause", JSON_OBJECT },
		{ "cpus.0.nmis_passed", JSON_INTEGER },
		{ "portions", JSON_ARRAY },
		{ "portions.0.start", JSON_STRING },
		{ "portions.0.end", JSON_STRING },
		{ "portions.0.state", JSON_STRING },
		{ "pages.managed", JSON_INTEGER },
		{ "pages.displaced", JSON_INTEGER },
		{ "pages.shared", JSON_INTEGER },
		{ "pages.free_frames", JSON_INTEGER },
		{ "pages.retired", JSON_INTEGER },
		{ "exits.total", JSON_INTEGER },
		{ "exits.by_cause", JSON_OBJECT },
		{ "memory.vmm_bytes", JSON_INTEGER },
		{ "memory.fixed_bytes", JSON_INTEGER },
		{ "memory.image_bytes", JSON_INTEGER },
		{ "memory.map_bytes", JSON_INTEGER },
		{ "memory.reserve_formula", JSON_STRING },
		{ "ranges.own", JSON_ARRAY },
		{ "ranges.frames", JSON_ARRAY },
		{ "ranges.dma_free", JSON_ARRAY },
		{ "counters.switches", JSON_INTEGER },
		{ "counters.kicks", JSON_INTEGER },
		{ "counters.flushes", JSON_INTEGER },
		{ "counters.cpus_lost", JSON_INTEGER },
		{ "last_operation.name", JSON_STRING },
		{ "last_operation.pages_moved", JSON_INTEGER },
		{ "last_operation.copies", JSON_INTEGER },
		{ "last_operation.direct", JSON_INTEGER },
		{ "last_operation.indirect", JSON_INTEGER },
		{ "last_operation.longest_pause_us", JSON_REAL },
		{ "last_operation.seconds", JSON_REAL },
	};
	json_t *root;

	(void)state;
	fake->last_op = SCRIM_OP_DEVIRTUALIZE;
	assert_done("status --json");
	root = output_json();
	for (size_t i = 0; i < COUNT(keys); i++)
		assert_int_equal(json_typeof(at(root, keys[i].path)), keys[i].type);
	assert_int_equal(json_object_size(at(root, "exits.by_cause")), SCRIM_EXIT_COUNT);
	json_decref(root);
}

static void test_status_json_values(void **state)
{
	json_t *root;

	(void)state;
	fake->last_op = SCRIM_OP_MOVE;
	assert_done("status --json");
	root = output_json();
	assert_text(root, "version", "1.2.3");
	assert_text(root, "vendor", "amd");
	assert_text(root, "state", "native");
	assert_text(root, "backend", "native");
	assert_int_equal(json_array_size(at(root, "cpus")), 5);
	assert_count(root, "cpus.3.apic_id", 6);
	assert_text(root, "cpus.3.mode", "native");
	assert_text(root, "cpus.4.mode", "waiting");
	assert_text(root, "cpus.3.vmcb", "0x123453000");
	assert_int_equal(json_array_size(at(root, "portions")), 2);
	assert_text(root, "portions.1.start", "0x100000");
	assert_text(root, "portions.1.end", "0x240000000");
	assert_text(root, "portions.1.state", "locked");
	assert_count(root, "pages.managed", 1000 + SCRIM_INFO_PAGES_MANAGED);
	assert_count(root, "pages.shared", 1000 + SCRIM_INFO_PAGES_SHARED);
	assert_count(root, "pages.free_frames", 1024);
	assert_count(root, "pages.retired", 1000 + SCRIM_INFO_FRAMES_RETIRED);
	assert_count(root, "memory.vmm_bytes", 1000 + SCRIM_INFO_VMM_BYTES);
	assert_count(root, "memory.map_bytes", 1000 + SCRIM_INFO_MAP_BYTES);
	assert_count(root, "memory.fixed_bytes", 1000 + SCRIM_INFO_FIXED_BYTES);
	assert_count(root, "memory.image_bytes", 1000 + SCRIM_INFO_IMAGE_BYTES);
	assert_text(root, "ranges.own.0.start", "0x7e000000");
	assert_text(root, "ranges.frames.0.start", "0x7f000000");
	assert_int_equal(json_array_size(at(root, "ranges.dma_free")), 0);
	assert_count(root, "counters.kicks", 1000 + SCRIM_INFO_KICKS);
	assert_text(root, "last_operation.name", "move");
	assert_count(root, "last_operation.indirect", 1000 + SCRIM_INFO_LAST_INDIRECT);
	assert_near(root, "last_operation.longest_pause_us", 2.5);
	assert_near(root, "last_operation.seconds", 0.5);
	json_decref(root);
}

static json_int_t sum_of(json_t *object)
{
	json_int_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) sum += json_integer_value(value);
	return sum;
}

static void test_status_exits_add_up(void **state)
{
	json_int_t total = 0;
	json_t *root, *cpu;
	size_t i;

	(void)state;
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		fake->cpus[cause % 4].exits[cause] = 1ull << (2 * cause);
	assert_done("status --json");
	root = output_json();
	json_array_foreach(at(root, "cpus"), i, cpu)
	{
		assert_int_equal(json_integer_value(at(cpu, "exits.total")), sum_of(at(cpu, "exits.by_cause")));
		total += json_integer_value(at(cpu, "exits.total"));
	}
	assert_int_equal(json_integer_value(at(root, "exits.total")), total);
	assert_int_equal(sum_of(at(root, "exits.by_cause")), total);
	assert_count(root, "exits.by_cause.cr3", 1 << (2 * SCRIM_EXIT_CR3));
	json_decref(root);
}

static void test_status_unknown_times_are_null(void **state)
{
	json_t *root;

	(void)state;
	fake->tsc_hz = 0;
	assert_done("status --json");
	root = output_json();
	assert_true(json_is_null(at(root, "last_operation.name")));
	assert_true(json_is_null(at(root, "last_operation.seconds")));
	assert_true(json_is_null(at(root, "last_operation.longest_pause_us")));
	json_decref(root);
	assert_done("status");
	assert_non_null(strstr(out, "nothing yet"));
	fake->last_op = SCRIM_OP_MOVE;
	assert_done("status");
	assert_null(strstr(out, "pause"));
}

static void test_status_in_each_state(void **state)
{
	static const char *const portions[] = { [SCRIM_NATIVE] = "locked",
						[SCRIM_COMMENCING] = "managed",
						[SCRIM_VIRTUALIZED] = "managed",
						[SCRIM_REMAPPING] = "remapping",
						[SCRIM_CEASING] = "managed" };

	(void)state;
	for (int i = SCRIM_NATIVE; i < SCRIM_STATE_COUNT; i++) {
		json_t *root;

		fake_reset(fake);
		fake->state = (enum scrim_state)i;
		assert_done("status --json");
		root = output_json();
		assert_text(root, "state", name_of_state((uint64_t)i));
		assert_text(root, "portions.0.state", portions[i]);
		json_decref(root);
		assert_done("status");
		assert_non_null(strstr(out, meaning_of_state((uint64_t)i)));
		assert_non_null(strstr(out, portions[i]));
		assert_int_equal(fake->cpus[0].visits, 0);
	}
}

static void test_status_settles_guards(void **state)
{
	json_t *root;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		fake->cpus[i].mode = SCRIM_CPU_GUARDED;
		fake->cpus[i].guard_over = true;
	}
	fake->cpus[3].blocked_states = 1 << SCRIM_GUARDED;
	assert_done("status --json");
	root = output_json();
	assert_text(root, "state", "guarded");
	assert_text(root, "cpus.2.mode", "native");
	assert_text(root, "cpus.3.mode", "guarded");
	assert_text(root, "portions.0.state", "locked");
	json_decref(root);
	fake->cpus[3].blocked_states = 0;
	assert_done("status");
	assert_non_null(strstr(out, "native: "));
}

/* No `reason` of Scrim's may end a verb without a sentence, or end it well. */
static void refuse(enum scrim_op op, uint32_t status, uint64_t result0)
{
	fake->refuse = true;
	fake->refuse_op = op;
	fake->refuse_status = status;
	fake->refuse_result0 = result0;
}

static void test_status_refused(void **state)
{
	static const enum scrim_op ops[] = { SCRIM_OP_INFO, SCRIM_OP_CPU_INFO, SCRIM_OP_CPU_EXITS, SCRIM_OP_RANGE };

	(void)state;
	for (size_t i = 0; i < COUNT(ops); i++) {
		fake_reset(fake);
		refuse(ops[i], SCRIM_EBADREQ, 0);
		assert_refused("status --json", "install the scrimctl");
		assert_string_equal(out, "");
	}
	fake_reset(fake);
	refuse(SCRIM_OP_INFO, SCRIM_OK, 1000000);
	assert_refused("status", "state 1000000");
}

/* virtualize */

static void assert_all_modes(enum scrim_cpu_mode mode)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fake->cpus[i].mode, mode);
	assert_int_equal(fake->cpus[4].mode, SCRIM_CPU_WAITING);
}

static void test_virtualize(void **state)
{
	(void)state;
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	assert_non_null(strstr(out, "4 CPU(s)"));
	fake->requests = 0;
	assert_done("virtualize");
	assert_non_null(strstr(out, "already"));
	assert_int_equal(fake->requests, 2);
}

static void test_virtualize_from_guarded(void **state)
{
	(void)state;
	fake->cpus[1].mode = SCRIM_CPU_GUARDED;
	assert_done("virtualize");
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_virtualize_unfinished(void **state)
{
	(void)state;
	fake_begin(fake, SCRIM_COMMENCING);
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	fake->state = SCRIM_REMAPPING;
	assert_refused("virtualize", "devirtualize --abort");
	fake->state = SCRIM_CEASING;
	assert_refused("virtualize", "devirtualize is unfinished");
	assert_int_equal(fake->state, SCRIM_CEASING);
}

static void test_virtualize_unreachable_cpu(void **state)
{
	(void)state;
	fake->cpus[2].blocked_states = 1 << SCRIM_NATIVE | 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "APIC id 4 (cpu1100)");
	assert_non_null(strstr(err, "nothing has changed"));
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake->cpus[2].online = false;
	assert_refused("virtualize", "does not list it as online");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
	fake->cpus[2].mode = SCRIM_CPU_STARTING;
	assert_refused("virtualize", "nothing has changed");
}

static void test_virtualize_cpu_out_of_reach_later(void **state)
{
	(void)state;
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "APIC id 4 (cpu1100)");
	assert_non_null(strstr(err, "failed and undone"));
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING | 1 << SCRIM_CEASING;
	assert_refused("virtualize", "run scrimctl devirtualize");
	assert_int_equal(fake->state, SCRIM_CEASING);
	assert_refused("devirtualize", "APIC id 4");
	fake->cpus[2].blocked_states = 0;
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
}

static void test_virtualize_waits_for_a_cpu_that_comes_online(void **state)
{
	(void)state;
	fake->cpus[1].online = false;
	fake->online_at_pause = 2;
	fake->cpus[1].mode = SCRIM_CPU_STARTING;
	assert_done("virtualize");
	assert_true(fake->pauses == 1);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	fake_reset(fake);
	fake_begin(fake, SCRIM_COMMENCING);
	fake->cpus[1].online = false;
	fake->online_at_pause = 2;
	assert_done("virtualize");
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_rounds_are_bounded(void **state)
{
	(void)state;
	fake_begin(fake, SCRIM_COMMENCING);
	fake->never_zero = true;
	assert_refused("virtualize", "have not switched");
	assert_true(fake->pauses < 20);
	fake_reset(fake);
	fake->flicker = true;
	assert_refused("virtualize", "another scrimctl");
	fake_reset(fake);
	fake_begin(fake, SCRIM_CEASING);
	for (unsigned i = 0; i < 4; i++)
		fake->cpus[i].blocked_states = 1 << SCRIM_CEASING;
	assert_refused("devirtualize", "Invalid argument");
	fake_reset(fake);
	fake->online_error = ENOENT;
	assert_refused("virtualize", "mount sysfs");
}

static void test_virtualize_beaten_by_another(void **state)
{
	(void)state;
	fake->beaten = true;
	assert_done("virtualize");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
}

static void test_virtualize_refused(void **state)
{
	(void)state;
	refuse(SCRIM_OP_VIRTUALIZE, SCRIM_ENOTABLE, 0);
	assert_refused("virtualize", "map=boot");
	refuse(SCRIM_OP_VIRTUALIZE, SCRIM_ECPU, 1);
	assert_refused("virtualize", "on its way");
	refuse(SCRIM_OP_ABORT, SCRIM_EBADREQ, 0);
	fake->cpus[2].blocked_states = 1 << SCRIM_COMMENCING;
	assert_refused("virtualize", "install the scrimctl");
}

/* devirtualize */

static void test_devirtualize(void **state)
{
	static const unsigned pages[] = { 0, 1, 63, 64, 65, FAKE_PAGES };
	char words[32];

	(void)state;
	for (size_t i = 0; i < COUNT(pages); i++) {
		fake_reset(fake);
		fake_virtualize(fake, pages[i]);
		assert_done("devirtualize");
		snprintf(words, sizeof(words), " %u page(s) came home", pages[i]);
		assert_non_null(strstr(out, words));
		assert_int_equal(fake->state, SCRIM_NATIVE);
		assert_all_modes(SCRIM_CPU_NATIVE);
		assert_done("devirtualize");
		assert_non_null(strstr(out, "nothing was done"));
	}
}

static void test_devirtualize_unfinished(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake_virtualize(fake, 0);
	fake_begin(fake, SCRIM_CEASING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	fake_begin(fake, SCRIM_COMMENCING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	assert_all_modes(SCRIM_CPU_NATIVE);
}

static void test_devirtualize_unreachable_cpu(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	fake->cpus[0].blocked_states = 1 << SCRIM_VIRTUALIZED;
	assert_refused("devirtualize", "nothing has changed");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake->displaced, 100);
}

static void test_devirtualize_abort(void **state)
{
	(void)state;
	fake_virtualize(fake, 100);
	assert_done("devirtualize --abort");
	assert_non_null(strstr(out, "nothing was done"));
	fake->state = SCRIM_REMAPPING;
	assert_done("devirtualize --abort");
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_int_equal(fake->displaced, 100);
	fake_virtualize(fake, 0);
	fake_begin(fake, SCRIM_CEASING);
	fake->cpus[1].mode = SCRIM_CPU_NATIVE;
	assert_done("devirtualize --abort");
	assert_non_null(strstr(out, "again"));
	assert_all_modes(SCRIM_CPU_TRANSLATING);
	fake_reset(fake);
	assert_refused("devirtualize --abort", "no unfinished devirtualize");
}

static void test_devirtualize_refused(void **state)
{
	(void)state;
	fake_virtualize(fake, 10);
	refuse(SCRIM_OP_STEP, SCRIM_ENOFRAME, 0);
	assert_refused("devirtualize", "report it");
	assert_int_equal(fake->state, SCRIM_REMAPPING);
	refuse(SCRIM_OP_ABORT, SCRIM_EBADREQ, 0);
	assert_refused("devirtualize --abort", "install the scrimctl");
}

static void test_progress(void **state)
{
	size_t size;
	struct session session = { .show_progress = true };
	struct progress progress;

	(void)state;
	forget_output();
	session.err = open_memstream(&err, &size);
	progress_start(&progress, 200);
	progress_show(&session, &progress, 150);
	progress_show(&session, &progress, 0);
	progress_end(&session, &progress);
	fclose(session.err);
	assert_non_null(strstr(err, "50/200"));
	assert_non_null(strstr(err, "[########################] 200/200"));
	assert_int_equal(err[size - 1], '\n');
}

/* move and check */

static void test_move(void **state)
{
	json_t *root;

	(void)state;
	fake_virtualize(fake, 0);
	assert_done("move 0x20000000 536875008 513M");
	assert_string_equal(out, "0x20000000 -> 0x7f000000\n0x20001000 -> 0x7f001000\n0x20100000 -> 0x7f002000\n");
	assert_done("move 0x1c0000000");
	assert_int_equal(fake->pages[3], 0x1c0000000);
	assert_done("move --json 0x20003000");
	root = output_json();
	assert_text(root, "moved.0.physical", "0x20003000");
	assert_text(root, "moved.0.machine", "0x7f004000");
	assert_true(json_is_null(at(root, "refused")));
	json_decref(root);
}

static void test_move_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "move 0x20000001", "multiple of 4096" },
		{ "move 0x250000000", "no RAM of the OS's" },
		{ "move 0x10000000", "dma-free=" },
		{ "move 0x20000000", "displaced already" },
		{ "move 0xfffffffffffff000", "no physical address" },
	};

	(void)state;
	fake_virtualize(fake, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_refused(cases[i][0], cases[i][1]);
		assert_string_equal(out, "");
	}
	fake->frames_free = 0;
	assert_refused("move 0x20001000", "larger reserve=");
	assert_int_equal(fake->displaced, 1);
}

static void test_move_stops_at_the_first_refusal(void **state)
{
	json_t *root;

	(void)state;
	fake_virtualize(fake, 0);
	assert_refused("move 0x20000000 0x10000000 0x20001000", "after 1 of 3");
	assert_string_equal(out, "0x20000000 -> 0x7f000000\n");
	assert_int_equal(fake->displaced, 1);
	assert_refused("move --json 0x20002000 0x20000000 0x20001000", "after 1 of 3");
	root = output_json();
	assert_int_equal(json_array_size(at(root, "moved")), 1);
	assert_text(root, "refused.physical", "0x20000000");
	assert_text(root, "refused.status", "displaced");
	json_decref(root);
}

static void test_move_in_the_wrong_state(void **state)
{
	static const char *const words[] = { [SCRIM_NATIVE] = "scrimctl virtualize first",
					     [SCRIM_COMMENCING] = "virtualize is unfinished",
					     [SCRIM_REMAPPING] = "devirtualize is unfinished",
					     [SCRIM_CEASING] = "devirtualize is unfinished" };

	(void)state;
	for (int i = SCRIM_NATIVE; i < SCRIM_STATE_COUNT; i++) {
		fake->state = (enum scrim_state)i;
		if (i != SCRIM_VIRTUALIZED)
			assert_refused("move 0x20000000", words[i]);
	}
	fake->state = SCRIM_NATIVE;
	fake->cpus[0].mode = SCRIM_CPU_PARKED;
	assert_refused("move 0x20000000", "in state guarded");
}

static void test_check(void **state)
{
	json_t *root;

	(void)state;
	assert_done("check");
	assert_string_equal(out, "all invariants hold\n");
	assert_done("check --json");
	root = output_json();
	assert_true(json_is_true(at(root, "holds")));
	assert_true(json_is_null(at(root, "violation")));
	json_decref(root);
	for (int i = SCRIM_HOLDS + 1; i < SCRIM_VIOLATION_COUNT; i++) {
		fake->violation = (enum scrim_violation)i;
		assert_refused("check", meaning_of_violation((uint64_t)i));
		assert_non_null(strstr(err, "0xabc000"));
		assert_string_equal(out, "");
		assert_refused("check --json", name_of_violation((uint64_t)i));
		root = output_json();
		assert_false(json_is_true(at(root, "holds")));
		assert_count(root, "violation.invariant", i);
		assert_text(root, "violation.name", name_of_violation((uint64_t)i));
		assert_text(root, "violation.address", "0xabc000");
		json_decref(root);
	}
	refuse(SCRIM_OP_CHECK, SCRIM_EBADREQ, 0);
	assert_refused("check", "install the scrimctl");
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

/* Killed and interrupted at every request */

static enum exit_code run_in_child(const char *line)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		enum exit_code code = run(line);

		_exit((int)code);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (enum exit_code)WEXITSTATUS(status);
}

static void start_native(void)
{
	fake_reset(fake);
}

static void start_guarded(void)
{
	fake_reset(fake);
	fake->cpus[0].mode = SCRIM_CPU_GUARDED;
	fake->cpus[0].guard_over = true;
}

static void start_displaced(void)
{
	fake_reset(fake);
	fake_virtualize(fake, 200);
}

static void start_home(void)
{
	fake_reset(fake);
	fake_virtualize(fake, 0);
}

static void start_ceasing(void)
{
	start_home();
	fake_begin(fake, SCRIM_CEASING);
}

static const struct {
	void (*start)(void);
	const char *line;
} journeys[] = {
	{ start_native, "virtualize" },
	{ start_guarded, "virtualize" },
	{ start_displaced, "devirtualize" },
	{ start_home, "devirtualize" },
	{ start_ceasing, "devirtualize --abort" },
	{ start_native, "status" },
	{ start_guarded, "status --json" },
};

/* From wherever a killed or interrupted tool left the machine, the next command goes where it says. */
static void assert_goes_on(void)
{
	enum scrim_state left_in = fake_state(fake);
	uint64_t displaced = fake->displaced;
	struct fake left = *fake;

	assert_true(displaced == 0 || left_in == SCRIM_VIRTUALIZED || left_in == SCRIM_REMAPPING);
	assert_done("devirtualize");
	assert_int_equal(fake->state, SCRIM_NATIVE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_not_equal(fake->cpus[i].mode, SCRIM_CPU_TRANSLATING);
	*fake = left;
	assert_done("status");
	if (left_in == SCRIM_REMAPPING || left_in == SCRIM_CEASING) {
		assert_refused("virtualize", "unfinished");
		assert_done("devirtualize --abort");
		assert_int_equal(fake->displaced, displaced);
	} else {
		assert_done("virtualize");
	}
	assert_int_equal(fake->state, SCRIM_VIRTUALIZED);
	assert_all_modes(SCRIM_CPU_TRANSLATING);
}

static void test_killed_at_every_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned at_request = 1;; at_request += i >= 5 ? 7 : 1) {
			journeys[i].start();
			fake->kill_at = at_request;
			if (run_in_child(journeys[i].line) != FAKE_KILLED)
				break;
			fake->kill_at = 0;
			fake->pinned = false; /* an affinity dies with its thread */
			assert_goes_on();
			assert_true(at_request < 1000);
		}
	}
}

static void test_interrupted_at_every_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(journeys); i++) {
		for (unsigned at_request = 1;; at_request++) {
			enum exit_code code;

			journeys[i].start();
			fake->signal_at = at_request;
			code = run(journeys[i].line);
			if (fake->interrupted == 0)
				break;
			fake->signal_at = 0;
			fake->interrupted = 0;
			if (code != EXIT_DONE) {
				assert_int_equal(code, EXIT_REFUSED);
				assert_one_complaint();
				assert_non_null(strstr(err, "interrupted"));
			}
			if (strcmp(journeys[i].line, "virtualize") == 0)
				assert_int_equal(fake->state, code == EXIT_DONE ? SCRIM_VIRTUALIZED : SCRIM_NATIVE);
			assert_goes_on();
			assert_true(at_request < 1000);
		}
	}
}

static void test_move_interrupted(void **state)
{
	(void)state;
	fake_virtualize(fake, 0);
	fake->signal_at = 3; /* VERSION, two moves */
	assert_refused("move 0x20000000 0x20001000 0x20002000", "interrupted after 2 of 3");
	assert_int_equal(fake->displaced, 2);
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers),
		TEST(test_cpu_lists),
		TEST(test_bytes),
		TEST(test_unknown_numbers_have_a_word),
		TEST(test_help_and_version),
		TEST(test_usage),
		TEST(test_backends),
		TEST(test_connect),
		TEST(test_permission),
		TEST(test_status_json_keys),
		TEST(test_status_json_values),
		TEST(test_status_exits_add_up),
		TEST(test_status_unknown_times_are_null),
		TEST(test_status_in_each_state),
		TEST(test_status_settles_guards),
		TEST(test_status_refused),
		TEST(test_virtualize),
		TEST(test_virtualize_from_guarded),
		TEST(test_virtualize_unfinished),
		TEST(test_virtualize_unreachable_cpu),
		TEST(test_virtualize_cpu_out_of_reach_later),
		TEST(test_virtualize_waits_for_a_cpu_that_comes_online),
		TEST(test_rounds_are_bounded),
		TEST(test_virtualize_beaten_by_another),
		TEST(test_virtualize_refused),
		TEST(test_devirtualize),
		TEST(test_devirtualize_unfinished),
		TEST(test_devirtualize_unreachable_cpu),
		TEST(test_devirtualize_abort),
		TEST(test_devirtualize_refused),
		TEST(test_progress),
		TEST(test_move),
		TEST(test_move_refused),
		TEST(test_move_stops_at_the_first_refusal),
		TEST(test_move_in_the_wrong_state),
		TEST(test_check),
		TEST(test_every_status_is_explained),
		TEST(test_killed_at_every_request),
		TEST(test_interrupted_at_every_request),
		TEST(test_move_interrupted),
		TEST(test_linux_cpus),
	};

	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
