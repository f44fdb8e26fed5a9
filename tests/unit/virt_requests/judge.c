/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of what each request may be answered. Faults of the arguments and of the state are collected; where there is
 * one, one of them is the answer. Where there is none the request is carried out, or there is no memory for it.
 */
#include "judge.h"

#include <string.h>

#include "base/hash.h"
#include "mem/p2m.h"
#include "mem/reverse.h"
#include "os.h"
#include "sim.h"
#include "virt/guard.h"

#define OK JUDGE_STATUS(SCRIM_OK)
#define INVALID JUDGE_STATUS(SCRIM_EINVAL)
#define STATE JUDGE_STATUS(SCRIM_ESTATE)
#define NOTRAM JUDGE_STATUS(SCRIM_ENOTRAM)
#define ALIGN JUDGE_STATUS(SCRIM_EALIGN)
#define NODMA JUDGE_STATUS(SCRIM_EDMA)
#define NOFRAME JUDGE_STATUS(SCRIM_ENOFRAME)
#define NOTABLE JUDGE_STATUS(SCRIM_ENOTABLE)
#define DISPLACED JUDGE_STATUS(SCRIM_EDISPLACED)
#define LOST JUDGE_STATUS(SCRIM_ECPU)
#define WATCHED JUDGE_STATUS(SCRIM_EWATCH)
#define FAULT JUDGE_STATUS(SCRIM_EFAULT)

static const uint32_t ever[SCRIM_OP_COUNT] = {
	[SCRIM_OP_VERSION] = OK,
	[SCRIM_OP_INFO] = OK | INVALID,
	[SCRIM_OP_CPU_INFO] = OK | INVALID,
	[SCRIM_OP_CPU_EXITS] = OK | INVALID,
	[SCRIM_OP_RANGE] = OK | INVALID,
	[SCRIM_OP_VIRTUALIZE] = OK | INVALID | STATE | NOTABLE,
	[SCRIM_OP_VISIT] = OK,
	[SCRIM_OP_ABORT] = OK | STATE,
	[SCRIM_OP_DEVIRTUALIZE] = OK | STATE | ALIGN | INVALID | NOFRAME,
	[SCRIM_OP_STEP] = OK | INVALID | STATE | NOFRAME | NOTABLE | LOST | WATCHED,
	[SCRIM_OP_MOVE] = OK | STATE | NOTRAM | ALIGN | NODMA | NOFRAME | NOTABLE | DISPLACED | LOST | WATCHED,
	[SCRIM_OP_CHECK] = OK,
	[SCRIM_OP_TRANSLATE] = OK | NOTRAM,
	[SCRIM_OP_CENSUS] = OK | ALIGN | INVALID,
	[SCRIM_OP_TRACE] = OK | INVALID,
	[SCRIM_OP_TRACE_READ] = OK | INVALID,
	[SCRIM_OP_PAUSED] = OK | STATE | NOFRAME | NOTABLE | LOST | WATCHED,
	[SCRIM_OP_REVERSE] = OK | INVALID | STATE | NOTABLE | WATCHED,
	[SCRIM_OP_MANAGE] = OK | ALIGN | NOTRAM | INVALID | STATE | WATCHED,
	[SCRIM_OP_AIM] = OK | ALIGN | INVALID | STATE | LOST | WATCHED,
	[SCRIM_OP_SCATTER] = OK | INVALID | STATE | LOST | WATCHED,
	[SCRIM_OP_SCATTER_STEP] = OK | INVALID | STATE | NOFRAME | NOTABLE | LOST | WATCHED,
	[SCRIM_OP_SHARE] = OK | INVALID | STATE | LOST | WATCHED,
	[SCRIM_OP_SHARE_STEP] = OK | INVALID | STATE | NOFRAME | LOST | WATCHED,
	[SCRIM_OP_LEND] = OK | STATE | ALIGN | NOTRAM | DISPLACED | INVALID | WATCHED,
	[SCRIM_OP_UNLEND] = OK | STATE | ALIGN | NOTRAM | DISPLACED | NOFRAME | INVALID | WATCHED,
	[SCRIM_OP_BACKEND] = OK | STATE | INVALID | NOTABLE | WATCHED,
	[SCRIM_OP_WATCH] = OK | INVALID | STATE | LOST | WATCHED,
	[SCRIM_OP_IMAGE_READ] = OK | INVALID | STATE | ALIGN | NOTRAM | NOFRAME | FAULT,
	[SCRIM_OP_IMAGE_CPU] = OK | INVALID,
	[SCRIM_OP_DIRTY] = OK | STATE | ALIGN | NOTABLE,
	[SCRIM_OP_RETIRE] = OK | STATE | ALIGN | NOTRAM | NODMA | NOFRAME | NOTABLE | DISPLACED | INVALID | LOST | WATCHED,
	[SCRIM_OP_MACHINE_CHECK] = OK | INVALID,
};

