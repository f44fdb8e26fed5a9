/* SPDX-License-Identifier: BSD-2-Clause */
/* status: its keys, its values, in each state. */
#include <string.h>

#include "harness.h"
#include "names.h"

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
		{ "cpus.0.stalls.count", JSON_INTEGER },
		{ "cpus.0.stalls.us", JSON_REAL },
		{ "cpus.0.stalls.longest_us", JSON_REAL },
		{ "counters.pages_moved", JSON_INTEGER },
		{ "counters.batches", JSON_INTEGER },
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
		{ "memory.v2m_bytes", JSON_INTEGER },
		{ "v2m.tables", JSON_INTEGER },
		{ "v2m.bound", JSON_INTEGER },
		{ "v2m.loads", JSON_INTEGER },
		{ "v2m.copied", JSON_INTEGER },
		{ "v2m.evictions", JSON_INTEGER },
		{ "v2m.flushes", JSON_INTEGER },
		{ "v2m.synced", JSON_INTEGER },
		{ "v2m.wakes", JSON_INTEGER },
		{ "v2m.returns", JSON_INTEGER },
		{ "iommu.kind", JSON_STRING },
		{ "iommu.units", JSON_INTEGER },
		{ "iommu.faults", JSON_INTEGER },
		{ "iommu.last_fault", JSON_OBJECT },
		{ "iommu.last_fault.source", JSON_STRING },
		{ "iommu.last_fault.reason", JSON_INTEGER },
		{ "iommu.last_fault.address", JSON_STRING },
		{ "watch.kind", JSON_STRING },
		{ "watch.frames", JSON_INTEGER },
		{ "watch.copies", JSON_INTEGER },
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
	assert_int_equal(json_array_size(at(root, "portions")), 3);
	assert_text(root, "portions.2.start", "0x80000000");
	assert_text(root, "portions.2.end", "0x240000000");
	assert_text(root, "portions.2.state", "locked");
	assert_text(root, "reverse", "backmap");
	assert_count(root, "pages.managed", 0);
	assert_count(root, "pages.shared", 0);
	assert_count(root, "pages.saved", 0);
	assert_count(root, "pages.lent_frames", 0);
	assert_count(root, "pages.free_frames", 1024);
	assert_count(root, "pages.retired", 0);
	assert_count(root, "memory.vmm_bytes", 1000 + SCRIM_INFO_VMM_BYTES);
	assert_count(root, "memory.map_bytes", 1000 + SCRIM_INFO_MAP_BYTES);
	assert_count(root, "memory.fixed_bytes", 1000 + SCRIM_INFO_FIXED_BYTES);
	assert_count(root, "memory.v2m_bytes", 1000 + SCRIM_INFO_V2M_BYTES);
	assert_count(root, "v2m.tables", 1000 + SCRIM_INFO_V2M_TABLES);
	assert_count(root, "v2m.bound", 1000 + SCRIM_INFO_V2M_BOUND);
	assert_count(root, "v2m.loads", 1000 + SCRIM_INFO_V2M_LOADS);
	assert_count(root, "v2m.copied", 1000 + SCRIM_INFO_V2M_COPIED);
	assert_count(root, "v2m.evictions", 1000 + SCRIM_INFO_V2M_EVICTIONS);
	assert_count(root, "v2m.flushes", 1000 + SCRIM_INFO_V2M_FLUSHES);
	assert_count(root, "v2m.synced", 1000 + SCRIM_INFO_V2M_SYNCED);
	assert_count(root, "v2m.wakes", 1000 + SCRIM_INFO_V2M_WAKES);
	assert_count(root, "v2m.returns", 1000 + SCRIM_INFO_V2M_RETURNS);
	assert_count(root, "v2m.links", 1000 + SCRIM_INFO_V2M_LINKS);
	assert_count(root, "v2m.link_entries", 1000 + SCRIM_INFO_V2M_LINK_ENTRIES);
	assert_count(root, "v2m.links_made", 1000 + SCRIM_INFO_V2M_LINKS_MADE);
	assert_count(root, "v2m.links_met", 1000 + SCRIM_INFO_V2M_LINKS_MET);
	assert_count(root, "v2m.links_broken", 1000 + SCRIM_INFO_V2M_LINKS_BROKEN);
	assert_text(root, "iommu.kind", "vt-d");
	assert_count(root, "iommu.units", 1000 + SCRIM_INFO_IOMMU_UNITS);
	assert_true(json_is_true(at(root, "iommu.translating")));
	assert_count(root, "iommu.faults", 7);
	assert_text(root, "iommu.last_fault.source", "02:1f.3");
	assert_text(root, "iommu.last_fault.address", "0x12345000");
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

