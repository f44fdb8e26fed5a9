/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the meaning of a script's bytes. First the machine, then one operation after another: what, which CPU and how the others
 * go on meanwhile, arguments. Operations have more bytes or fewer (script.h): `advance` does what a tool would do next in this state.
 */
#include "script.h"

#include <string.h>

#include "judge.h"
#include "mem/frames.h"
#include "os.h"
#include "virt/machine_check.h"
#include "virt/memvirt.h"

#define OPERATIONS_MAX 400u
#define HOME_ROUNDS 3000u
#define DEAF_TURNS 2500u /* longer than anybody waits for a CPU but for a flush */

struct script_counts script_counts;

static struct script {
	const uint8_t *data;
	size_t left;
	uint64_t epoch; /* programs and requests that have begun */
	uint32_t status; /* of the last request */
	bool preempted;  /* of this operation: others may run within it */
	bool restless;   /* ... within each, and nobody waits for what went before */
} script;

static uint64_t fetch(uint32_t bytes)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < bytes && script.left; i++, script.left--)
		value |= (uint64_t)*script.data++ << 8 * i;
	return value;
}

/* --- checks --- */

static bool others_idle(const struct cpu *self)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (&machine.cpu[i] != self && sim_is_busy(&machine.cpu[i]))
			return false;
	return true;
}

static void check_machine(bool at_rest)
{
	uint64_t where = 0;

	if (machine.lock.taken)
		return;
	enum scrim_violation violation = memvirt_check(&where);
	if (violation != SCRIM_HOLDS)
		sim_fail("invariant %u does not hold at 0x%lx in state %u", violation, where, machine.state);
	os_check(at_rest && !machine.mem.in_flight);
	if (machine.xlat.root)
		sim_check_tlbs();
	if (machine.mem.displaced > script_counts.displaced)
		script_counts.displaced = machine.mem.displaced;
	if (machine.mem.read_only > script_counts.shared)
		script_counts.shared = machine.mem.read_only;
}

/* --- requests --- */

static bool is_change(const struct request *request)
{
	uint32_t op = request->eax - SCRIM_MAGIC;

	return (op >= SCRIM_OP_VIRTUALIZE && op <= SCRIM_OP_MOVE) || (op >= SCRIM_OP_PAUSED && op < SCRIM_OP_CENSUS);
}

static void task_request(struct cpu *cpu, struct sim_task *task)
{
	struct judge_case one = { .cpu = cpu, .alone = others_idle(cpu) };
	uint64_t epoch = ++script.epoch;

	one.instants = os_instants();
	one.before = (struct request){ .eax = task->op, .argument = { task->argument[0], task->argument[1] } };
	script_counts.in_flight += machine.mem.in_flight > 0;
	sim_exit_begin(cpu);
	one.told = task->op == SCRIM_REQUEST(SCRIM_OP_MACHINE_CHECK) && machine.state == SCRIM_VIRTUALIZED &&
		   machine_check_tell(cpu, &task->argument[1]); /* the OS has read a bank */
	one.allowed = one.alone ? judge_allowed(&one.before) : 0;
	if (one.alone)
		one.was = judge_look();
	one.after = one.before;
	request_serve(cpu, &one.after);
	one.alone &= epoch == script.epoch;
	judge_answer(&one);
	script_counts.requests++;
	script_counts.beside += !one.alone;
	script_counts.accepted += one.after.eax == SCRIM_OK;
	if (one.after.eax == SCRIM_OK)
		script_counts.ops[task->op & 63]++;
	script_counts.lost_images += one.after.eax == SCRIM_ENOFRAME && task->op == SCRIM_REQUEST(SCRIM_OP_IMAGE_READ);
	script.status = one.after.eax;
	/* A question that nobody else disturbed has changed nothing: most of a fuzzer's time. */
	if (!one.alone || is_change(&one.before) || judge_look().map != one.was.map)
		check_machine(one.alone);
	sim_exit_end(cpu);
}

/*
 * A CPU that runs the OS, this one if it can be; idle after a while. `program`: it may also be on its way into the OS. NULL: all are
 * offline, or lost to Scrim.
 */
static struct cpu *choose(uint64_t number, bool program)
{
	for (uint32_t i = 0; i < 2 * SIM_CPUS; i++) {
		struct cpu *cpu = &machine.cpu[(number + i) % SIM_CPUS];
		if (i == SIM_CPUS)
			sim_finish();
		if (sim_runs_os(cpu) && cpu->started && (cpu->arrived || program) && !sim_is_busy(cpu))
			return cpu;
	}
	return NULL;
}