static uint32_t if_so(bool fault, uint32_t status)
{
	return fault ? status : 0;
}

static bool is_state(enum scrim_state a, enum scrim_state b)
{
	return machine.state == a || machine.state == b;
}

static uint32_t watch_faults(void)
{
	return if_so(machine.watch.kind != SCRIM_WATCH_NONE, WATCHED);
}

/* Of requests that move pages. */
static uint32_t moving_faults(enum scrim_state state)
{
	return if_so(machine.state != state, STATE) | if_so(machine.count.cpus_lost, LOST) | watch_faults();
}

static uint32_t range_faults(uint64_t start, uint64_t end)
{
	return if_so((start | end) & PAGE_MASK, ALIGN) | if_so(start >= end, INVALID);
}

static uint32_t batch_faults(uint64_t pages, uint64_t least)
{
	return if_so(pages < least || pages > SCRIM_BATCH_MAX, INVALID);
}

static uint32_t devirtualize_faults(uint64_t start, uint64_t end)
{
	uint64_t mode = start & PAGE_MASK;
	uint32_t faults = if_so(mode >= SCRIM_REMAP_COUNT, INVALID);

	start -= mode;
	if (machine.state != SCRIM_VIRTUALIZED)
		return faults | if_so(!is_state(SCRIM_REMAPPING, SCRIM_CEASING), STATE);
	if (!end)
		return faults | if_so(start, INVALID);
	return faults | range_faults(start, end) |
	       if_so(!ranges_contain(&machine.mem.managed, start, end, RANGE_RAM) ||
			     !ranges_contain(&machine.os_ram, start, end, RANGE_RAM),
		     INVALID);
}

static uint32_t move_faults(uint64_t address)
{
	gfn_t page = gfn_of_address(address);
	uint32_t faults = moving_faults(SCRIM_VIRTUALIZED) | if_so(address & PAGE_MASK, ALIGN);

	if (!mem_is_ram(&machine.mem, page))
		return faults | NOTRAM;
	if (!mem_may_displace(&machine.mem, page))
		faults |= NODMA;
	return faults | if_so(p2m_is_displaced(p2m_entry(&machine.mem, page), page), DISPLACED);
}

static uint32_t retire_faults(uint64_t address)
{
	mfn_t frame = mfn_of_address(address);
	gfn_t page = gfn(frame.n);
	uint32_t faults = moving_faults(SCRIM_VIRTUALIZED) | if_so(address & PAGE_MASK, ALIGN);

	if (frames_is_retired(&machine.mem, frame) || frames_is_extra(&machine.mem, frame))
		return faults;
	return faults | (mem_is_ram(&machine.mem, page) ? if_so(!mem_may_be_managed(&machine.mem, page), NODMA) : NOTRAM);
}

static uint32_t manage_faults(uint64_t start, uint64_t end)
{
	return range_faults(start, end) | if_so(!ranges_contain(&machine.os_ram, start, end, RANGE_RAM), NOTRAM) |
	       if_so(!is_state(SCRIM_COMMENCING, SCRIM_VIRTUALIZED), STATE) | watch_faults();
}

static bool is_lent(uint64_t address)
{
	const struct range *range = ranges_find(&machine.mem.lent, address);

	return range && range->type == RANGE_RAM;
}

/* Every page of the range at home, alone and not lent. */
static bool is_clean(uint64_t start, uint64_t end)
{
	for (uint64_t page = start >> PAGE_SHIFT; page < end >> PAGE_SHIFT && page < SIM_PAGES; page++)
		if (p2m_entry(&machine.mem, gfn(page)) != p2m_make_entry(mfn(page), MEM_ACCESS_ALL) ||
		    is_lent(page << PAGE_SHIFT))
			return false;
	return true;
}

