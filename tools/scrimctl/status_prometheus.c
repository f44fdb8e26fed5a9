/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The status as metrics. Names and labels are a contract, as the keys of --json are. What Scrim counts since boot is a counter and
 * ends in _total, what it has now is a gauge. No label has a character that the format would want escaped.
 */
#include "status_prometheus.h"

#include <inttypes.h>

#include "names.h"

struct metric {
	const char *name, *help;
	enum scrim_info info;
	unsigned bytes; /* of one; for pages, which are told in bytes */
};

static const struct metric gauges[] = {
	{ "scrim_cpus", "CPUs that firmware lists.", SCRIM_INFO_CPUS, 1 },
	{ "scrim_cpus_in_os", "CPUs that the OS runs on.", SCRIM_INFO_CPUS_IN_OS, 1 },
	{ "scrim_cpus_translating", "CPUs behind the map.", SCRIM_INFO_CPUS_TRANSLATING, 1 },
	{ "scrim_cpus_lost", "CPUs outside Scrim; no page is moved while there is one.", SCRIM_INFO_CPUS_LOST, 1 },
	{ "scrim_ram_bytes", "The OS's RAM.", SCRIM_INFO_PAGES_RAM, PAGE_BYTES },
	{ "scrim_managed_bytes", "RAM that may be displaced now.", SCRIM_INFO_PAGES_MANAGED, PAGE_BYTES },
	{ "scrim_displaced_bytes", "RAM that is not at home.", SCRIM_INFO_PAGES_DISPLACED, PAGE_BYTES },
	{ "scrim_shared_bytes", "RAM that reads a frame together with other RAM.", SCRIM_INFO_PAGES_SHARED, PAGE_BYTES },
	{ "scrim_saved_bytes", "RAM less the frames that it occupies.", SCRIM_INFO_FRAMES_SAVED, PAGE_BYTES },
	{ "scrim_free_frames_bytes", "Free frames.", SCRIM_INFO_FRAMES_FREE, PAGE_BYTES },
	{ "scrim_lent_bytes", "RAM lent by the OS.", SCRIM_INFO_FRAMES_LENT, PAGE_BYTES },
	{ "scrim_retired_bytes", "Frames that are never used again.", SCRIM_INFO_FRAMES_RETIRED, PAGE_BYTES },
	{ "scrim_vmm_bytes", "All that is reserved for Scrim.", SCRIM_INFO_VMM_BYTES, 1 },
	{ "scrim_map_bytes", "Tables in use for the map.", SCRIM_INFO_MAP_BYTES, 1 },
	{ "scrim_v2m_tables", "V2M tables in use.", SCRIM_INFO_V2M_TABLES, 1 },
	{ "scrim_iommu_units", "IOMMU units that Scrim drives.", SCRIM_INFO_IOMMU_UNITS, 1 },
	{ "scrim_iommu_translating", "1 while devices translate by the map.", SCRIM_INFO_IOMMU_ON, 1 },
};

static const struct metric counters[] = {
	{ "scrim_switches_total", "Completed switches of memory virtualization.", SCRIM_INFO_SWITCHES, 1 },
	{ "scrim_kicks_total", "NMIs by which Scrim asked something of its CPUs.", SCRIM_INFO_KICKS, 1 },
	{ "scrim_flushes_total", "Whole-TLB flushes asked of a CPU.", SCRIM_INFO_FLUSHES, 1 },
	{ "scrim_pages_moved_total", "Moves of pages.", SCRIM_INFO_PAGES_MOVED, 1 },
	{ "scrim_batches_total", "Batches of pages that were absent together.", SCRIM_INFO_BATCHES, 1 },
	{ "scrim_v2m_loads_total", "V2M entries composed with the map.", SCRIM_INFO_V2M_LOADS, 1 },
	{ "scrim_v2m_evictions_total", "V2M tables given up for room.", SCRIM_INFO_V2M_EVICTIONS, 1 },
	{ "scrim_iommu_faults_total", "Accesses of devices that the units refused.", SCRIM_INFO_IOMMU_FAULTS, 1 },
};

