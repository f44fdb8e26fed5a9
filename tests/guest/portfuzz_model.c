/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a second opinion on abi/scrim_abi.h: which answers each request may get in a state that is known, and which
 * requests must not be sent because they would be carried out. Where the ABI leaves a choice (an argument that the
 * operation does not take; which of two faults of an address is told) both answers are allowed. What watches answer is
 * portfuzz_watch.c's.
 */
#include "portfuzz.h"

#define ANY_ARGUMENT FUZZ_STATUS(SCRIM_EINVAL) /* an unused argument is not 0 */
#define PAGE_MASK    ((uint64_t)GUEST_PAGE_SIZE - 1)

#define ONLY_VIRTUALIZED (1u << SCRIM_VIRTUALIZED)

bool model_info_counts(const struct fuzz *fuzz, unsigned info)
{
	/* The estimate of a pause is measured when it is asked for; the OS's first writes take a watch's tables and frames, and wait. */
	if (info == SCRIM_INFO_MAP_BYTES || info == SCRIM_INFO_WATCH_FRAMES || info == SCRIM_INFO_IMAGE_COPIES || info == SCRIM_INFO_IMAGE_WAITED_TSC)
		return watch_is_on(fuzz);
	return info == SCRIM_INFO_KICKS || info == SCRIM_INFO_KICKS_OUT || info == SCRIM_INFO_FLUSHES || info == SCRIM_INFO_PAUSE_US ||
	       (info >= SCRIM_INFO_V2M_TABLES && info <= SCRIM_INFO_V2M_LINKS_BROKEN) || info == SCRIM_INFO_V2M_RETURNS ||
	       info == SCRIM_INFO_V2M_WAKES;
}

static uint32_t model_state(const struct fuzz *fuzz)
{
	return (uint32_t)fuzz->now.info[SCRIM_INFO_STATE];
}

enum ram_answer model_ram(const struct fuzz *fuzz, uint64_t address)
{
	uint64_t page = address & ~PAGE_MASK, last = page + PAGE_MASK;
	enum ram_answer answer = RAM_NO;

	for (unsigned i = 0; i < fuzz->now.range_count[SCRIM_RANGE_RAM]; i++) {
		const struct fuzz_range *range = &fuzz->now.ranges[SCRIM_RANGE_RAM][i];

		if (range->start <= page && last < range->end)
			return RAM_WHOLE;
		if (range->start <= last && page < range->end)
			answer = RAM_PARTLY;
	}
	return answer;
}

/* What may be said against an address, before the state is looked at. */
static uint32_t model_address_faults(const struct fuzz *fuzz, uint64_t address)
{
	uint32_t faults = 0;

	if ((address & PAGE_MASK) != 0)
		faults |= FUZZ_STATUS(SCRIM_EALIGN);
	if (model_ram(fuzz, address) != RAM_WHOLE)
		faults |= FUZZ_STATUS(SCRIM_ENOTRAM);
	return faults;
}

/* A request that changes the map, or what may be moved: carried out in some of the states unless its arguments or a watch refuse it. */
static uint32_t model_changes(const struct fuzz *fuzz, uint32_t states, bool valid, uint32_t faults)
{
	if ((states >> model_state(fuzz) & 1) == 0)
		return faults | FUZZ_STATUS(SCRIM_ESTATE);
	if (watch_is_on(fuzz))
		return faults | FUZZ_STATUS(SCRIM_EWATCH);
	return valid ? 0 : faults;
}

static uint32_t model_move(const struct fuzz *fuzz, uint64_t address)
{
	uint32_t faults = model_address_faults(fuzz, address);
	bool surely = (faults & FUZZ_STATUS(SCRIM_EALIGN)) != 0 || model_ram(fuzz, address) == RAM_NO;

	return model_changes(fuzz, ONLY_VIRTUALIZED, !surely, surely ? faults : faults | FUZZ_STATUS(SCRIM_EDMA));
}

bool model_touches(const struct fuzz *fuzz, unsigned kind, uint64_t address)
{
	uint64_t page = address & ~PAGE_MASK, last = page + PAGE_MASK;

	for (unsigned i = 0; i < fuzz->now.range_count[kind]; i++)
		if (fuzz->now.ranges[kind][i].start <= last && page < fuzz->now.ranges[kind][i].end)
			return true;
	return false;
}

/* A frame of the reserve may be retired as well as one of RAM. */
static uint32_t model_retire(const struct fuzz *fuzz, uint64_t address)
{
	uint32_t faults = model_address_faults(fuzz, address);

	bool surely = (faults & FUZZ_STATUS(SCRIM_EALIGN)) != 0 ||
		      (model_ram(fuzz, address) == RAM_NO && !model_touches(fuzz, SCRIM_RANGE_FRAMES, address));

	return model_changes(fuzz, ONLY_VIRTUALIZED, !surely, faults);
}