static uint32_t lend_faults(uint64_t start, uint64_t end)
{
	return if_so(!is_state(SCRIM_NATIVE, SCRIM_VIRTUALIZED), STATE) | range_faults(start, end) |
	       if_so(!ranges_contain(&machine.os_ram, start, end, RANGE_RAM), NOTRAM) |
	       if_so(!is_clean(start, end), DISPLACED) | watch_faults();
}

static uint32_t unlend_faults(uint64_t start, uint64_t end)
{
	uint32_t faults = if_so(!is_state(SCRIM_NATIVE, SCRIM_VIRTUALIZED), STATE) | range_faults(start, end) | watch_faults();
	bool lent = ranges_contain(&machine.mem.lent, start, end, RANGE_RAM);

	faults |= if_so(!lent, INVALID | NOTRAM);
	for (uint64_t page = start >> PAGE_SHIFT; lent && page < end >> PAGE_SHIFT; page++)
		faults |= if_so(!frames_is_free(&machine.mem, mfn(page)), DISPLACED);
	return faults;
}

static uint32_t info_faults(uint32_t op, uint64_t first, uint64_t second)
{
	switch (op) {
	case SCRIM_OP_INFO:
		return if_so(first >= SCRIM_INFO_COUNT, INVALID);
	case SCRIM_OP_CPU_INFO:
		return if_so(first >= SIM_CPUS || second >= SCRIM_CPU_INFO_COUNT, INVALID);
	case SCRIM_OP_CPU_EXITS:
		return if_so(first >= SIM_CPUS || second >= SCRIM_EXIT_COUNT, INVALID);
	case SCRIM_OP_RANGE:
		return if_so(second >= SCRIM_RANGE_COUNT || first >= RANGES_MAX * RANGES_MAX, INVALID);
	default:
		return 0;
	}
}

/* The course of a scatter or share, and what begins one. */
static uint32_t course_faults(uint32_t op, uint64_t first, uint64_t second)
{
	uint32_t faults = moving_faults(SCRIM_VIRTUALIZED);
	const struct mem_share *share = &machine.share;

	switch (op) {
	case SCRIM_OP_AIM:
		return faults | range_faults(first, second);
	case SCRIM_OP_SCATTER:
		return faults | if_so(second < 1 || second > SCRIM_FRACTION_ALL || !machine.aim.end, INVALID);
	case SCRIM_OP_SCATTER_STEP:
		return faults | batch_faults(first, 2) | if_so(!machine.scatter.pages, INVALID);
	case SCRIM_OP_SHARE:
		return faults | if_so(!machine.aim.end, INVALID);
	default: /* SHARE_STEP */
		return faults | batch_faults(first, 1) | if_so(share->next.n >= share->last.n, INVALID);
	}
}

/* Without memory there is nested alone. */
static uint32_t backend_faults(uint64_t backend)
{
	return if_so(!machine.cpu[0].v2m && (backend == SCRIM_BACKEND_SHADOW || backend == SCRIM_BACKEND_VTLB), NOTABLE);
}

static uint32_t begin_faults(uint64_t kind, uint64_t writes)
{
	if (kind == SCRIM_WATCH_NONE)
		return 0;
	return if_so(kind >= SCRIM_WATCH_COUNT || writes >= SCRIM_WRITES_COUNT, INVALID) | if_so(kind == SCRIM_WATCH_DIRTY && writes, INVALID) | moving_faults(SCRIM_VIRTUALIZED);
}

static uint32_t reading_faults(enum scrim_watch kind, uint32_t failed)
{
	return machine.watch.failed == kind ? failed : if_so(machine.watch.kind != kind, STATE);
}

static uint32_t image_faults(uint64_t first, uint64_t buffer)
{
	uint64_t count = first & PAGE_MASK & ~(uint64_t)SCRIM_IMAGE_KEEP;
	uint32_t faults = reading_faults(SCRIM_WATCH_IMAGE, NOFRAME) | if_so(count < 1 || count > SCRIM_IMAGE_READ_MAX, INVALID) |
			  if_so(buffer & PAGE_MASK, ALIGN) | if_so(buffer >= sizeof(sim_buffer[0]), FAULT);

	for (uint64_t i = 0; i < count && i < SCRIM_IMAGE_READ_MAX; i++) {
		uint64_t address = align_down(first, PAGE_SIZE) + i * PAGE_SIZE;
		faults |= if_so(!mem_is_ram(&machine.mem, gfn_of_address(address)) || is_lent(address), NOTRAM);
	}
	return faults;
}

