/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: reads the machine's state for `status`. */
#include "virt/request_info.h"

#include "hw/delay.h"
#include "virt/dma.h"
#include "virt/own.h"
#include "virt/guard.h"
#include "virt/memvirt.h"
#include "virt/moving.h"
#include "virt/shadow.h"
#include "virt/trace.h"
#include "virt/waiting.h"
#include "virt/vendor.h"

static uint64_t cpus_in_os(void)
{
	return machine.arrived;
}

static uint64_t cpus_translating(void)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < machine.cpu_count; i++)
		count += machine.cpu[i].arrived && machine.cpu[i].translating;
	return count;
}

/* The `index`th piece of RAM that is managed; false: there are not so many. None is in NATIVE, where nothing can be displaced. */
static bool managed_range(uint64_t index, struct range *piece)
{
	const struct range_list *managed = &machine.mem.managed;

	if (!memvirt_is_on())
		return false;
	for (uint32_t i = 0; i < machine.os_ram.count; i++)
		for (uint32_t j = 0; j < managed->count; j++) {
			const struct range *a = &machine.os_ram.entry[i], *b = &managed->entry[j];
			piece->start = a->start > b->start ? a->start : b->start;
			piece->end = a->end < b->end ? a->end : b->end;
			if (b->type == RANGE_RAM && piece->start < piece->end && !index--)
				return true;
		}
	return false;
}

/* The `index`th piece of a list that has the type, likewise. */
static bool typed_range(const struct range_list *list, uint32_t type, uint64_t index, struct range *piece)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->entry[i].type == type && !index--) {
			*piece = list->entry[i];
			return true;
		}
	return false;
}

static bool list_range(const struct range_list *list, uint64_t index, struct range *piece)
{
	return typed_range(list, RANGE_RAM, index, piece);
}

static bool retired_range(uint64_t index, struct range *piece)
{
	return typed_range(&machine.mem.withdrawn, RANGE_UNUSABLE, index, piece);
}

static bool lent_range(uint64_t index, struct range *piece)
{
	return list_range(&machine.mem.lent, index, piece);
}

static bool remapping_range(uint64_t index, struct range *piece)
{
	if (machine.state != SCRIM_REMAPPING)
		return false;
	*piece = machine.homecoming.portion;
	return machine.homecoming.whole ? managed_range(index, piece) : index == 0;
}

/* Pages that may be displaced now: managed RAM that no device writes past the map. */
static uint64_t pages_managed(void)
{
	uint64_t pages = 0;
	struct range piece;

	for (uint64_t i = 0; managed_range(i, &piece); i++)
		for (uint32_t j = 0; j < machine.mem.config.movable->count; j++) {
			const struct range *b = &machine.mem.config.movable->entry[j];
			uint64_t start = align_up(piece.start > b->start ? piece.start : b->start, PAGE_SIZE);
			uint64_t end = align_down(piece.end < b->end ? piece.end : b->end, PAGE_SIZE);
			pages += start < end ? (end - start) >> PAGE_SHIFT : 0;
		}
	return pages;
}

static uint64_t map_bytes(void)
{
	return (machine.xlat.table_count + machine.dma.xlat.table_count + machine.mem.leaf_count + machine.mem.reverse_leaf_count) << PAGE_SHIFT;
}

static uint64_t fixed_bytes(void)
{
	const struct machine_memory *m = &machine.memory;

	return m->own_end - m->own_start - m->reserve_bytes - m->v2m_bytes;
}

static uint64_t info_of_last(enum scrim_info item)
{
	const struct machine_operation *last = &machine.last;

	switch (item) {
	case SCRIM_INFO_LAST_OP:
		return last->op;
	case SCRIM_INFO_LAST_PAGES_MOVED:
		return last->moved.pages;
	case SCRIM_INFO_LAST_COPIES:
		return last->moved.copies;
	case SCRIM_INFO_LAST_DIRECT:
		return last->moved.direct;
	case SCRIM_INFO_LAST_INDIRECT:
		return last->moved.indirect;
	case SCRIM_INFO_LAST_LONGEST_EXIT_TSC:
		return last->longest_exit_tsc;
	default:
		return last->end_tsc - last->start_tsc;
	}
}

static uint64_t info_of_memory(enum scrim_info item)
{
	switch (item) {
	case SCRIM_INFO_PAGES_RAM:
		return ranges_pages(&machine.os_ram, RANGE_RAM);
	case SCRIM_INFO_PAGES_MANAGED:
		return pages_managed();
	case SCRIM_INFO_PAGES_DISPLACED:
		return machine.mem.displaced;
	case SCRIM_INFO_PAGES_SHARED:
		return machine.mem.read_only;
	case SCRIM_INFO_FRAMES_SAVED:
		return machine.mem.saved;
	case SCRIM_INFO_FRAMES_LENT:
		return machine.mem.lent_frames;
	case SCRIM_INFO_FRAMES_FREE:
		return machine.mem.free_frames;
	case SCRIM_INFO_IMAGE_BYTES:
		return machine.memory.image_bytes;
	case SCRIM_INFO_VMM_BYTES:
		return machine.memory.own_end - machine.memory.own_start + PAGE_SIZE;
	case SCRIM_INFO_FIXED_BYTES:
		return fixed_bytes() + PAGE_SIZE; /* and the start-up page */
	case SCRIM_INFO_MAP_BYTES:
		return map_bytes();
	default:
		return machine.mem.retired_frames; /* SCRIM_INFO_FRAMES_RETIRED */
	}
}