static uint32_t model_translate(const struct fuzz *fuzz, uint64_t address)
{
	uint32_t faults = model_address_faults(fuzz, address);

	if (model_ram(fuzz, address) != RAM_NO)
		faults |= FUZZ_STATUS(SCRIM_OK);
	return faults;
}

static uint32_t model_step(const struct fuzz *fuzz, uint64_t pages)
{
	bool valid = pages >= 1 && pages <= SCRIM_BATCH_MAX;

	if (model_state(fuzz) == SCRIM_REMAPPING)
		return valid ? 0 : FUZZ_STATUS(SCRIM_EINVAL);
	return FUZZ_STATUS(SCRIM_ESTATE) | (valid ? 0 : FUZZ_STATUS(SCRIM_EINVAL));
}

static uint32_t model_unless(bool could_change, uint32_t allowed)
{
	return could_change ? 0 : allowed;
}

/* An argument that the operation does not take may be refused if it is not 0. */
static uint32_t model_unused(uint64_t argument, uint32_t allowed)
{
	return allowed != 0 && argument != 0 ? allowed | ANY_ARGUMENT : allowed;
}

static uint32_t model_index(bool valid)
{
	return valid ? FUZZ_STATUS(SCRIM_OK) : FUZZ_STATUS(SCRIM_EINVAL);
}

/* --- operations on ranges --- */

/* What may be said against [start, end) of this kind; 0 where it may be a valid one. Of several faults any may be told.
 */
static uint32_t model_range_faults(const struct fuzz *fuzz, unsigned kind, uint64_t start, uint64_t end)
{
	uint32_t faults = 0;

	if (((start | end) & PAGE_MASK) != 0)
		faults |= FUZZ_STATUS(SCRIM_EALIGN);
	if (start >= end)
		faults |= FUZZ_STATUS(SCRIM_EINVAL);
	if (!model_touches(fuzz, kind, start) || !model_touches(fuzz, kind, end - 1))
		faults |= FUZZ_STATUS(SCRIM_EINVAL) | FUZZ_STATUS(SCRIM_ENOTRAM);
	return faults;
}

static uint32_t model_devirtualize(const struct fuzz *fuzz, uint64_t argument0, uint64_t end)
{
	uint32_t faults = (argument0 & PAGE_MASK) >= SCRIM_REMAP_COUNT ? FUZZ_STATUS(SCRIM_EINVAL) : 0;

	if (end != 0)
		faults |= model_range_faults(fuzz, SCRIM_RANGE_MANAGED, argument0 & ~PAGE_MASK, end) &
			  ~FUZZ_STATUS(SCRIM_ENOTRAM);
	else if (argument0 & ~(uint64_t)PAGE_MASK)
		faults |= FUZZ_STATUS(SCRIM_EINVAL); /* a start without an end */
	if (model_state(fuzz) == SCRIM_VIRTUALIZED)
		return faults;
	/* In REMAPPING and CEASING it goes on: that would count as a part of the operation. */
	return model_state(fuzz) > SCRIM_VIRTUALIZED ? 0 : faults | FUZZ_STATUS(SCRIM_ESTATE);
}

/* MANAGE, LEND, UNLEND: `states` are those in which it is carried out. */
static uint32_t model_ranged(const struct fuzz *fuzz, uint32_t states, unsigned kind, uint64_t start, uint64_t end)
{
	uint32_t faults = model_range_faults(fuzz, kind, start, end);

	/* There may be a hole between two ends that are good. */
	return model_changes(fuzz, states, faults == 0, faults == 0 ? FUZZ_STATUS(SCRIM_ENOTRAM) | FUZZ_STATUS(SCRIM_EINVAL) : faults);
}

static uint32_t model_aim(const struct fuzz *fuzz, uint64_t start, uint64_t end)
{
	uint32_t faults = 0;

	if (((start | end) & PAGE_MASK) != 0)
		faults |= FUZZ_STATUS(SCRIM_EALIGN);
	if (start >= end)
		faults |= FUZZ_STATUS(SCRIM_EINVAL);
	return model_changes(fuzz, ONLY_VIRTUALIZED, faults == 0, faults);
}

