/* SPDX-License-Identifier: BSD-2-Clause */
/* The status as a page to read. Its wording may change: programs read --json. */
#include "status_table.h"

#include <inttypes.h>

#include "names.h"
#include "text.h"

static void print_head(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;
	char version[STATUS_VERSION_SIZE];

	fprintf(out, "Scrim %s, ABI %u, %s\n\n", status_version(status, version), SCRIM_ABI_VERSION,
		name_of_vendor(info[SCRIM_INFO_VENDOR]));
	fprintf(out, "state      %s: %s\n", name_of_state(info[SCRIM_INFO_STATE]),
		meaning_of_state(info[SCRIM_INFO_STATE]));
	fprintf(out, "backend    %s\n", name_of_backend(info[SCRIM_INFO_BACKEND]));
	fprintf(out,
		"CPUs       %" PRIu64 " listed by firmware, %" PRIu64 " in the OS, %" PRIu64 " behind the map, %" PRIu64
		" lost\n",
		info[SCRIM_INFO_CPUS], info[SCRIM_INFO_CPUS_IN_OS], info[SCRIM_INFO_CPUS_TRANSLATING],
		info[SCRIM_INFO_CPUS_LOST]);
	fprintf(out,
		"pages      %" PRIu64 " of RAM, %" PRIu64 " managed, %" PRIu64 " displaced, %" PRIu64 " shared\n"
		"frames     %" PRIu64 " free, %" PRIu64 " lent, %" PRIu64 " saved by sharing, %" PRIu64
		" retired; occupants known by %s\n",
		info[SCRIM_INFO_PAGES_RAM], info[SCRIM_INFO_PAGES_MANAGED], info[SCRIM_INFO_PAGES_DISPLACED],
		info[SCRIM_INFO_PAGES_SHARED], info[SCRIM_INFO_FRAMES_FREE], info[SCRIM_INFO_FRAMES_LENT],
		info[SCRIM_INFO_FRAMES_SAVED], info[SCRIM_INFO_FRAMES_RETIRED],
		name_of_reverse(info[SCRIM_INFO_REVERSE]));
}

static void print_memory(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;
	char all[TEXT_BYTES], fixed[TEXT_BYTES], image[TEXT_BYTES], map[TEXT_BYTES];

	fprintf(out, "memory     %s of Scrim's own: %s fixed (code and data %s), the rest by reserve=; map %s now\n",
		text_bytes(all, info[SCRIM_INFO_VMM_BYTES]), text_bytes(fixed, info[SCRIM_INFO_FIXED_BYTES]),
		text_bytes(image, info[SCRIM_INFO_IMAGE_BYTES]), text_bytes(map, info[SCRIM_INFO_MAP_BYTES]));
	fprintf(out, "watch      %s; %" PRIu64 " frames for an image's copies of pages, %" PRIu64 " made by the last\n",
		name_of_watch(info[SCRIM_INFO_WATCH]), info[SCRIM_INFO_WATCH_FRAMES], info[SCRIM_INFO_IMAGE_COPIES]);
	fprintf(out,
		"counters   %" PRIu64 " switches, %" PRIu64 " kicks, %" PRIu64 " flushes, %" PRIu64 " pages moved, %" PRIu64
		" batches\n",
		info[SCRIM_INFO_SWITCHES], info[SCRIM_INFO_KICKS], info[SCRIM_INFO_FLUSHES], info[SCRIM_INFO_PAGES_MOVED],
		info[SCRIM_INFO_BATCHES]);
}

static void print_devices(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;

	if (info[SCRIM_INFO_IOMMU] == SCRIM_IOMMU_NONE) {
		fprintf(out, "devices    %s\n",
			info[SCRIM_INFO_DMA_FREE] != 0 ? "pages may move in the dma-free ranges below"
						       : "no page may move: no IOMMU is driven, and dma-free= names no memory");
		return;
	}
	fprintf(out, "devices    %" PRIu64 " units of %s, %s; %" PRIu64 " faults", info[SCRIM_INFO_IOMMU_UNITS],
		name_of_iommu(info[SCRIM_INFO_IOMMU]), info[SCRIM_INFO_IOMMU_ON] != 0 ? "translating" : "passing through",
		info[SCRIM_INFO_IOMMU_FAULTS]);
	if (info[SCRIM_INFO_IOMMU_FAULTS] != 0)
		fprintf(out, ", the last by %02x:%02x.%x at 0x%" PRIx64 ", reason %" PRIu64,
			(unsigned)(info[SCRIM_INFO_IOMMU_FAULT_SOURCE] >> 8 & 0xff),
			(unsigned)(info[SCRIM_INFO_IOMMU_FAULT_SOURCE] >> 3 & 0x1f),
			(unsigned)(info[SCRIM_INFO_IOMMU_FAULT_SOURCE] & 7), info[SCRIM_INFO_IOMMU_FAULT_ADDRESS],
			info[SCRIM_INFO_IOMMU_FAULT_REASON]);
	fputc('\n', out);
}