static uint64_t info_of_machine(enum scrim_info item)
{
	switch (item) {
	case SCRIM_INFO_STATE:
		return guard_machine_state();
	case SCRIM_INFO_VENDOR:
		return machine.vendor->id;
	case SCRIM_INFO_BACKEND:
		return machine.state == SCRIM_NATIVE ? SCRIM_BACKEND_NATIVE : machine.backend;
	case SCRIM_INFO_CPUS:
		return machine.cpu_count;
	case SCRIM_INFO_CPUS_IN_OS:
		return cpus_in_os();
	case SCRIM_INFO_CPUS_TRANSLATING:
		return cpus_translating();
	case SCRIM_INFO_SWITCHES:
		return machine.count.switches;
	case SCRIM_INFO_KICKS:
		return machine.count.kicks;
	case SCRIM_INFO_FLUSHES:
		return machine.count.flushes;
	case SCRIM_INFO_CPUS_LOST:
		return machine.count.cpus_lost;
	case SCRIM_INFO_TSC_HZ:
		return delay_tsc_hz();
	case SCRIM_INFO_REVERSE:
		return mem_reverse_in_use(&machine.mem);
	case SCRIM_INFO_PAUSE_US:
		return moving_pause_us();
	default:
		return machine.mem.config.movable->count != 0; /* SCRIM_INFO_DMA_FREE */
	}
}

static uint64_t info_of_v2m(enum scrim_info item)
{
	const struct shadow_figures figures = shadow_figures();

	switch (item) {
	case SCRIM_INFO_V2M_TABLES:
		return figures.used;
	case SCRIM_INFO_V2M_BOUND:
		return figures.bound;
	case SCRIM_INFO_V2M_LOADS:
		return figures.count.loads;
	case SCRIM_INFO_V2M_COPIED:
		return figures.count.copied;
	case SCRIM_INFO_V2M_EVICTIONS:
		return figures.count.evictions;
	case SCRIM_INFO_V2M_FLUSHES:
		return figures.count.flushes;
	case SCRIM_INFO_V2M_SYNCED:
		return figures.count.synced;
	case SCRIM_INFO_V2M_LINKS:
		return figures.links;
	case SCRIM_INFO_V2M_LINK_ENTRIES:
		return figures.link_entries;
	case SCRIM_INFO_V2M_LINKS_MADE:
		return figures.count.links_made;
	case SCRIM_INFO_V2M_LINKS_MET:
		return figures.count.links_met;
	case SCRIM_INFO_V2M_LINKS_BROKEN:
		return figures.links_broken;
	case SCRIM_INFO_V2M_RETURNS:
		return figures.count.returns;
	case SCRIM_INFO_V2M_WAKES:
		return figures.count.wakes;
	default:
		return machine.memory.v2m_bytes;
	}
}

static uint64_t info_of_iommu(enum scrim_info item)
{
	const struct machine_dma *dma = &machine.dma;

	switch (item) {
	case SCRIM_INFO_IOMMU:
		return dma->ops ? dma->ops->id : SCRIM_IOMMU_NONE;
	case SCRIM_INFO_IOMMU_UNITS:
		return dma->ops ? dma->units : 0;
	case SCRIM_INFO_IOMMU_ON:
		return dma->ops && dma->ops->is_translating();
	case SCRIM_INFO_IOMMU_FAULTS:
		dma_collect_faults();
		return dma->faults;
	case SCRIM_INFO_IOMMU_FAULT_SOURCE:
		return dma->last_fault.source;
	case SCRIM_INFO_IOMMU_FAULT_REASON:
		return dma->last_fault.reason;
	default:
		return dma->last_fault.address;
	}
}

static uint64_t info_of_activity(enum scrim_info item)
{
	switch (item) {
	case SCRIM_INFO_PAGES_MOVED:
		return machine.last.moved_before + machine.last.moved.pages + machine.count.unshared.pages;
	case SCRIM_INFO_BATCHES:
		return machine.count.batches;
	case SCRIM_INFO_TRACE_ON:
		return trace_is_on();
	case SCRIM_INFO_KICKS_OUT:
		return __atomic_load_n(&machine.count.kicks_out, __ATOMIC_RELAXED);
	default:
		return trace_events();
	}
}

static uint64_t info_of_watch(enum scrim_info item)
{
	switch (item) {
	case SCRIM_INFO_IMAGE_WAITED_TSC:
		return waiting_tsc();
	case SCRIM_INFO_WATCH:
		return machine.watch.kind;
	case SCRIM_INFO_WATCH_FRAMES:
		return watch_frames(&machine.watch);
	default:
		return machine.watch.copied;
	}
}