static uint32_t faults_of(uint32_t op, uint64_t first, uint64_t second)
{
	switch (op) {
	case SCRIM_OP_VIRTUALIZE:
		return if_so(first > 1 || second > SCRIM_BACKEND_VTLB, INVALID) | backend_faults(second) |
		       if_so(!is_state(SCRIM_NATIVE, SCRIM_COMMENCING), STATE);
	case SCRIM_OP_BACKEND:
		return if_so(first < SCRIM_BACKEND_NESTED || first > SCRIM_BACKEND_VTLB, INVALID) | backend_faults(first) |
		       if_so(machine.state != SCRIM_VIRTUALIZED, STATE) | watch_faults();
	case SCRIM_OP_CENSUS:
		return range_faults(first, second) | if_so(first < second && second - first > SCRIM_CENSUS_MAX, INVALID);
	case SCRIM_OP_TRACE:
		return if_so(first >= SCRIM_TRACE_ORDER_COUNT, INVALID);
	case SCRIM_OP_TRACE_READ:
		return if_so(first >= SIM_CPUS, INVALID);
	case SCRIM_OP_ABORT:
		return if_so(is_state(SCRIM_NATIVE, SCRIM_VIRTUALIZED), STATE);
	case SCRIM_OP_DEVIRTUALIZE:
		return devirtualize_faults(first, second);
	case SCRIM_OP_STEP:
		return moving_faults(SCRIM_REMAPPING) | batch_faults(first, 1);
	case SCRIM_OP_MOVE:
		return move_faults(first);
	case SCRIM_OP_RETIRE:
		return retire_faults(first);
	case SCRIM_OP_MACHINE_CHECK:
		return OK | INVALID; /* what was told since the memory was virtualized is not counted here */
	case SCRIM_OP_TRANSLATE:
		return if_so(!mem_is_ram(&machine.mem, gfn_of_address(first)), NOTRAM);
	case SCRIM_OP_PAUSED:
		return moving_faults(SCRIM_REMAPPING);
	case SCRIM_OP_REVERSE:
		return if_so(first >= SCRIM_REVERSE_COUNT, INVALID) | if_so(machine.state != SCRIM_VIRTUALIZED, STATE) | watch_faults();
	case SCRIM_OP_MANAGE:
		return manage_faults(first, second);
	case SCRIM_OP_LEND:
		return lend_faults(first, second);
	case SCRIM_OP_UNLEND:
		return unlend_faults(first, second);
	case SCRIM_OP_WATCH:
		return begin_faults(first, second);
	case SCRIM_OP_IMAGE_READ:
		return image_faults(first, second);
	case SCRIM_OP_IMAGE_CPU:
		return if_so(first >= SIM_CPUS || second >= SCRIM_REG_COUNT || !machine.cpu[first % SIM_CPUS].has_saved, INVALID);
	case SCRIM_OP_DIRTY:
		return if_so(first % (SCRIM_DIRTY_PAGES * PAGE_SIZE), ALIGN) | reading_faults(SCRIM_WATCH_DIRTY, NOTABLE);
	default:
		return op >= SCRIM_OP_AIM ? course_faults(op, first, second) : info_faults(op, first, second);
	}
}

static bool is_request(const struct request *request)
{
	return request->eax >> 16 == SCRIM_MAGIC >> 16 && (request->eax & 0xffff) < SCRIM_OP_COUNT;
}

uint32_t judge_allowed_ever(const struct request *request)
{
	return is_request(request) ? ever[request->eax & 0xffff] : JUDGE_STATUS(SCRIM_EBADREQ);
}

/* What is no fault of the request's: memory, room in lists, CPUs that do not come. */
static uint32_t shortages(uint32_t op)
{
	uint32_t lists = op == SCRIM_OP_DEVIRTUALIZE || op == SCRIM_OP_MANAGE || op == SCRIM_OP_LEND || op == SCRIM_OP_UNLEND ||
			 op == SCRIM_OP_RETIRE;
	uint32_t may = NOFRAME | NOTABLE | if_so(op == SCRIM_OP_PAUSED || op == SCRIM_OP_WATCH, LOST) | if_so(lists || op == SCRIM_OP_RANGE, INVALID);

	if (op == SCRIM_OP_DEVIRTUALIZE && machine.mem.free_frames)
		may &= ~NOFRAME;
	return ever[op] & may;
}