static void print_head(FILE *out, const char *name, const char *help, const char *type)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_metrics(FILE *out, const struct status *status, const struct metric *metrics, size_t count,
			  const char *type)
{
	for (size_t i = 0; i < count; i++) {
		print_head(out, metrics[i].name, metrics[i].help, type);
		fprintf(out, "%s %" PRIu64 "\n", metrics[i].name, status->info[metrics[i].info] * metrics[i].bytes);
	}
}

static void print_info(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;
	char version[STATUS_VERSION_SIZE];

	print_head(out, "scrim_info", "What serves this machine; always 1.", "gauge");
	fprintf(out, "scrim_info{version=\"%s\",abi=\"%u\",vendor=\"%s\",iommu=\"%s\"} 1\n",
		status_version(status, version), SCRIM_ABI_VERSION, name_of_vendor(info[SCRIM_INFO_VENDOR]),
		name_of_iommu(info[SCRIM_INFO_IOMMU]));
	print_head(out, "scrim_state", "1 for the state that the machine is in.", "gauge");
	for (unsigned state = 0; state < SCRIM_STATE_COUNT; state++)
		fprintf(out, "scrim_state{state=\"%s\"} %d\n", name_of_state(state), info[SCRIM_INFO_STATE] == state);
	print_head(out, "scrim_backend", "1 for what stands between the OS's memory and the machine's.", "gauge");
	for (unsigned backend = 0; backend <= SCRIM_BACKEND_VTLB; backend++)
		fprintf(out, "scrim_backend{backend=\"%s\"} %d\n", name_of_backend(backend),
			info[SCRIM_INFO_BACKEND] == backend);
}

/* A TSC of unknown rate tells no time: the metric is left out then. */
static void print_stalls(FILE *out, const struct status *status)
{
	uint64_t count = status->info[SCRIM_INFO_CPUS], hz = status->info[SCRIM_INFO_TSC_HZ];

	print_head(out, "scrim_stalls_total", "Times that a CPU waited for a page of a batch.", "counter");
	for (uint64_t i = 0; i < count; i++)
		fprintf(out, "scrim_stalls_total{cpu=\"%" PRIu64 "\"} %" PRIu64 "\n", i,
			status->cpus[i].info[SCRIM_CPU_STALLS]);
	if (hz == 0)
		return;
	print_head(out, "scrim_stall_seconds_total", "How long these waits were, together.", "counter");
	for (uint64_t i = 0; i < count; i++)
		fprintf(out, "scrim_stall_seconds_total{cpu=\"%" PRIu64 "\"} %.9f\n", i,
			(double)status->cpus[i].info[SCRIM_CPU_STALL_TSC] / (double)hz);
}

static void print_cpus(FILE *out, const struct status *status)
{
	uint64_t count = status->info[SCRIM_INFO_CPUS];

	print_head(out, "scrim_exits_total", "Exits of a CPU to Scrim by cause.", "counter");
	for (uint64_t i = 0; i < count; i++)
		for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
			fprintf(out, "scrim_exits_total{cpu=\"%" PRIu64 "\",cause=\"%s\"} %" PRIu64 "\n", i,
				name_of_exit(cause), status->cpus[i].exits[cause]);
	print_head(out, "scrim_nmis_passed_total", "NMIs given to the OS.", "counter");
	for (uint64_t i = 0; i < count; i++)
		fprintf(out, "scrim_nmis_passed_total{cpu=\"%" PRIu64 "\"} %" PRIu64 "\n", i,
			status->cpus[i].info[SCRIM_CPU_NMIS_PASSED]);
}

void status_prometheus(FILE *out, const struct status *status)
{
	print_info(out, status);
	print_metrics(out, status, gauges, sizeof(gauges) / sizeof(gauges[0]), "gauge");
	print_metrics(out, status, counters, sizeof(counters) / sizeof(counters[0]), "counter");
	print_cpus(out, status);
	print_stalls(out, status);
}