err_t request_info(struct cpu *self, struct request *request)
{
	enum scrim_info item = (enum scrim_info)request->argument[0];

	(void)self;
	if (request->argument[0] >= SCRIM_INFO_COUNT)
		return SCRIM_EINVAL;
	if (item >= SCRIM_INFO_PAGES_RAM && item <= SCRIM_INFO_MAP_BYTES)
		request->result[0] = info_of_memory(item);
	else if (item == SCRIM_INFO_V2M_RETURNS || item == SCRIM_INFO_V2M_WAKES)
		request->result[0] = info_of_v2m(item);
	else if (item >= SCRIM_INFO_PAGES_MOVED && item <= SCRIM_INFO_KICKS_OUT)
		request->result[0] = info_of_activity(item);
	else if (item >= SCRIM_INFO_WATCH)
		request->result[0] = info_of_watch(item);
	else if (item >= SCRIM_INFO_IOMMU)
		request->result[0] = info_of_iommu(item);
	else if (item >= SCRIM_INFO_V2M_BYTES)
		request->result[0] = info_of_v2m(item);
	else if (item >= SCRIM_INFO_LAST_OP && item <= SCRIM_INFO_LAST_TSC)
		request->result[0] = info_of_last(item);
	else
		request->result[0] = info_of_machine(item);
	return SCRIM_OK;
}

err_t request_cpu_info(struct cpu *self, struct request *request)
{
	(void)self;
	if (request->argument[0] >= machine.cpu_count || request->argument[1] >= SCRIM_CPU_INFO_COUNT)
		return SCRIM_EINVAL;
	const struct cpu *cpu = &machine.cpu[request->argument[0]];
	uint64_t total = 0;
	for (uint32_t cause = 0; cause < SCRIM_EXIT_COUNT; cause++)
		total += cpu->exits[cause];
	const uint64_t value[SCRIM_CPU_INFO_COUNT] = {
		[SCRIM_CPU_APIC_ID] = cpu->apic_id,
		[SCRIM_CPU_MODE] = guard_cpu_mode(cpu),
		[SCRIM_CPU_VMCB] = cpu->control_block,
		[SCRIM_CPU_EXITS_TOTAL] = total,
		[SCRIM_CPU_NMIS_PASSED] = cpu->nmis_passed,
		[SCRIM_CPU_STALLS] = cpu->stalls.count,
		[SCRIM_CPU_STALL_TSC] = cpu->stalls.tsc,
		[SCRIM_CPU_STALL_LONGEST_TSC] = cpu->stalls.longest_tsc,
		[SCRIM_CPU_TRACE_LOST] = trace_lost(cpu),
	};
	request->result[0] = value[request->argument[1]];
	return SCRIM_OK;
}

err_t request_cpu_exits(struct cpu *self, struct request *request)
{
	(void)self;
	if (request->argument[0] >= machine.cpu_count || request->argument[1] >= SCRIM_EXIT_COUNT)
		return SCRIM_EINVAL;
	request->result[0] = machine.cpu[request->argument[0]].exits[request->argument[1]];
	return SCRIM_OK;
}

static bool own_range(uint64_t index, struct range *piece)
{
	const struct machine_memory *m = &machine.memory;

	if (index == 0)
		*piece = (struct range){ m->own_start, m->own_end, 0 };
	else
		*piece = (struct range){ m->startup_page, m->startup_page + PAGE_SIZE, 0 };
	return index < 2;
}

static bool frames_range(uint64_t index, struct range *piece)
{
	*piece = (struct range){ machine.memory.frames_start, machine.memory.frames_end, 0 };
	return index == 0;
}

static bool ram_range(uint64_t index, struct range *piece)
{
	return list_range(&machine.os_ram, index, piece);
}

static bool dma_free_range(uint64_t index, struct range *piece)
{
	return list_range(&machine.dma_free, index, piece);
}

err_t request_range(struct cpu *self, struct request *request)
{
	static bool (*const range_of[SCRIM_RANGE_COUNT])(uint64_t index, struct range *piece) = {
		[SCRIM_RANGE_RAM] = ram_range,         [SCRIM_RANGE_OWN] = own_range,
		[SCRIM_RANGE_DMA_FREE] = dma_free_range, [SCRIM_RANGE_FRAMES] = frames_range,
		[SCRIM_RANGE_MANAGED] = managed_range, [SCRIM_RANGE_REMAPPING] = remapping_range,
		[SCRIM_RANGE_LENT] = lent_range,       [SCRIM_RANGE_RETIRED] = retired_range,
	};
	struct range piece;

	(void)self;
	if (request->argument[1] >= SCRIM_RANGE_COUNT || !range_of[request->argument[1]](request->argument[0], &piece))
		return SCRIM_EINVAL;
	request->result[0] = piece.start;
	request->result[1] = piece.end;
	return SCRIM_OK;
}