static uint32_t model_allowed_to_move(const struct fuzz *fuzz, uint32_t op, uint64_t argument0, uint64_t argument1)
{
	const uint32_t managing = 1u << SCRIM_COMMENCING | 1u << SCRIM_VIRTUALIZED;
	const uint32_t lending = 1u << SCRIM_GUARDED | 1u << SCRIM_NATIVE | 1u << SCRIM_VIRTUALIZED;
	uint32_t invalid = FUZZ_STATUS(SCRIM_EINVAL);
	bool batch = argument0 >= 1 && argument0 <= SCRIM_BATCH_MAX;

	switch (op) {
	case SCRIM_OP_PAUSED:
		return model_unless(model_state(fuzz) == SCRIM_REMAPPING, FUZZ_STATUS(SCRIM_ESTATE) | invalid);
	case SCRIM_OP_BACKEND:
		return model_changes(fuzz, ONLY_VIRTUALIZED, argument0 >= SCRIM_BACKEND_NESTED && argument0 <= SCRIM_BACKEND_VTLB,
				     invalid | FUZZ_STATUS(SCRIM_ENOTABLE));
	case SCRIM_OP_REVERSE:
		return model_changes(fuzz, ONLY_VIRTUALIZED, argument0 < SCRIM_REVERSE_COUNT, invalid);
	case SCRIM_OP_MANAGE:
		return model_ranged(fuzz, managing, SCRIM_RANGE_RAM, argument0, argument1);
	case SCRIM_OP_AIM:
		return model_aim(fuzz, argument0, argument1);
	case SCRIM_OP_SCATTER:
		return model_changes(fuzz, ONLY_VIRTUALIZED, argument1 >= 1 && argument1 <= SCRIM_FRACTION_ALL, invalid);
	case SCRIM_OP_SCATTER_STEP:
		return model_changes(fuzz, ONLY_VIRTUALIZED, batch && argument0 > 1, invalid);
	case SCRIM_OP_SHARE:
		return model_changes(fuzz, ONLY_VIRTUALIZED, true, invalid);
	case SCRIM_OP_SHARE_STEP:
		return model_changes(fuzz, ONLY_VIRTUALIZED, batch, invalid);
	case SCRIM_OP_LEND:
		return model_ranged(fuzz, lending, SCRIM_RANGE_RAM, argument0, argument1);
	case SCRIM_OP_UNLEND:
		return model_ranged(fuzz, lending, SCRIM_RANGE_LENT, argument0, argument1);
	case SCRIM_OP_RETIRE:
		return model_retire(fuzz, argument0);
	case SCRIM_OP_MACHINE_CHECK:
		return invalid; /* no machine check comes while the fuzzer runs */
	case SCRIM_OP_WATCH:
		return model_unused(argument1, model_watch(fuzz, argument0));
	case SCRIM_OP_IMAGE_READ:
		return model_image_read(fuzz, argument0, argument1);
	case SCRIM_OP_IMAGE_CPU:
		return model_image_cpu(fuzz, argument0, argument1);
	case SCRIM_OP_DIRTY:
		return model_unused(argument1, model_dirty(fuzz, argument0));
	default:
		return FUZZ_STATUS(SCRIM_EBADREQ);
	}
}

static uint32_t model_census(uint64_t start, uint64_t end)
{
	uint32_t faults = ((start | end) & PAGE_MASK) != 0 ? FUZZ_STATUS(SCRIM_EALIGN) : 0;

	if (start >= end || end - start > SCRIM_CENSUS_MAX)
		faults |= FUZZ_STATUS(SCRIM_EINVAL);
	return faults != 0 ? faults : FUZZ_STATUS(SCRIM_OK);
}

uint32_t model_allowed(const struct fuzz *fuzz, uint32_t eax, uint64_t argument0, uint64_t argument1)
{
	uint32_t state = model_state(fuzz), no_state = FUZZ_STATUS(SCRIM_ESTATE);
	bool cpu = argument0 < fuzz->now.info[SCRIM_INFO_CPUS];

	if ((eax & 0xffff0000u) != SCRIM_MAGIC)
		return FUZZ_STATUS(SCRIM_EBADREQ);
	switch (eax & 0xffffu) {
	case SCRIM_OP_VERSION:
		return FUZZ_STATUS(SCRIM_OK);
	case SCRIM_OP_INFO:
		return model_unused(argument1, model_index(argument0 < SCRIM_INFO_COUNT));
	case SCRIM_OP_CPU_INFO:
		return model_index(cpu && argument1 < SCRIM_CPU_INFO_COUNT);
	case SCRIM_OP_CPU_EXITS:
		return model_index(cpu && argument1 < SCRIM_EXIT_COUNT);
	case SCRIM_OP_RANGE:
		return model_index(argument1 < SCRIM_RANGE_COUNT &&
				   argument0 < fuzz->now.range_count[argument1 % SCRIM_RANGE_COUNT]);
	case SCRIM_OP_VIRTUALIZE:
		return argument0 > 1 || argument1 > SCRIM_BACKEND_VTLB ? no_state | ANY_ARGUMENT
								       : model_unless(state <= SCRIM_COMMENCING, no_state);
	case SCRIM_OP_VISIT:
		return model_unless(state == SCRIM_COMMENCING || state == SCRIM_CEASING, FUZZ_STATUS(SCRIM_OK));
	case SCRIM_OP_ABORT:
		return model_unless(state == SCRIM_COMMENCING || state >= SCRIM_REMAPPING, no_state);
	case SCRIM_OP_DEVIRTUALIZE:
		return model_devirtualize(fuzz, argument0, argument1);
	case SCRIM_OP_STEP:
		return model_unused(argument1, model_step(fuzz, argument0));
	case SCRIM_OP_MOVE:
		return model_move(fuzz, argument0);
	case SCRIM_OP_CENSUS:
		return model_census(argument0, argument1);
	case SCRIM_OP_TRACE:
		return model_unless(argument0 < SCRIM_TRACE_ORDER_COUNT, ANY_ARGUMENT);
	case SCRIM_OP_TRACE_READ:
		return model_unused(argument1, model_index(cpu));
	case SCRIM_OP_CHECK:
		return model_unused(argument0 | argument1, FUZZ_STATUS(SCRIM_OK));
	case SCRIM_OP_TRANSLATE:
		return model_unused(argument1, model_translate(fuzz, argument0));
	default:
		return model_allowed_to_move(fuzz, eax & 0xffffu, argument0, argument1);
	}
}