static void give(uint64_t number, struct sim_task task, bool program)
{
	struct cpu *cpu = choose(number, program);

	if (cpu)
		sim_give(cpu, &task);
}

/* The OS has nobody use the pages while it asks to lend them. */
static void request(uint64_t number, struct sim_task task)
{
	bool lends = task.op == SCRIM_REQUEST(SCRIM_OP_LEND), unlends = task.op == SCRIM_REQUEST(SCRIM_OP_UNLEND);

	task.run = task_request;
	task.preempted = script.preempted;
	script.status = SCRIM_STATUS_COUNT;
	if (lends || unlends)
		sim_finish();
	if (lends)
		os_begin_lending(task.argument[0], task.argument[1]);
	give(number, task, false);
	if (!lends && !unlends)
		return;
	sim_finish();
	if (lends)
		os_end_lending(script.status == SCRIM_OK);
	else if (script.status == SCRIM_OK)
		os_take_back(task.argument[0], task.argument[1]);
}

static void ask(uint64_t number, enum scrim_op op, uint64_t first, uint64_t second)
{
	request(number, (struct sim_task){ .op = SCRIM_REQUEST(op), .argument = { first, second } });
}

/* --- arguments --- */

static uint64_t ram_page(uint64_t number)
{
	number %= ranges_pages(&machine.os_ram, RANGE_RAM);
	for (uint32_t i = 0; i < machine.os_ram.count; i++) {
		const struct range *range = &machine.os_ram.entry[i];
		uint64_t pages = (range->end - range->start) >> PAGE_SHIFT;
		if (number < pages)
			return range->start + (number << PAGE_SHIFT);
		number -= pages;
	}
	return 0;
}

/* A page of RAM, or of what is none. */
static uint64_t fetch_address(void)
{
	static const uint64_t odd[] = { 0,      KIB(636), KIB(640), MIB(6) + KIB(256), MIB(9),	 MIB(12), MIB(14) - KIB(4),
					MIB(16), SIM_APIC, GIB(4),   1ull << 47,	1ull << 51, ~0ull << 12, MIB(1) + 8 };
	uint64_t number = fetch(2);

	return number >= 0xf800 ? odd[number % ARRAY_SIZE(odd)] : ram_page(number);
}

static void fetch_range(uint64_t range[2])
{
	static const uint64_t pages[] = { 1, 2, 7, 64, 500, 512, 700, 1200, 0 };
	uint64_t length = fetch(1);

	range[0] = fetch_address();
	range[1] = range[0] + (pages[length % ARRAY_SIZE(pages)] << PAGE_SHIFT);
	if (length >= 0xc0) {
		range[0] = 0;
		range[1] = SIM_END;
	} else if (length >= 0xa0) { /* whole RAM of the map's, or 2 MiB */
		const struct range *ram = ranges_find(&machine.os_ram, range[0]);
		range[0] = ram && length & 1 ? ram->start : align_down(range[0], MIB(2));
		range[1] = ram && length & 1 ? ram->end : range[0] + MIB(2);
	}
}

/* Something that is lent, mostly. */
static void fetch_lent(uint64_t range[2])
{
	fetch_range(range);
	uint32_t which = (uint32_t)fetch(1) % 8;
	for (uint32_t i = 0; i < machine.mem.lent.count; i++)
		if (machine.mem.lent.entry[i].type == RANGE_RAM && which-- == 0) {
			range[0] = machine.mem.lent.entry[i].start;
			range[1] = machine.mem.lent.entry[i].end;
		}
}

static uint64_t fetch_pages(void)
{
	static const uint64_t pages[] = { 256, 1, 2, 3, 7, 33, 100, 255, 257, 0 };

	return pages[fetch(1) % ARRAY_SIZE(pages)];
}

