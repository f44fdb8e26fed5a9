/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the count of the memory that Scrim's block has to hold on this machine, part by part. main.c hands the parts out. */
#include "hw/descriptors.h"
#include "main/boot_state.h"
#include "virt/dma.h"
#include "virt/shadow.h"
#include "virt/startup.h"
#include "virt/trace.h"
#include "virt/watching.h"

#define OWN_BOUNDARIES 2u /* where Scrim's own block begins and ends, which devices' tables do not map */

/* Pages of the Identity root: see xlat/nested_tree.c's tree_build(). */
static uint64_t identity_tables(uint32_t bits, bool has_1g, uint32_t boundaries)
{
	uint32_t most = has_1g ? 48 : 40;

	if (bits > most)
		bits = most;
	uint64_t pointer_tables = bits > 39 ? 1ull << (bits - 39) : 1;
	uint64_t directories = has_1g ? 0 : 1ull << (bits - 30);
	/* A directory and a table for the first 2 MiB, for the APIC's page, and at worst for each boundary. */
	return 1 + pointer_tables + directories + 2 * (2 + (uint64_t)boundaries);
}

/* For the hashes of a share: a slot of 8 bytes for each page, a power of two, up to what 512 MiB of different pages fill. */
uint64_t share_slots_bytes(uint64_t ram_end)
{
	uint64_t slots = PAGE_SIZE / sizeof(uint64_t);

	while (slots < ram_end >> PAGE_SHIFT && slots < MIB(512) >> PAGE_SHIFT)
		slots *= 2;
	return slots * sizeof(uint64_t);
}

/* Back-end: a word for each 2 MiB below the end of RAM. */
uint64_t near_bytes(uint64_t ram_end)
{
	return align_up(ram_end, MIB(2)) / MIB(2) * sizeof(uint64_t);
}

uint64_t cpu_near_bytes(void)
{
	return near_bytes(boot.ram_end > GIB(4) ? boot.ram_end : GIB(4));
}

/* Of all CPUs: for the back-ends shadow and vtlb. */
uint64_t v2m_bytes(void)
{
	return boot.acpi.cpu_count * shadow_cpu_bytes(boot.options.shadow_bytes);
}

void measure_demand(void)
{
	uint64_t cpus = boot.acpi.cpu_count;

	boot.demand.image_bytes = (uint64_t)(image_end - image_start);
	boot.demand.fixed_bytes = align_up(paging_bytes(boot.ram_end), PAGE_SIZE);
	boot.demand.fixed_tables = boot.demand.reserve_bytes = 0;
	if (!boot.serve)
		return;
	boot.demand.fixed_bytes += align_up(cpus * sizeof(struct cpu), PAGE_SIZE) +
				   cpus * (startup_cpu_bytes() + boot_vendor()->cpu_bytes) + boot_vendor()->shared_bytes;
	boot.demand.fixed_bytes +=
		align_up(mem_storage_bytes(boot.ram_end, boot.ram_end), PAGE_SIZE) + align_up(watch_storage_bytes(boot.ram_end), PAGE_SIZE) + share_slots_bytes(boot.ram_end) +
		align_up(cpu_near_bytes(), PAGE_SIZE) +
		cpus * align_up(sizeof(struct mem_batch), PAGE_SIZE) + shadow_shared_bytes() + v2m_bytes() +
		cpus * trace_ring_bytes(boot.options.trace_bytes);
	boot.demand.fixed_tables = identity_tables(boot.address_bits, boot.has_1g, boot.boundary_count);
	if (boot.iommu.kind != SCRIM_IOMMU_NONE) {
		const struct dma_limits *limits = &boot.iommu.limits;
		boot.demand.fixed_bytes += iommu_fixed_bytes(&boot.iommu) + dma_fixed_bytes((uint32_t)cpus) + align_up(near_bytes(boot.ram_end), PAGE_SIZE);
		boot.demand.fixed_tables += identity_tables(limits->address_bits, limits->has_1g, OWN_BOUNDARIES);
	}
	boot.demand.reserve_bytes = boot.options.reserve_bytes;
}