uint32_t judge_allowed(const struct request *request)
{
	if (!is_request(request))
		return JUDGE_STATUS(SCRIM_EBADREQ);
	uint32_t op = request->eax & 0xffff;
	uint32_t faults = faults_of(op, request->argument[0], request->argument[1]);
	return faults ? faults : OK | shortages(op);
}

/* --- what a refused request leaves alone --- */

static uint64_t mixed(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15ull + (sum >> 29);
}

static uint64_t hash_ranges(uint64_t sum, const struct range_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		sum = mixed(mixed(mixed(sum, list->entry[i].start), list->entry[i].end), list->entry[i].type);
	return mixed(sum, list->count);
}

static uint64_t hash_map(void)
{
	const struct mem *mem = &machine.mem;
	uint64_t sum = mixed(mixed(machine.state, mem->displaced), mem->read_only);

	sum = mixed(mixed(mixed(sum, mem->free_frames), mem->lent_frames), mem->saved);
	sum = mixed(mixed(sum, machine.watch.kind), mem->withdrawn_frames);
	sum = mixed(mixed(mixed(sum, mem->remap.active), mem->reverse->id), machine.backend);
	for (uint64_t chunk = 0; chunk < mem->chunk_count; chunk++)
		if (mem->root[chunk].leaf)
			sum = mixed(sum, chunk ^ hash_bytes(mem->root[chunk].leaf, PAGE_SIZE));
	return hash_ranges(hash_ranges(hash_ranges(sum, &mem->managed), &mem->lent), &mem->withdrawn);
}

static uint64_t hash_course(void)
{
	const struct machine_operation *last = &machine.last;
	uint64_t sum = mixed(mixed(machine.aim.start, machine.aim.end), machine.scatter.pages);

	sum = mixed(mixed(mixed(sum, machine.scatter.at), machine.share.next.n), machine.share.last.n);
	return mixed(mixed(mixed(sum, last->op), last->moved.pages), last->start_tsc);
}

struct judge_snapshot judge_look(void)
{
	return (struct judge_snapshot){ hash_map(), hash_course() };
}

/* --- the answer --- */

static void complain(const struct judge_case *one, const char *what)
{
	sim_fail("CPU %u: eax %x (%lx, %lx) in state %u: status %u, results %u: %lx %lx: %s", one->cpu->index, one->before.eax,
		 one->before.argument[0], one->before.argument[1], machine.state, one->after.eax, one->after.result_count,
		 one->after.result[0], one->after.result[1], what);
}

/* A step that finds no memory has looked around; PAUSED may have done part of its work. */
static void check_unchanged(const struct judge_case *one)
{
	struct judge_snapshot is = judge_look();
	uint32_t op = one->before.eax & 0xffff;
	bool shortage = one->after.eax == SCRIM_ENOFRAME || one->after.eax == SCRIM_ENOTABLE;

	if (op == SCRIM_OP_PAUSED && shortage)
		return;
	if (is.map != one->was.map)
		complain(one, "refused, and the map has changed");
	if (is.course != one->was.course && !shortage)
		complain(one, "refused, and the course of an operation has changed");
}

static void check_translate(const struct judge_case *one)
{
	uint64_t address = one->before.argument[0], frame = one->after.result[0];
	struct sim_translation found = { .present = true, .frame = align_down(address, PAGE_SIZE) };

	if (machine.xlat.root)
		found = sim_walk(address);
	if (found.present && found.frame + (address & PAGE_MASK) != frame)
		complain(one, "the hardware says otherwise");
	if (one->after.result[1] != (frame != address))
		complain(one, "displaced or not");
}

/* Who has been visited uses what was asked for; where nobody is left, all do. */
static void check_backend(const struct judge_case *one)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		const struct cpu *cpu = &machine.cpu[i];
		if ((cpu == one->cpu || (cpu->arrived && !one->after.result[0])) && machine.state != SCRIM_NATIVE &&
		    cpu->backend != machine.backend)
			complain(one, "a CPU uses another back-end");
	}
}

/* The map's own counts are of all pages: of the whole of RAM a census says the same. */
static void check_census(const struct judge_case *one)
{
	uint64_t displaced = (uint32_t)one->after.result[0], shared = one->after.result[0] >> 32;

	if (one->alone && !one->before.argument[0] && one->before.argument[1] >= SIM_END &&
	    (displaced != machine.mem.displaced || shared != machine.mem.read_only || (uint32_t)one->after.result[1] != machine.mem.in_flight))
		complain(one, "the map's own counts are others");
	if (displaced > machine.mem.displaced && one->alone)
		complain(one, "more displaced pages than there are");
}