static void test_status_of_devices(void **state)
{
	json_t *root;

	(void)state;
	assert_done("status");
	assert_non_null(strstr(out, "of vt-d, translating; 7 faults, the last by 02:1f.3 at 0x12345000"));
	fake->iommu_faults = 0;
	assert_done("status");
	assert_non_null(strstr(out, "of vt-d, translating; 0 faults\n"));
	assert_done("status --json");
	root = output_json();
	assert_true(json_is_null(at(root, "iommu.last_fault")));
	json_decref(root);
	fake->iommu = SCRIM_IOMMU_NONE;
	assert_done("status");
	assert_non_null(strstr(out, "pages may move in the dma-free ranges below"));
}

static void test_status_in_each_state(void **state)
{
	(void)state;
	for (int i = SCRIM_NATIVE; i < SCRIM_STATE_COUNT; i++) {
		json_t *root;

		fake_reset(fake);
		fake->state = (enum scrim_state)i;
		assert_done("status --json");
		root = output_json();
		assert_text(root, "state", name_of_state((uint64_t)i));
		json_decref(root);
		assert_done("status");
		assert_non_null(strstr(out, meaning_of_state((uint64_t)i)));
		assert_int_equal(fake->cpus[0].visits, 0);
	}
}

/* RAM is cut where its state changes, and nowhere else. */
static void test_status_portions(void **state)
{
	static const char *const expected[][3] = {
		{ "0x1000", "0x9f000", "locked" },	   { "0x100000", "0x20000000", "locked" },
		{ "0x20000000", "0x20010000", "managed" }, { "0x20010000", "0x20020000", "remapping" },
		{ "0x20020000", "0x20040000", "managed" }, { "0x20040000", "0x7e000000", "locked" },
		{ "0x80000000", "0x240000000", "managed" },
	};
	json_t *root, *portion;
	size_t i;

	(void)state;
	fake_ranges_add(&fake->memory.managed, (struct range){ 0x20000000, 0x20030000 });
	fake_ranges_add(&fake->memory.managed, (struct range){ 0x20030000, 0x20040000 });
	fake_ranges_add(&fake->memory.managed, (struct range){ 0x80000000, 0x240000000 });
	fake_ranges_add(&fake->memory.lent, (struct range){ 0x238000000, 0x240000000 });
	fake->memory.remapping = (struct range){ 0x20010000, 0x20020000 };
	fake->state = SCRIM_REMAPPING;
	assert_done("status --json");
	root = output_json();
	assert_int_equal(json_array_size(at(root, "portions")), COUNT(expected));
	json_array_foreach(at(root, "portions"), i, portion)
	{
		assert_text(portion, "start", expected[i][0]);
		assert_text(portion, "end", expected[i][1]);
		assert_text(portion, "state", expected[i][2]);
	}
	assert_text(root, "ranges.lent.0.start", "0x238000000");
	assert_text(root, "ranges.remapping.0.end", "0x20020000");
	assert_int_equal(json_array_size(at(root, "ranges.managed")), 2);
	assert_count(root, "pages.lent_frames", 32768);
	json_decref(root);
	assert_done("status");
	assert_printed("remapping");
	assert_printed("lent ");
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

static void test_status_prometheus(void **state)
{
	static const char *const lines[] = {
		"\n# TYPE scrim_displaced_bytes gauge\nscrim_displaced_bytes 12288\n",
		"\n# TYPE scrim_kicks_total counter\nscrim_kicks_total 1019\n",
		"\nscrim_exits_total{cpu=\"1\",cause=\"map\"} 77\n",
		"\nscrim_state{state=\"native\"} 1\n",
		"\nscrim_state{state=\"virtualized\"} 0\n",
		"scrim_info{version=\"1.2.3\",",
	};

	(void)state;
	assert_usage("status --json --prometheus");
	_Static_assert(SCRIM_INFO_KICKS == 19, "as the line above has it");
	fake->memory.displaced = 3;
	fake->cpus[1].exits[SCRIM_EXIT_MAP] = 77;
	assert_done("status --prometheus");
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_printed(lines[i]);
}

int tests_of_status(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status_json_keys),
		TEST(test_status_json_values),
		TEST(test_status_exits_add_up),
		TEST(test_status_unknown_times_are_null),
		TEST(test_status_of_devices),
		TEST(test_status_in_each_state),
		TEST(test_status_portions),
		TEST(test_status_settles_guards),
		TEST(test_status_refused),
		TEST(test_status_prometheus),
	};

	return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