static void fetch_arguments(enum scrim_op op, uint64_t argument[2])
{
	static const uint64_t counts[] = { 1, 16, 7, 2, 1 | SCRIM_IMAGE_KEEP, 16 | SCRIM_IMAGE_KEEP, 0, 17, SCRIM_IMAGE_KEEP };
	static const uint64_t buffers[] = { 0, 0, 0, PAGE_SIZE, 14 * PAGE_SIZE, 15 * PAGE_SIZE, 16 * PAGE_SIZE, 8 };
	static const uint64_t fractions[] = { 65536, 32768, 8192, 600, 1, 0, 65537 };

	switch (op) {
	case SCRIM_OP_STEP:
	case SCRIM_OP_SCATTER_STEP:
	case SCRIM_OP_SHARE_STEP:
		argument[0] = fetch_pages();
		break;
	case SCRIM_OP_MOVE:
	case SCRIM_OP_RETIRE:
	case SCRIM_OP_TRANSLATE:
		argument[0] = fetch_address();
		break;
	case SCRIM_OP_DEVIRTUALIZE:
		if (fetch(1) & 1)
			fetch_range(argument);
		argument[0] += fetch(1) % 3;
		break;
	case SCRIM_OP_MANAGE:
	case SCRIM_OP_AIM:
	case SCRIM_OP_LEND:
	case SCRIM_OP_CENSUS:
		fetch_range(argument);
		break;
	case SCRIM_OP_UNLEND:
		fetch_lent(argument);
		break;
	case SCRIM_OP_IMAGE_READ:
		argument[0] = fetch_address();
		argument[0] += counts[fetch(1) % ARRAY_SIZE(counts)];
		argument[1] = buffers[fetch(1) % ARRAY_SIZE(buffers)];
		break;
	case SCRIM_OP_DIRTY:
		argument[0] = fetch_address();
		argument[0] = align_down(argument[0], fetch(1) % 8 ? SCRIM_DIRTY_PAGES * PAGE_SIZE : PAGE_SIZE);
		break;
	case SCRIM_OP_SCATTER:
		argument[0] = fetch(1);
		argument[1] = fractions[fetch(1) % ARRAY_SIZE(fractions)];
		break;
	default:
		argument[0] = fetch(1) % 64;
		argument[1] = fetch(1) % 20;
		if (op != SCRIM_OP_INFO)
			argument[0] %= 4;
	}
}

/* --- operations --- */

/* The next thing that a tool would ask. */
static void advance(uint64_t cpu)
{
	uint64_t how = fetch(1);

	switch (machine.state) {
	case SCRIM_NATIVE:
		ask(cpu, SCRIM_OP_VIRTUALIZE, how > 0xe0, how & 3);
		return;
	case SCRIM_VIRTUALIZED:
		break;
	case SCRIM_REMAPPING:
		if (how > 0xe0)
			ask(cpu, SCRIM_OP_PAUSED, 0, 0);
		else
			ask(cpu, SCRIM_OP_STEP, how + 1, 0);
		return;
	default:
		ask(cpu, SCRIM_OP_VISIT, 0, 0);
		return;
	}
	if (machine.watch.kind == SCRIM_WATCH_IMAGE)
		ask(cpu, SCRIM_OP_IMAGE_READ, ram_page(how * 16 + script.epoch % 8 * 512) | 16, 0);
	else if (machine.watch.kind == SCRIM_WATCH_DIRTY)
		ask(cpu, how & 7 ? SCRIM_OP_DIRTY : SCRIM_OP_WATCH, how & 7 ? how % 32 * SCRIM_DIRTY_PAGES * PAGE_SIZE : 0, 0);
	else if (machine.scatter.at < machine.scatter.pages)
		ask(cpu, SCRIM_OP_SCATTER_STEP, how + 1, 0);
	else if (machine.share.next.n < machine.share.last.n)
		ask(cpu, SCRIM_OP_SHARE_STEP, how + 1, 0);
	else if (!machine.aim.end)
		ask(cpu, SCRIM_OP_AIM, 0, SIM_END);
	else
		ask(cpu, how & 1 ? SCRIM_OP_SHARE : SCRIM_OP_SCATTER, how, how & 2 ? 65536 : 6000);
}

static void visit_all(void)
{
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		ask(i, SCRIM_OP_VISIT, 0, 0);
		sim_finish();
	}
}

static void access_memory(uint64_t cpu, void (*run)(struct cpu *, struct sim_task *), uint64_t address, uint64_t value)
{
	if (!os_uses(address))
		return;
	script.epoch++;
	script_counts.writes++;
	give(cpu, (struct sim_task){ .run = run, .argument = { address, value } }, true);
}

static uint32_t count_arrived(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < SIM_CPUS; i++)
		count += sim_runs_os(&machine.cpu[i]) && machine.cpu[i].arrived && machine.cpu[i].started;
	return count;
}

static void take_offline(uint64_t cpu)
{
	sim_finish();
	if (count_arrived() > 1)
		give(cpu, (struct sim_task){ .run = sim_task_offline }, false);
}

/* One that is offline; `any`: or one that runs, as an OS does that starts a CPU again before that one has come to its end. */
static void start_one(uint64_t number, bool any)
{
	sim_finish();
	const struct cpu *self = choose(number, false);
	for (uint32_t i = 0; i < SIM_CPUS; i++) {
		const struct cpu *target = &machine.cpu[(number + 1 + i) % SIM_CPUS];
		if (target == self || (sim_runs_os(target) && !any) || machine.count.cpus_lost)
			continue;
		give(number, (struct sim_task){ .run = sim_task_start_cpu, .argument = { target->index } }, false);
		sim_finish();
		return;
	}
}

