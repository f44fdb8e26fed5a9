/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what must not change: taken before the first request, taken again and compared every FUZZ_CHECK_EVERY. */
#include "portfuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum scrim_status fuzz_request(struct fuzz *fuzz, enum scrim_op op, uint64_t argument0, uint64_t argument1,
			       uint64_t *result0, uint64_t *result1)
{
	fuzz_fill_registers(fuzz, false);
	port_in.rax = SCRIM_REQUEST(op);
	port_in.rbx = (uint32_t)argument0;
	port_in.rcx = argument0 >> 32;
	port_in.rsi = (uint32_t)argument1;
	port_in.rdi = argument1 >> 32;
	port_in.rdx = SCRIM_PORT;
	fuzz_execute(fuzz, PORT_INSN_in4);
	judge_request(fuzz, UINT32_MAX);
	*result0 = port_out.rcx << 32 | (uint32_t)port_out.rbx;
	*result1 = port_out.rdi << 32 | (uint32_t)port_out.rsi;
	return (enum scrim_status)port_out.rax;
}

/* A request that the snapshot cannot do without. */
static uint64_t snapshot_ask(struct fuzz *fuzz, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	uint64_t result0, result1;

	if (fuzz_request(fuzz, op, argument0, argument1, &result0, &result1) != SCRIM_OK)
		fuzz_fail(fuzz, "operation %u is refused", op);
	return result0;
}

static void snapshot_take_ranges(struct fuzz *fuzz, struct fuzz_snapshot *snapshot, unsigned kind)
{
	struct fuzz_range *range = snapshot->ranges[kind];
	unsigned count = 0;

	while (count < FUZZ_RANGES_MAX &&
	       fuzz_request(fuzz, SCRIM_OP_RANGE, count, kind, &range[count].start, &range[count].end) == SCRIM_OK)
		count++;
	if (count == FUZZ_RANGES_MAX)
		fuzz_fail(fuzz, "more than %u ranges", FUZZ_RANGES_MAX);
	else
		range[count] = (struct fuzz_range){ 0 };
	snapshot->range_count[kind] = count;
}

static void snapshot_take(struct fuzz *fuzz, struct fuzz_snapshot *snapshot)
{
	uint64_t cpus;

	memset(snapshot, 0, sizeof(*snapshot));
	for (unsigned info = 0; info < SCRIM_INFO_COUNT; info++)
		if (!model_info_counts(fuzz, info))
			snapshot->info[info] = snapshot_ask(fuzz, SCRIM_OP_INFO, info, 0);
	cpus = snapshot->info[SCRIM_INFO_CPUS];
	for (unsigned cpu = 0; cpu < cpus && cpu < FUZZ_CPUS_MAX; cpu++)
		for (unsigned info = 0; info <= SCRIM_CPU_VMCB; info++)
			snapshot->cpu[cpu][info] = snapshot_ask(fuzz, SCRIM_OP_CPU_INFO, cpu, info);
	for (unsigned kind = 0; kind < SCRIM_RANGE_COUNT; kind++)
		snapshot_take_ranges(fuzz, snapshot, kind);
}

static void snapshot_take_pages(struct fuzz *fuzz, struct fuzz_snapshot *snapshot)
{
	for (unsigned i = 0; i < FUZZ_SAMPLES; i++)
		snapshot->page[i] = snapshot_ask(fuzz, SCRIM_OP_TRANSLATE, fuzz->sample[i], 0);
}

/* Whole pages of the OS's RAM, anywhere in it. */
static void snapshot_choose_sample(struct fuzz *fuzz)
{
	unsigned count = fuzz->now.range_count[SCRIM_RANGE_RAM];

	for (unsigned i = 0; i < FUZZ_SAMPLES && count > 0;) {
		struct fuzz_range range = fuzz->now.ranges[SCRIM_RANGE_RAM][guest_random(&fuzz->random) % count];
		uint64_t first = (range.start + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE,
			 end = range.end / GUEST_PAGE_SIZE;

		if (first < end)
			fuzz->sample[i++] = (first + guest_random(&fuzz->random) % (end - first)) * GUEST_PAGE_SIZE;
	}
}

/* Not by SCRIM_ABSENT alone: an emulator may read something else where nobody answers. */
static void snapshot_require_scrim(struct fuzz *fuzz)
{
	uint64_t version, result1;

	if (fuzz_request(fuzz, SCRIM_OP_VERSION, 0, 0, &version, &result1) == SCRIM_OK && version == SCRIM_ABI_VERSION)
		return;
	fprintf(stderr,
		"portfuzz: nobody speaks version %u of the control interface at port 0x%x: Scrim is not loaded\n",
		SCRIM_ABI_VERSION, SCRIM_PORT);
	exit(1);
}

void snapshot_start(struct fuzz *fuzz)
{
	uint64_t result0, result1;
	unsigned limit = guest_cpu_limit();

	snapshot_require_scrim(fuzz);
	/* A guard that has ended may still have to be settled: that is a change, but none of ours. */
	for (unsigned cpu = 0; cpu < limit; cpu++)
		if (guest_pin(cpu) && snapshot_ask(fuzz, SCRIM_OP_INFO, SCRIM_INFO_STATE, 0) <= SCRIM_NATIVE)
			fuzz_request(fuzz, SCRIM_OP_VISIT, 0, 0, &result0, &result1);
	fuzz->watch = snapshot_ask(fuzz, SCRIM_OP_INFO, SCRIM_INFO_WATCH, 0);
	snapshot_take(fuzz, &fuzz->now);
	snapshot_choose_sample(fuzz);
	snapshot_take_pages(fuzz, &fuzz->now);
	fuzz->known = true;
}

void snapshot_compare(struct fuzz *fuzz)
{
	static struct fuzz_snapshot again;
	const struct fuzz_snapshot *now = &fuzz->now;

	snapshot_take(fuzz, &again);
	snapshot_take_pages(fuzz, &again);
	fuzz->checks++;
	/* Numbers first: they say what changed. */
	for (unsigned info = 0; info < SCRIM_INFO_COUNT; info++)
		if (again.info[info] != now->info[info])
			fuzz_fail(fuzz, "INFO %u has changed from %lu to %lu", info, now->info[info], again.info[info]);
	if (memcmp(again.cpu, now->cpu, sizeof(again.cpu)) != 0)
		fuzz_fail(fuzz, "CPU_INFO has changed");
	if (memcmp(again.ranges, now->ranges, sizeof(again.ranges)) != 0)
		fuzz_fail(fuzz, "a RANGE has changed");
	if (memcmp(again.page, now->page, sizeof(again.page)) != 0)
		fuzz_fail(fuzz, "a page has moved");
}