static void check_trace_read(const struct judge_case *one)
{
	uint64_t start = one->after.result[0], kind = one->after.result[1] >> SCRIM_TRACE_KIND_SHIFT;

	if ((start == 0) != (kind == SCRIM_TRACE_NONE) || kind >= SCRIM_TRACE_KIND_COUNT)
		complain(one, "no event that there can be");
}

static void check_image(const struct judge_case *one)
{
	uint64_t first = align_down(one->before.argument[0], PAGE_SIZE), at = one->before.argument[1];

	for (uint64_t i = 0; i < one->after.result[0]; i++)
		if (!os_was(first + i * PAGE_SIZE, sim_buffer[one->cpu->index] + at + i * PAGE_SIZE))
			complain(one, "not as it was at the instant");
	/* Copies are there to be read until they are let go. */
	for (uint64_t i = 0; i < one->after.result[0] && !(one->before.argument[0] & SCRIM_IMAGE_KEEP); i++)
		os_let_go(first + i * PAGE_SIZE);
}

static void check_dirty(const struct judge_case *one)
{
	for (uint64_t i = 0; i < SCRIM_DIRTY_PAGES; i++) {
		uint64_t address = one->before.argument[0] + i * PAGE_SIZE;
		if (address < SIM_END && (one->after.result[i / 64] >> i % 64 & 1) != os_is_written(address))
			complain(one, "written or not");
	}
}

static void check_results(const struct judge_case *one)
{
	const struct request *after = &one->after;

	switch (one->before.eax & 0xffff) {
	case SCRIM_OP_VISIT:
		if (after->result[1] != one->cpu->index)
			complain(one, "index of the CPU");
		check_backend(one);
		break;
	case SCRIM_OP_TRANSLATE:
		check_translate(one);
		break;
	case SCRIM_OP_CENSUS:
		check_census(one);
		break;
	case SCRIM_OP_TRACE_READ:
		check_trace_read(one);
		break;
	case SCRIM_OP_MOVE:
		if (sim_walk(one->before.argument[0]).frame != after->result[0])
			complain(one, "the page is not where it was moved");
		break;
	case SCRIM_OP_MACHINE_CHECK:
		if ((after->result[0] ^ after->result[1]) & PAGE_MASK)
			complain(one, "another place in the page");
		if (one->told && one->before.argument[0] == 0 && sim_walk(after->result[0]).frame != align_down(after->result[1], PAGE_SIZE))
			complain(one, "the page that was told is elsewhere");
		break;
	case SCRIM_OP_RETIRE:
		if (!after->result[0] != frames_is_retired(&machine.mem, mfn_of_address(one->before.argument[0])))
			complain(one, "retired or not");
		break;
	case SCRIM_OP_STEP:
	case SCRIM_OP_PAUSED:
		if (after->result[0] != machine.mem.displaced || after->result[1] != machine.state)
			complain(one, "displaced, or the state");
		break;
	case SCRIM_OP_DIRTY:
		check_dirty(one);
		break;
	default:
		break;
	}
}

/* What was read is the caller's own, whoever runs beside it. */
static void check_reading(const struct judge_case *one)
{
	if (one->after.eax != SCRIM_OK || one->before.eax != SCRIM_REQUEST(SCRIM_OP_IMAGE_READ) || one->instants != os_instants())
		return;
	check_image(one);
}

void judge_answer(const struct judge_case *one)
{
	enum scrim_status status = (enum scrim_status)one->after.eax;
	uint32_t allowed = one->alone ? one->allowed : judge_allowed_ever(&one->before);
	uint32_t results = status == SCRIM_OK ? 2 : status == SCRIM_ESTATE ? 1 : 0;

	if (status >= SCRIM_STATUS_COUNT || !(allowed & JUDGE_STATUS(status)))
		complain(one, "no answer that may be");
	if (one->after.result_count != (one->before.eax == SCRIM_REQUEST(SCRIM_OP_CHECK) ? 2 : results))
		complain(one, "number of results");
	check_reading(one);
	if (!one->alone)
		return;
	if (status == SCRIM_ESTATE && one->after.result[0] != guard_machine_state())
		complain(one, "the state");
	if (status != SCRIM_OK)
		check_unchanged(one);
	else
		check_results(one);
}
