/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The status as JSON. Keys are a contract: they may be added, and neither go nor change their meaning. The shape is
 * always the same: what is unknown is null, what is empty is an empty list.
 */
#include "status_json.h"

#include "json.h"
#include "names.h"

struct counter {
	const char *key;
	enum scrim_info info;
};

#define COUNTER_END                                                                                                    \
	{                                                                                                              \
		NULL, SCRIM_INFO_COUNT                                                                                 \
	}

static json_t *counters(const struct status *status, const struct counter *counter)
{
	json_t *object = json_object();

	for (; counter->key != NULL; counter++)
		json_put(&object, counter->key, json_count(status->info[counter->info]));
	return object;
}

static json_t *exits(const uint64_t *by_cause, uint64_t total)
{
	json_t *object = json_object();
	json_t *causes = json_object();

	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		json_put(&causes, name_of_exit(cause), json_count(by_cause[cause]));
	json_put(&object, "total", json_count(total));
	json_put(&object, "by_cause", causes);
	return object;
}

static json_t *time_of_ticks(const struct status *status, uint64_t ticks)
{
	uint64_t hz = status->info[SCRIM_INFO_TSC_HZ];

	return hz != 0 ? json_real((double)ticks * 1e6 / (double)hz) : json_null();
}

static json_t *stalls(const struct status *status, const uint64_t *info)
{
	json_t *object = json_object();

	json_put(&object, "count", json_count(info[SCRIM_CPU_STALLS]));
	json_put(&object, "us", time_of_ticks(status, info[SCRIM_CPU_STALL_TSC]));
	json_put(&object, "longest_us", time_of_ticks(status, info[SCRIM_CPU_STALL_LONGEST_TSC]));
	return object;
}

static json_t *cpus(const struct status *status)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < status->info[SCRIM_INFO_CPUS]; i++) {
		const struct status_cpu *cpu = &status->cpus[i];
		json_t *object = json_object();

		json_put(&object, "index", json_count(i));
		json_put(&object, "apic_id", json_count(cpu->info[SCRIM_CPU_APIC_ID]));
		json_put(&object, "mode", json_string(name_of_cpu_mode(cpu->info[SCRIM_CPU_MODE])));
		json_put(&object, "vmcb", json_address(cpu->info[SCRIM_CPU_VMCB]));
		json_put(&object, "exits", exits(cpu->exits, cpu->exits_total));
		json_put(&object, "stalls", stalls(status, cpu->info));
		json_put(&object, "nmis_passed", json_count(cpu->info[SCRIM_CPU_NMIS_PASSED]));
		json_append(&array, object);
	}
	return array;
}

static json_t *range_object(const struct range *range)
{
	json_t *object = json_object();

	json_put(&object, "start", json_address(range->start));
	json_put(&object, "end", json_address(range->end));
	return object;
}

static json_t *ranges(const struct range_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_append(&array, range_object(&list->items[i]));
	return array;
}

static json_t *portions(const struct status *status)
{
	json_t *array = json_array();

	for (size_t i = 0; i < status->portion_count; i++) {
		json_t *object = range_object(&status->portions[i].range);

		json_put(&object, "state", json_string(status->portions[i].state));
		json_append(&array, object);
	}
	return array;
}

static json_t *all_ranges(const struct status *status)
{
	json_t *object = json_object();

	json_put(&object, "own", ranges(&status->ranges[SCRIM_RANGE_OWN]));
	json_put(&object, "frames", ranges(&status->ranges[SCRIM_RANGE_FRAMES]));
	json_put(&object, "dma_free", ranges(&status->ranges[SCRIM_RANGE_DMA_FREE]));
	json_put(&object, "managed", ranges(&status->ranges[SCRIM_RANGE_MANAGED]));
	json_put(&object, "remapping", ranges(&status->ranges[SCRIM_RANGE_REMAPPING]));
	json_put(&object, "lent", ranges(&status->ranges[SCRIM_RANGE_LENT]));
	json_put(&object, "retired", ranges(&status->ranges[SCRIM_RANGE_RETIRED]));
	return object;
}

