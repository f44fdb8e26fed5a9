/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what each CPU was answered last, and a copy that takes its time. */
#include "boot_bytes.h"

#include "together.h"

#include "hw/delay.h"
#include "hw/insn.h"
#include "os.h"
#include "sim.h"
#include "virt/request.h"
#include "virt/waiting.h"

#define FRAMES 48u
#define COPY_PAUSES 50u

static struct request answered[SIM_CPUS];
static const struct mem_port_ops *port;
static uint32_t copying, copying_most;

static void task_request(struct cpu *cpu, struct sim_task *task)
{
	struct request *request = &answered[cpu->index];

	*request = (struct request){ .eax = task->op, .argument = { task->argument[0], task->argument[1] } };
	sim_exit_begin(cpu);
	request_serve(cpu, request);
	sim_exit_end(cpu);
}

static void give(uint32_t cpu, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	const struct sim_task task = { .run = task_request, .op = SCRIM_REQUEST(op), .argument = { argument0, argument1 }, .preempted = true };

	sim_give(&machine.cpu[cpu], &task);
}

static uint32_t ask(uint32_t cpu, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	give(cpu, op, argument0, argument1);
	sim_finish();
	return answered[cpu].eax;
}

static void start(uint32_t reserve_frames)
{
	const struct sim_config config = { .has_1g = true, .reserve_frames = reserve_frames, .tables = 100 };

	os_reset();
	sim_start(&config);
	assert_int_equal(ask(0, SCRIM_OP_VIRTUALIZE, 1, 0), SCRIM_OK);
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		assert_int_equal(ask(i, SCRIM_OP_VISIT, 0, 0), SCRIM_OK);
	assert_int_equal(machine.state, SCRIM_VIRTUALIZED);
}

static void manage(uint64_t start_address, uint64_t end)
{
	assert_int_equal(ask(0, SCRIM_OP_MANAGE, start_address, end), SCRIM_OK);
}

static void sweep(enum scrim_op begin, uint64_t from, uint64_t to)
{
	enum scrim_op step = begin == SCRIM_OP_SHARE ? SCRIM_OP_SHARE_STEP : SCRIM_OP_SCATTER_STEP;

	assert_int_equal(ask(0, SCRIM_OP_AIM, from, to), SCRIM_OK);
	assert_int_equal(ask(0, begin, 5, SCRIM_FRACTION_ALL), SCRIM_OK);
	do
		assert_int_equal(ask(0, step, SCRIM_BATCH_MAX, 0), SCRIM_OK);
	while (answered[0].result[0] > 0);
}

/* The copy takes its time; who has to wait for an answer meanwhile waits. */
static void slow_copy(void *context, const struct mem_move *move, uint32_t count, uint32_t offset, uint32_t bytes)
{
	copying++;
	copying_most = copying > copying_most ? copying : copying_most;
	for (uint32_t i = 0; i < COPY_PAUSES; i++)
		cpu_pause();
	port->copy(context, move, count, offset, bytes);
	copying--;
}

static void copy_slowly(void)
{
	static struct mem_port_ops slow;

	port = machine.mem.config.port;
	slow = *port;
	slow.copy = slow_copy;
	machine.mem.config.port = &slow;
	copying = copying_most = 0;
}

static void come_home(void)
{
	assert_int_equal(ask(0, SCRIM_OP_DEVIRTUALIZE, 0, 0), SCRIM_OK);
	while (machine.state == SCRIM_REMAPPING)
		assert_int_equal(ask(0, SCRIM_OP_STEP, SCRIM_BATCH_MAX, 0), SCRIM_OK);
	for (uint32_t i = 0; i < SIM_CPUS; i++)
		(void)ask(i, SCRIM_OP_VISIT, 0, 0);
	assert_int_equal(machine.state, SCRIM_NATIVE);
	os_check_native();
}