static void arrive_one(void)
{
	sim_finish();
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		if (sim_runs_os(&machine.cpu[i]) && machine.cpu[i].started && !machine.cpu[i].arrived) {
			give(i, (struct sim_task){ .run = sim_task_arrive }, true);
			sim_finish();
		}
}

static void hand_over(uint64_t cpu)
{
	sim_finish();
	bool lent = machine.mem.lent_frames;
	give(cpu, (struct sim_task){ .run = sim_task_kexec }, false);
	sim_finish();
	if (machine.mem.lent_frames || (lent && machine.mem.displaced))
		sim_fail("another kernel takes over, and frames are lent yet");
	os_take_back(0, SIM_END);
	check_machine(true);
}

static void run_request(uint64_t cpu, bool is_wild)
{
	struct sim_task task = { .op = 0 };

	if (is_wild) {
		task.op = (uint32_t)fetch(4);
		if (task.op & 1)
			task.op = SCRIM_REQUEST(task.op >> 1 & 63);
		task.argument[0] = fetch(8);
		task.argument[1] = fetch(8);
	} else {
		enum scrim_op op = (enum scrim_op)(fetch(1) % SCRIM_OP_COUNT);
		task.op = SCRIM_REQUEST(op);
		fetch_arguments(op, task.argument);
	}
	request(cpu, task);
}

static void make_deaf(struct cpu *cpu)
{
	if (cpu)
		sim_make_deaf(cpu, DEAF_TURNS);
}

static void run_cpu_event(enum script_kind kind, uint64_t cpu)
{
	switch (kind) {
	case SCRIPT_OFFLINE:
		take_offline(cpu);
		break;
	case SCRIPT_START:
		start_one(cpu, fetch(1) & 1);
		break;
	case SCRIPT_ARRIVE:
		arrive_one();
		break;
	case SCRIPT_KEXEC:
		hand_over(cpu);
		break;
	case SCRIPT_CMOS:
		give(cpu, (struct sim_task){ .run = sim_task_cmos, .argument = { fetch(1) & 1 ? 0x0a : 0 } }, false);
		break;
	case SCRIPT_EOI:
		give(cpu, (struct sim_task){ .run = sim_task_eoi }, true);
		break;
	case SCRIPT_DEAF:
		make_deaf(choose(cpu, false));
		break;
	default:
		give(cpu, (struct sim_task){ .run = sim_task_exit }, true);
	}
}

static void run_operation(enum script_kind kind, uint64_t cpu)
{
	uint64_t address; /* bytes are fetched in the order of statements */

	switch (kind) {
	case SCRIPT_REQUEST:
	case SCRIPT_WILD:
		run_request(cpu, kind == SCRIPT_WILD);
		break;
	case SCRIPT_ADVANCE:
		advance(cpu);
		break;
	case SCRIPT_VISITS:
		sim_finish();
		visit_all();
		break;
	case SCRIPT_WRITE:
		address = fetch_address();
		address += fetch(1) * 16;
		access_memory(cpu, os_task_write, address, fetch(2));
		break;
	case SCRIPT_FILL:
		address = fetch_address();
		access_memory(cpu, os_task_fill, address, fetch(1));
		break;
	case SCRIPT_READ:
		address = fetch_address();
		access_memory(cpu, os_task_read, address + fetch(1) * 16, 0);
		break;
	case SCRIPT_TABLES:
		cpu = fetch(1);
		sim_limit_tables(cpu < 24 ? (uint32_t)cpu : UINT32_MAX);
		break;
	default:
		run_cpu_event(kind, cpu);
	}
}

static enum script_kind kind_of(uint8_t byte)
{
	static const uint8_t first[] = { SCRIPT_TABLES, SCRIPT_DEAF,	SCRIPT_EXIT, SCRIPT_EOI,  SCRIPT_CMOS,  SCRIPT_KEXEC,
					 SCRIPT_ARRIVE, SCRIPT_START,	SCRIPT_OFFLINE, SCRIPT_READ, SCRIPT_FILL, SCRIPT_WRITE,
					 SCRIPT_VISITS, SCRIPT_ADVANCE, SCRIPT_WILD };

	for (uint32_t i = 0; i < ARRAY_SIZE(first); i++)
		if (byte % SCRIPT_KINDS >= first[i])
			return (enum script_kind)first[i];
	return SCRIPT_REQUEST;
}