static void print_last(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;
	const char *name = status_last_name(status);
	double pause, seconds;

	if (name == NULL) {
		fputs("last       nothing yet\n", out);
		return;
	}
	fprintf(out,
		"last       %s: %" PRIu64 " pages moved, %" PRIu64 " copies (%" PRIu64 " direct, %" PRIu64 " indirect)",
		name, info[SCRIM_INFO_LAST_PAGES_MOVED], info[SCRIM_INFO_LAST_COPIES], info[SCRIM_INFO_LAST_DIRECT],
		info[SCRIM_INFO_LAST_INDIRECT]);
	if (status_seconds(status, SCRIM_INFO_LAST_LONGEST_EXIT_TSC, &pause) &&
	    status_seconds(status, SCRIM_INFO_LAST_TSC, &seconds))
		fprintf(out, ", longest pause %.1f us, %.6f s", pause * 1e6, seconds);
	fputc('\n', out);
}

static void print_v2m(FILE *out, const struct status *status)
{
	const uint64_t *info = status->info;

	fprintf(out, "v2m        %" PRIu64 " of %" PRIu64 " tables in use; loads %" PRIu64 ", copied %" PRIu64 ", evictions %" PRIu64 ", flushes %" PRIu64
		", synced %" PRIu64 ", wakes %" PRIu64 ", returns %" PRIu64 "\n", info[SCRIM_INFO_V2M_TABLES], info[SCRIM_INFO_V2M_BOUND], info[SCRIM_INFO_V2M_LOADS], info[SCRIM_INFO_V2M_COPIED],
		info[SCRIM_INFO_V2M_EVICTIONS], info[SCRIM_INFO_V2M_FLUSHES], info[SCRIM_INFO_V2M_SYNCED], info[SCRIM_INFO_V2M_WAKES], info[SCRIM_INFO_V2M_RETURNS]);
	fprintf(out, "           %" PRIu64 " of the OS's own tables linked, with %" PRIu64 " entries; made %" PRIu64 ", met %" PRIu64 ", broken %" PRIu64 "\n",
		info[SCRIM_INFO_V2M_LINKS], info[SCRIM_INFO_V2M_LINK_ENTRIES], info[SCRIM_INFO_V2M_LINKS_MADE], info[SCRIM_INFO_V2M_LINKS_MET],
		info[SCRIM_INFO_V2M_LINKS_BROKEN]);
}

static void print_range(FILE *out, const char *title, const struct range *range, const char *note)
{
	char size[TEXT_BYTES];

	fprintf(out, "%-10s 0x%012" PRIx64 "-0x%012" PRIx64 "  %10s  %s\n", title, range->start, range->end,
		text_bytes(size, range->end - range->start), note);
}

static void print_ranges(FILE *out, const char *title, const struct range_list *ranges, const char *note)
{
	for (size_t i = 0; i < ranges->count; i++)
		print_range(out, i == 0 ? title : "", &ranges->items[i], note);
}

static void print_causes(FILE *out, const uint64_t *exits)
{
	for (unsigned cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		if (exits[cause] != 0)
			fprintf(out, " %s %" PRIu64, name_of_exit(cause), exits[cause]);
	fputc('\n', out);
}

static void print_cpus(FILE *out, const struct status *status)
{
	fprintf(out, "\n CPU    APIC  mode              NMIs  %s                 exits  by cause\n",
		status->info[SCRIM_INFO_VENDOR] == SCRIM_VENDOR_INTEL ? "VMCS" : "VMCB");
	for (uint64_t i = 0; i < status->info[SCRIM_INFO_CPUS]; i++) {
		const struct status_cpu *cpu = &status->cpus[i];

		fprintf(out, "%4" PRIu64 "  %6" PRIu64 "  %-11s  %9" PRIu64 "  0x%012" PRIx64 "  %10" PRIu64 " ", i,
			cpu->info[SCRIM_CPU_APIC_ID], name_of_cpu_mode(cpu->info[SCRIM_CPU_MODE]),
			cpu->info[SCRIM_CPU_NMIS_PASSED], cpu->info[SCRIM_CPU_VMCB], cpu->exits_total);
		print_causes(out, cpu->exits);
	}
	fprintf(out, " all                                             %12" PRIu64 " ", status->exits_total);
	print_causes(out, status->exits);
}

void status_table(FILE *out, const struct status *status)
{
	print_head(out, status);
	print_memory(out, status);
	print_devices(out, status);
	print_last(out, status);
	print_v2m(out, status);
	fputc('\n', out);
	for (size_t i = 0; i < status->portion_count; i++)
		print_range(out, i == 0 ? "RAM" : "", &status->portions[i].range, status->portions[i].state);
	print_ranges(out, "lent", &status->ranges[SCRIM_RANGE_LENT], "part of RAM");
	print_ranges(out, "retired", &status->ranges[SCRIM_RANGE_RETIRED], "frames, machine addresses");
	print_ranges(out, "Scrim's", &status->ranges[SCRIM_RANGE_OWN], "");
	print_ranges(out, "frames", &status->ranges[SCRIM_RANGE_FRAMES], "part of Scrim's");
	print_ranges(out, "dma-free", &status->ranges[SCRIM_RANGE_DMA_FREE], "");
	print_cpus(out, status);
	fprintf(out, "\nHow much moves need: %s.\n", status_reserve_formula);
}