static json_t *pages(const struct status *status)
{
	static const struct counter keys[] = {
		{ "ram", SCRIM_INFO_PAGES_RAM },
		{ "managed", SCRIM_INFO_PAGES_MANAGED },
		{ "displaced", SCRIM_INFO_PAGES_DISPLACED },
		{ "shared", SCRIM_INFO_PAGES_SHARED },
		{ "saved", SCRIM_INFO_FRAMES_SAVED },
		{ "free_frames", SCRIM_INFO_FRAMES_FREE },
		{ "lent_frames", SCRIM_INFO_FRAMES_LENT },
		{ "retired", SCRIM_INFO_FRAMES_RETIRED },
		COUNTER_END,
	};

	return counters(status, keys);
}

static json_t *memory(const struct status *status)
{
	static const struct counter keys[] = {
		{ "vmm_bytes", SCRIM_INFO_VMM_BYTES },
		{ "fixed_bytes", SCRIM_INFO_FIXED_BYTES },
		{ "image_bytes", SCRIM_INFO_IMAGE_BYTES },
		{ "map_bytes", SCRIM_INFO_MAP_BYTES },
		{ "v2m_bytes", SCRIM_INFO_V2M_BYTES },
		COUNTER_END,
	};
	json_t *object = counters(status, keys);

	json_put(&object, "reserve_formula", json_string(status_reserve_formula));
	return object;
}

static json_t *v2m(const struct status *status)
{
	static const struct counter keys[] = {
		{ "tables", SCRIM_INFO_V2M_TABLES },
		{ "bound", SCRIM_INFO_V2M_BOUND },
		{ "loads", SCRIM_INFO_V2M_LOADS },
		{ "copied", SCRIM_INFO_V2M_COPIED },
		{ "evictions", SCRIM_INFO_V2M_EVICTIONS },
		{ "flushes", SCRIM_INFO_V2M_FLUSHES },
		{ "synced", SCRIM_INFO_V2M_SYNCED },
		{ "wakes", SCRIM_INFO_V2M_WAKES },
		{ "returns", SCRIM_INFO_V2M_RETURNS },
		{ "links", SCRIM_INFO_V2M_LINKS },
		{ "link_entries", SCRIM_INFO_V2M_LINK_ENTRIES },
		{ "links_made", SCRIM_INFO_V2M_LINKS_MADE },
		{ "links_met", SCRIM_INFO_V2M_LINKS_MET },
		{ "links_broken", SCRIM_INFO_V2M_LINKS_BROKEN },
		COUNTER_END,
	};

	return counters(status, keys);
}

/* PCI's way to write it: bus:device.function. */
static json_t *source_of(uint64_t source)
{
	char text[sizeof("00:00.0")];

	snprintf(text, sizeof(text), "%02x:%02x.%x", (unsigned)(source >> 8 & 0xff), (unsigned)(source >> 3 & 0x1f),
		 (unsigned)(source & 7));
	return json_string(text);
}

static json_t *last_fault(const uint64_t *info)
{
	json_t *object = json_object();

	json_put(&object, "source", source_of(info[SCRIM_INFO_IOMMU_FAULT_SOURCE]));
	json_put(&object, "reason", json_count(info[SCRIM_INFO_IOMMU_FAULT_REASON]));
	json_put(&object, "address", json_address(info[SCRIM_INFO_IOMMU_FAULT_ADDRESS]));
	return object;
}

static json_t *iommu(const struct status *status)
{
	const uint64_t *info = status->info;
	json_t *object = json_object();

	json_put(&object, "kind", json_string(name_of_iommu(info[SCRIM_INFO_IOMMU])));
	json_put(&object, "units", json_count(info[SCRIM_INFO_IOMMU_UNITS]));
	json_put(&object, "translating", json_boolean(info[SCRIM_INFO_IOMMU_ON] != 0));
	json_put(&object, "faults", json_count(info[SCRIM_INFO_IOMMU_FAULTS]));
	json_put(&object, "last_fault", info[SCRIM_INFO_IOMMU_FAULTS] != 0 ? last_fault(info) : json_null());
	return object;
}