static void model_check_info(struct fuzz *fuzz, uint64_t info, uint64_t value)
{
	if (fuzz->known && !model_info_counts(fuzz, (unsigned)info) && value != fuzz->now.info[info])
		fuzz_fail(fuzz, "INFO %lu is %lu, and was %lu", info, value, fuzz->now.info[info]);
}

static void model_check_translate(struct fuzz *fuzz, uint64_t address, uint64_t machine, uint64_t displaced)
{
	bool home = (machine & ~PAGE_MASK) == (address & ~PAGE_MASK);

	if (displaced > 1 || home != (displaced == 0))
		fuzz_fail(fuzz, "TRANSLATE does not agree with itself");
	if (displaced != 0 && fuzz->known && fuzz->now.info[SCRIM_INFO_PAGES_DISPLACED] == 0)
		fuzz_fail(fuzz, "TRANSLATE tells of a displaced page where INFO has none");
}

/* Nothing is in the hands of a batch: nobody moves pages meanwhile. And nothing is read-only for a watch where none is on. */
static void model_check_census(struct fuzz *fuzz, uint64_t changed, uint64_t held)
{
	if ((uint32_t)held != 0)
		fuzz_fail(fuzz, "CENSUS tells of a batch");
	if (fuzz->known && held >> 32 != 0 && fuzz->now.info[SCRIM_INFO_WATCH] == SCRIM_WATCH_NONE)
		fuzz_fail(fuzz, "CENSUS tells of a watch where INFO has none");
	if (fuzz->known && (uint32_t)changed > fuzz->now.info[SCRIM_INFO_PAGES_DISPLACED])
		fuzz_fail(fuzz, "CENSUS tells of more displaced pages than INFO");
}

void model_check_results(struct fuzz *fuzz)
{
	uint64_t argument0 = port_in.rcx << 32 | (uint32_t)port_in.rbx, argument1 = port_in.rdi << 32 | (uint32_t)port_in.rsi;
	uint64_t result0 = port_out.rcx << 32 | (uint32_t)port_out.rbx,
		 result1 = port_out.rdi << 32 | (uint32_t)port_out.rsi;

	switch (port_in.rax & 0xffffu) {
	case SCRIM_OP_VERSION:
		if (result0 != SCRIM_ABI_VERSION)
			fuzz_fail(fuzz, "VERSION is not %u", SCRIM_ABI_VERSION);
		break;
	case SCRIM_OP_INFO:
		model_check_info(fuzz, argument0, result0);
		break;
	case SCRIM_OP_RANGE:
		if (result0 >= result1)
			fuzz_fail(fuzz, "RANGE ends before it starts");
		break;
	case SCRIM_OP_VISIT:
		if (fuzz->known && (result0 != 0 || result1 >= fuzz->now.info[SCRIM_INFO_CPUS]))
			fuzz_fail(fuzz, "VISIT tells of CPUs that there are not");
		break;
	case SCRIM_OP_TRANSLATE:
		model_check_translate(fuzz, argument0, result0, result1);
		break;
	case SCRIM_OP_CENSUS:
		model_check_census(fuzz, result0, result1);
		break;
	case SCRIM_OP_IMAGE_READ:
		watch_check_image(fuzz, argument0, argument1, result0);
		break;
	case SCRIM_OP_DIRTY:
		watch_check_dirty(fuzz, argument0, result0, result1);
		break;
	default:
		break;
	}
}
