/* SPDX-License-Identifier: BSD-2-Clause */
/* map, top and trace: what they show of the fake machine, how often, and in which form. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static unsigned count_of(const char *text, const char *word)
{
	unsigned count = 0;

	for (const char *found = strstr(text, word); found != NULL; found = strstr(found + 1, word))
		count++;
	return count;
}

static void displace(uint64_t first, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		fake->memory.pages[fake->memory.displaced++] = first + i * PAGE_BYTES;
}

static const json_int_t ram_pages = (0x9f000 - 0x1000 + FAKE_OWN_START - FAKE_RAM_START + FAKE_RAM_END - FAKE_OWN_END) / PAGE_BYTES;

static void test_map_json(void **state)
{
	json_t *root, *cell;
	size_t index, displaced = 0;

	(void)state;
	displace(0x30000000, 5);
	fake->memory.shared = 9;
	assert_done("map --json");
	root = output_json();
	assert_count(root, "pages.displaced", 5);
	assert_count(root, "pages.shared", 9);
	assert_count(root, "pages.home", ram_pages - 5);
	assert_count(root, "pages.own", (FAKE_OWN_END - FAKE_OWN_START) / PAGE_BYTES);
	json_array_foreach(at(root, "cells"), index, cell)
	{
		uint64_t start = strtoull(json_string_value(at(cell, "start")), NULL, 0);
		uint64_t end = strtoull(json_string_value(at(cell, "end")), NULL, 0);

		assert_int_equal(end - start, json_integer_value(at(root, "cell_bytes")));
		if (strcmp(json_string_value(at(cell, "kind")), "displaced") == 0) {
			assert_true(start <= 0x30000000 && 0x30000000 < end);
			displaced++;
		}
	}
	assert_int_equal(displaced, 1);
	json_decref(root);
}

/* 64 letters fit 80 columns, 8 always; lines are whole, and no longer than the page. */
static void test_map_letters(void **state)
{
	static const struct {
		unsigned columns, letters;
	} widths[] = { { 80, 64 }, { 79, 32 }, { 24, 8 }, { 1, 8 }, { 1000, 128 } };

	(void)state;
	for (size_t i = 0; i < COUNT(widths); i++) {
		fake->columns = widths[i].columns;
		assert_done("map");
		const char *first = strchr(out, '\n');
		assert_int_equal(first - out, 16 + widths[i].letters);
		assert_true(count_of(out, "\n") <= 24);
		assert_null(strchr(out, '\033'));
	}
	displace(0x30000000, 5);
	assert_done("map");
	assert_printed("d");
	assert_printed("#");
	assert_printed("D displaced 20.0 KiB");
}

static void test_map_on_a_terminal(void **state)
{
	(void)state;
	fake->terminal = true;
	assert_done("map --watch 0.2 --count 3");
	assert_int_equal(count_of(out, "\033[2J"), 1);
	assert_int_equal(count_of(out, "\033[H"), 3);
	assert_printed("\033[32m.\033[0m");
	assert_int_equal(fake->pauses, 2 * 2);
	assert_done("map");
	assert_null(strstr(out, "\033[H"));
}

static void test_live_ends(void **state)
{
	(void)state;
	fake->signal_at = 40;
	assert_done("map --watch");
	assert_true(fake->pauses < 40);
	fake_reset(fake);
	assert_usage("map --count 3");
	assert_usage("map --watch 0");
	assert_usage("map --watch=x");
	assert_usage("map --watch 1e9");
	assert_usage("map --watch --count 0");
	assert_usage("map 0x1000");
	refuse(SCRIM_OP_CENSUS, SCRIM_EBADREQ, 0);
	assert_refused("map --watch --count 2", "counting pages");
}

static void test_top_counts(void **state)
{
	json_t *root;

	(void)state;
	assert_usage("top --count 0");
	assert_usage("top --every 0");
	fake->cpus[1].exits[SCRIM_EXIT_MAP] = 1000000;
	fake->cpus[1].stalls = 4;
	assert_done("top --json --count 1 --every 0.3");
	root = output_json();
	assert_int_equal(fake->pauses, 3);
	assert_true(json_integer_value(at(root, "pages_moved")) > 0);
	assert_count(root, "cpus.1.exits.by_cause.map", 0); /* of the interval, not since boot */
	assert_count(root, "cpus.1.stalls.count", 0);
	assert_count(root, "cpus.1.stalls.longest_us", 4000);
	assert_count(root, "all.stalls.longest_us", 4000);
	assert_text(root, "state", "native");
	assert_int_equal(json_array_size(at(root, "cpus")), 5);
	json_decref(root);
	assert_done("top --count 3");
	assert_int_equal(count_of(out, " CPU   exits/s"), 3);
}

static json_t *read_trace(const char *path)
{
	json_t *root = json_load_file(path, 0, NULL);

	assert_non_null(root);
	return root;
}

#define TRACE_FILE "/tmp/scrimctl-test-trace.json"

static void test_trace_file(void **state)
{
	json_t *root, *event;
	size_t index;
	unsigned complete = 0, names = 0;

	(void)state;
	fake->trace_events = 8;
	fake->trace_lost = 3;
	assert_done("trace -o " TRACE_FILE " -- true");
	assert_printed("10 exits, 10 switches of a CPU, 10 batches, 10 stalls; 15 lost");
	assert_false(fake->tracing);
	root = read_trace(TRACE_FILE);
	json_array_foreach(at(root, "traceEvents"), index, event)
	{
		names += strcmp(json_string_value(at(event, "ph")), "M") == 0;
		complete += strcmp(json_string_value(at(event, "ph")), "X") == 0;
	}
	assert_int_equal(names, 1 + 5);
	assert_int_equal(complete, 5 * 8);
	/* The first of CPU 0: number 8, 8 s after boot, 3000 ticks of 0.5 ns. */
	assert_text(root, "traceEvents.6.cat", "exit");
	assert_near(root, "traceEvents.6.ts", 8e6);
	assert_near(root, "traceEvents.6.dur", 1.5);
	assert_text(root, "traceEvents.6.name", "nmi");
	assert_count(root, "otherData.lost_events", 15);
	json_decref(root);
	unlink(TRACE_FILE);
}

static void test_trace_refused(void **state)
{
	(void)state;
	assert_usage("trace");
	assert_usage("trace -o " TRACE_FILE " --seconds 1 -- true");
	assert_usage("trace -o " TRACE_FILE " --seconds x");
	assert_refused("trace -o /nowhere/at/all -- true", "cannot be written");
	assert_false(fake->tracing);
	assert_refused("trace -o " TRACE_FILE " -- false", "false ended by exit status 1");
	assert_false(fake->tracing);
	refuse(SCRIM_OP_TRACE_READ, SCRIM_EBADREQ, 0);
	assert_refused("trace -o " TRACE_FILE " -- true", "reading the trace");
	assert_false(fake->tracing);
	fake_reset(fake);
	fake->trace_ring = 0;
	assert_refused("trace -o " TRACE_FILE " -- true", "trace=0");
	unlink(TRACE_FILE);
}

int tests_of_watchers(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_map_json),
		TEST(test_map_letters),
		TEST(test_map_on_a_terminal),
		TEST(test_live_ends),
		TEST(test_top_counts),
		TEST(test_trace_file),
		TEST(test_trace_refused),
	};

	return cmocka_run_group_tests_name("watchers", tests, NULL, NULL);
}