static json_t *machine_counters(const struct status *status)
{
	static const struct counter keys[] = {
		{ "switches", SCRIM_INFO_SWITCHES },
		{ "kicks", SCRIM_INFO_KICKS },
		{ "kicks_out", SCRIM_INFO_KICKS_OUT },
		{ "flushes", SCRIM_INFO_FLUSHES },
		{ "pages_moved", SCRIM_INFO_PAGES_MOVED },
		{ "batches", SCRIM_INFO_BATCHES },
		{ "cpus_lost", SCRIM_INFO_CPUS_LOST },
		COUNTER_END,
	};

	return counters(status, keys);
}

static json_t *watch(const struct status *status)
{
	static const struct counter keys[] = {
		{ "frames", SCRIM_INFO_WATCH_FRAMES },
		{ "copies", SCRIM_INFO_IMAGE_COPIES },
		COUNTER_END,
	};
	json_t *object = counters(status, keys);

	json_put(&object, "kind", json_string(name_of_watch(status->info[SCRIM_INFO_WATCH])));
	return object;
}

static json_t *time_of(const struct status *status, enum scrim_info ticks, double units_per_second)
{
	double seconds;

	return status_seconds(status, ticks, &seconds) ? json_real(seconds * units_per_second) : json_null();
}

static json_t *last_operation(const struct status *status)
{
	static const struct counter keys[] = {
		{ "pages_moved", SCRIM_INFO_LAST_PAGES_MOVED },
		{ "copies", SCRIM_INFO_LAST_COPIES },
		{ "direct", SCRIM_INFO_LAST_DIRECT },
		{ "indirect", SCRIM_INFO_LAST_INDIRECT },
		COUNTER_END,
	};
	const char *name = status_last_name(status);
	json_t *object = counters(status, keys);

	json_put(&object, "name", name == NULL ? json_null() : json_string(name));
	json_put(&object, "longest_pause_us", time_of(status, SCRIM_INFO_LAST_LONGEST_EXIT_TSC, 1e6));
	json_put(&object, "seconds", time_of(status, SCRIM_INFO_LAST_TSC, 1));
	return object;
}

json_t *status_json(const struct status *status)
{
	char version[STATUS_VERSION_SIZE];
	json_t *root = json_object();

	json_put(&root, "version", json_string(status_version(status, version)));
	json_put(&root, "abi", json_count(SCRIM_ABI_VERSION));
	json_put(&root, "vendor", json_string(name_of_vendor(status->info[SCRIM_INFO_VENDOR])));
	json_put(&root, "state", json_string(name_of_state(status->info[SCRIM_INFO_STATE])));
	json_put(&root, "backend", json_string(name_of_backend(status->info[SCRIM_INFO_BACKEND])));
	json_put(&root, "cpus_in_os", json_count(status->info[SCRIM_INFO_CPUS_IN_OS]));
	json_put(&root, "cpus_translating", json_count(status->info[SCRIM_INFO_CPUS_TRANSLATING]));
	json_put(&root, "dma_free", json_boolean(status->info[SCRIM_INFO_DMA_FREE] != 0));
	json_put(&root, "tsc_hz", json_count(status->info[SCRIM_INFO_TSC_HZ]));
	json_put(&root, "reverse", json_string(name_of_reverse(status->info[SCRIM_INFO_REVERSE])));
	json_put(&root, "cpus", cpus(status));
	json_put(&root, "portions", portions(status));
	json_put(&root, "pages", pages(status));
	json_put(&root, "exits", exits(status->exits, status->exits_total));
	json_put(&root, "memory", memory(status));
	json_put(&root, "ranges", all_ranges(status));
	json_put(&root, "counters", machine_counters(status));
	json_put(&root, "v2m", v2m(status));
	json_put(&root, "iommu", iommu(status));
	json_put(&root, "watch", watch(status));
	json_put(&root, "last_operation", last_operation(status));
	return root;
}