/* What, weighted; which CPU, and how many turns those before it have had by then: often all. */
static void next_operation(void)
{
	enum script_kind kind = kind_of((uint8_t)fetch(1));
	uint64_t turns = fetch(1);

	if (script.restless)
		sim_turns((uint32_t)(turns >> 3));
	else if (turns >> 3 < SCRIPT_TURNS)
		sim_finish();
	else
		sim_turns((uint32_t)(turns >> 3) - SCRIPT_TURNS);
	script.preempted = turns >> 2 & 1 || script.restless;
	run_operation(kind, turns & 3);
}

/* --- the end --- */

static void one_step_home(uint32_t round)
{
	switch (machine.state) {
	case SCRIM_VIRTUALIZED:
		ask(round, SCRIM_OP_DEVIRTUALIZE, round & 1, 0);
		break;
	case SCRIM_REMAPPING:
		ask(round, SCRIM_OP_STEP, SCRIM_BATCH_MAX, 0);
		break;
	default:
		ask(round, SCRIM_OP_VISIT, 0, 0);
	}
	sim_finish();
}

/* Every CPU has an exit, so that what nobody needs any more is given back. */
static void check_native(void)
{
	for (uint32_t i = 0; i < 2 * SIM_CPUS; i++) {
		give(i, (struct sim_task){ .run = sim_task_eoi }, true);
		sim_finish();
		give(i, (struct sim_task){ .run = sim_task_exit }, true);
		sim_finish();
	}
	check_machine(true);
	os_check_native();
	uint64_t tables = machine.xlat.table_count + machine.dma.xlat.table_count;
	if (sim_tables_out() != tables)
		sim_fail("%u tables are out, the hardware's are %lu", sim_tables_out(), tables);
	if (machine.dma.xlat.table_count != (machine.map_late ? 0 : machine.dma.xlat.built_count))
		sim_fail("%lu tables of devices are left in NATIVE", machine.dma.xlat.table_count);
	if (!machine.guard && machine.xlat.table_count != (machine.map_late ? 0 : machine.xlat.built_count))
		sim_fail("%lu tables are left in NATIVE", machine.xlat.table_count);
	script_counts.native++;
}

/* All but the pages that have no home has come home. In this test the frames are whole again: so must these, then. */
static void repair(void)
{
	uint64_t away = 0;

	for (uint64_t page = 0; page < SIM_PAGES; page++)
		away += frames_is_retired(&machine.mem, mfn(page)) && !frames_is_extra(&machine.mem, mfn(page));
	if (machine.mem.displaced != away)
		sim_fail("%lu pages are away, and %lu have no home", machine.mem.displaced, away);
	script_counts.homeless += away;
	mem_give_all_back(&machine.mem);
	check_machine(true);
}

static void go_home(void)
{
	script.preempted = false;
	sim_limit_tables(UINT32_MAX);
	sim_finish();
	check_machine(true);
	for (uint32_t round = 0; machine.state != SCRIM_NATIVE && !machine.count.cpus_lost; round++) {
		bool steps = machine.state == SCRIM_REMAPPING && machine.homecoming.whole;
		one_step_home(round);
		if (steps && machine.state == SCRIM_VIRTUALIZED)
			repair();
		if (round > HOME_ROUNDS)
			sim_fail("state %u, %lu displaced: does not come home", machine.state, machine.mem.displaced);
	}
	if (machine.state == SCRIM_NATIVE && !machine.count.cpus_lost)
		check_native();
	sim_finish();
}

void script_run(const uint8_t *data, size_t bytes)
{
	static const uint32_t frames[] = { 48, 1, 2, 16 }, tables[] = { 100, 60, 24, 12 };

	os_reset();
	script = (struct script){ .data = data, .left = bytes };
	uint32_t kind = (uint32_t)fetch(1);
	const struct sim_config config = { .has_1g = !(kind & 1),
					   .has_iommu = kind & 1,
					   .map_late = kind >> 1 & 1,
					   .last_stays_out = (kind & SCRIPT_CPUS) == SCRIPT_ONE_STAYS_OUT,
					   .holds_init = (kind >> 4 ^ kind >> 6) & 1,
					   .reserve_frames = frames[kind >> 4 & 3],
					   .tables = tables[kind >> 6 & 3] };
	sim_start(&config); /* with an IOMMU where the CPU has the smaller entries: both kinds of each are tried */
	script.restless = (kind & SCRIPT_CPUS) == SCRIPT_RESTLESS;
	for (uint32_t i = 0; script.left && i < OPERATIONS_MAX; i++)
		next_operation();
	go_home();
	script_counts.turns += sim_turn_count();
}