/* The list of portions fills up while the way home of one waits for a batch: it is refused then, and not found out at its end. */
void test_portion_meets_manage(void **unused)
{
	uint64_t at = MIB(3) + 2 * PAGE_SIZE;

	(void)unused;
	start(FRAMES);
	manage(MIB(2), MIB(3));
	for (; machine.mem.managed.count + 3 < RANGES_MAX; at += 2 * PAGE_SIZE) {
		at = at == MIB(6) ? MIB(7) : at;
		manage(at, at + PAGE_SIZE);
	}
	copy_slowly();
	assert_int_equal(ask(0, SCRIM_OP_AIM, MIB(2), MIB(3)), SCRIM_OK);
	assert_int_equal(ask(0, SCRIM_OP_SCATTER, 7, SCRIM_FRACTION_ALL), SCRIM_OK);
	give(0, SCRIM_OP_SCATTER_STEP, 200, 0);
	while (!copying)
		sim_turns(1);
	give(1, SCRIM_OP_DEVIRTUALIZE, MIB(2) + KIB(256), MIB(2) + KIB(512));
	while (!machine.waiting_for_batches)
		sim_turns(1);
	do {
		at = at == MIB(6) ? MIB(7) : at;
		give(2, SCRIM_OP_MANAGE, at, at + PAGE_SIZE);
		while (sim_is_busy(&machine.cpu[2]))
			sim_turns(1);
		at += 2 * PAGE_SIZE;
	} while (answered[2].eax == SCRIM_OK);
	assert_true(copying);
	sim_finish();
	assert_int_equal(answered[1].eax, SCRIM_EINVAL);
	assert_int_equal(machine.state, SCRIM_VIRTUALIZED);
	come_home();
}

/* Two CPUs step all the time; a third that has to have no batch in flight gets its turn. */
void test_waiter_comes_first(void **unused)
{
	uint64_t displaced;

	(void)unused;
	start(FRAMES);
	manage(MIB(2), MIB(5));
	sweep(SCRIM_OP_SCATTER, MIB(2), MIB(5));
	displaced = machine.mem.displaced;
	assert_int_equal(ask(0, SCRIM_OP_DEVIRTUALIZE, 0, 0), SCRIM_OK);
	copy_slowly();
	for (bool asked = false; !asked || sim_is_busy(&machine.cpu[2]); sim_turns(1)) {
		for (uint32_t i = 0; i < 2; i++)
			if (!sim_is_busy(&machine.cpu[i]))
				give(i, SCRIM_OP_STEP, 8, 0);
		if (!asked && machine.mem.in_flight) {
			give(2, SCRIM_OP_ABORT, 0, 0);
			while (sim_is_busy(&machine.cpu[2]))
				sim_turns(1);
			sim_finish();
			assert_int_equal(ask(0, SCRIM_OP_DEVIRTUALIZE, 0, 0), SCRIM_OK);
			give(0, SCRIM_OP_STEP, 8, 0);
			give(1, SCRIM_OP_STEP, 8, 0);
			while (!machine.mem.in_flight)
				sim_turns(1);
			give(2, SCRIM_OP_PAUSED, 0, 0);
			asked = true;
		}
	}
	assert_int_equal(answered[2].eax, SCRIM_OK);
	assert_true(machine.last.moved.pages > displaced / 2); /* what was left when it was its turn */
	sim_finish();
	come_home();
}

void test_copies_side_by_side(void **unused)
{
	(void)unused;
	start(FRAMES);
	manage(MIB(2), MIB(5));
	sweep(SCRIM_OP_SCATTER, MIB(2), MIB(5));
	assert_int_equal(ask(0, SCRIM_OP_DEVIRTUALIZE, 0, 0), SCRIM_OK);
	copy_slowly();
	for (; machine.state == SCRIM_REMAPPING; sim_turns(1))
		for (uint32_t i = 0; i < SIM_CPUS; i++)
			if (!sim_is_busy(&machine.cpu[i]))
				give(i, SCRIM_OP_STEP, 32, 0);
	sim_finish();
	assert_true(copying_most > 1);
	come_home();
}

/* What it saves is all that would be free: nothing to open a cycle with. */
void test_share_without_reserve(void **unused)
{
	(void)unused;
	start(0);
	manage(MIB(2), MIB(4));
	assert_int_equal(ask(0, SCRIM_OP_AIM, MIB(2), MIB(4)), SCRIM_OK);
	assert_int_equal(ask(0, SCRIM_OP_SHARE, 0, 0), SCRIM_OK);
	assert_int_equal(ask(0, SCRIM_OP_SHARE_STEP, SCRIM_BATCH_MAX, 0), SCRIM_ENOFRAME);
	assert_int_equal(machine.mem.displaced + machine.mem.read_only + machine.mem.saved, 0);
	assert_int_equal(ask(0, SCRIM_OP_CHECK, 0, 0), SCRIM_OK);
	come_home();
}

/* A CPU that answers nothing for longer than a meeting waits: nothing has moved, and all goes on when it is back. */
void test_late_for_a_meeting(void **unused)
{
	(void)unused;
	start(FRAMES);
	manage(MIB(2), MIB(4));
	sweep(SCRIM_OP_SCATTER, MIB(2), MIB(4));
	assert_int_equal(ask(0, SCRIM_OP_DEVIRTUALIZE, 0, 0), SCRIM_OK);
	sim_make_deaf(&machine.cpu[1], UINT32_MAX);
	give(0, SCRIM_OP_PAUSED, 0, 0);
	while (sim_is_busy(&machine.cpu[0]))
		sim_turns(1);
	assert_int_equal(answered[0].eax, SCRIM_ECPU);
	sim_make_deaf(&machine.cpu[1], 0);
	sim_finish();
	assert_int_equal(ask(0, SCRIM_OP_PAUSED, 0, 0), SCRIM_OK);
	come_home();
}

/* CPU 1 writes pages from `page` on, so many, beside a reader that lets go of none. */
static void write_pages(uint64_t page, uint64_t count)
{
	assert_int_equal(ask(0, SCRIM_OP_IMAGE_READ, MIB(4) | SCRIM_IMAGE_KEEP | 1, 0), SCRIM_OK);
	for (uint64_t i = 0; i < count; i++, page += PAGE_SIZE) {
		const struct sim_task task = { .run = os_task_write, .argument = { page, page } };

		sim_give(&machine.cpu[1], &task);
		sim_finish();
	}
}

/* No write goes on while the reader comes; one does where it has not for 50 ms, and the next as much later. */
static void check_held(gfn_t page)
{
	for (uint32_t came = 0; came < 1000; came++) {
		assert_int_equal(ask(0, SCRIM_OP_IMAGE_READ, MIB(4) | SCRIM_IMAGE_KEEP | 1, 0), SCRIM_OK);
		assert_true(waiting_holds(&machine.cpu[1], page));
	}
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t start = i == 0 ? machine.waiting.reader_tsc : machine.cpu[1].went_on_tsc;
		while (waiting_holds(&machine.cpu[1], page))
			continue;
		uint64_t ms = (rdtsc() - start) / (delay_tsc_hz() / 1000);
		assert_in_range(ms, 50, 110); /* each look at the clock is 20 */
	}
}

/* Where frames get few a write waits; where there are none the image is lost. */
void test_writes_wait(void **unused)
{
	const uint64_t first = MIB(2);

	(void)unused;
	start(FRAMES);
	assert_int_equal(ask(0, SCRIM_OP_WATCH, SCRIM_WATCH_DIRTY, SCRIM_WRITES_WAIT), SCRIM_EINVAL);
	assert_int_equal(ask(0, SCRIM_OP_WATCH, SCRIM_WATCH_IMAGE, SCRIM_WRITES_WAIT), SCRIM_OK);
	write_pages(first, FRAMES / 4);
	assert_int_equal(machine.waiting.tsc, 0);
	for (uint64_t page = first + FRAMES / 4 * PAGE_SIZE; watch_has_room(&machine.watch, 4); page += PAGE_SIZE)
		write_pages(page, 1);
	check_held(gfn_of_address(MIB(3)));
	write_pages(MIB(3), 2);
	assert_int_equal(machine.watch.kind, SCRIM_WATCH_IMAGE);
	assert_true(machine.waiting.tsc > 0);
	assert_int_equal(ask(0, SCRIM_OP_INFO, SCRIM_INFO_IMAGE_WAITED_TSC, 0), SCRIM_OK);
	assert_int_equal(answered[0].result[0], machine.waiting.tsc);
	assert_int_equal(ask(0, SCRIM_OP_INFO, SCRIM_INFO_KICKS_OUT, 0), SCRIM_OK);
	assert_int_equal(answered[0].result[0], machine.count.kicks_out);
	assert_int_not_equal(machine.count.kicks_out, machine.watch.copied);
	assert_int_equal(ask(0, SCRIM_OP_IMAGE_READ, first | 1, 0), SCRIM_OK);
	assert_true(os_was(first, sim_buffer[0]));
	write_pages(MIB(3) + 2 * PAGE_SIZE, FRAMES);
	assert_int_equal(machine.watch.kind, SCRIM_WATCH_NONE);
	assert_int_equal(ask(0, SCRIM_OP_IMAGE_READ, first | 1, 0), SCRIM_ENOFRAME);
	assert_int_equal(ask(0, SCRIM_OP_DIRTY, first, 0), SCRIM_ESTATE);
	come_home();
}
