/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of requests. Each entry: what it does and whether it may be called in the state we are in is told by the
 * state table alone. A request is short (bounded by SCRIM_BATCH_MAX pages) and runs under the machine lock.
 */
#include "virt/request.h"

#include "base/version.h"
#include "hw/delay.h"
#include "virt/guard.h"
#include "virt/memvirt.h"
#include "virt/request_info.h"

typedef err_t (*request_fn)(struct cpu *self, struct request *request);

static err_t state_refused(struct request *request)
{
	request->result[0] = guard_machine_state();
	request->result_count = 1;
	return SCRIM_ESTATE;
}

static void operation_begin(enum scrim_op op)
{
	machine.last = (struct machine_operation){ .op = op, .start_tsc = rdtsc(), .running = true };
}

static err_t serve_version(struct cpu *self, struct request *request)
{
	(void)self;
	request->result[0] = SCRIM_ABI_VERSION;
	request->result[1] = SCRIM_VERSION;
	return SCRIM_OK;
}

static err_t serve_virtualize(struct cpu *self, struct request *request)
{
	bool begins = machine.state == SCRIM_NATIVE;

	(void)self;
	if (memvirt_event(MEMVIRT_VIRTUALIZE))
		return state_refused(request);
	if (begins)
		operation_begin(SCRIM_OP_VIRTUALIZE);
	return SCRIM_OK;
}

static err_t serve_devirtualize(struct cpu *self, struct request *request)
{
	bool begins = machine.state == SCRIM_VIRTUALIZED;

	(void)self;
	err_t err = memvirt_event(machine.mem.displaced ? MEMVIRT_DEVIRTUALIZE : MEMVIRT_DEVIRTUALIZE_HOME);
	if (err == SCRIM_ESTATE)
		return state_refused(request);
	if (err == SCRIM_OK && begins)
		operation_begin(SCRIM_OP_DEVIRTUALIZE);
	return err;
}

static err_t serve_visit(struct cpu *self, struct request *request)
{
	request->result[0] = memvirt_visit(self);
	request->result[1] = self->index;
	return SCRIM_OK;
}

static err_t serve_abort(struct cpu *self, struct request *request)
{
	(void)self;
	return memvirt_event(MEMVIRT_ABORT) ? state_refused(request) : SCRIM_OK;
}

static err_t serve_step(struct cpu *self, struct request *request)
{
	if (request->argument[0] < 1 || request->argument[0] > SCRIM_BATCH_MAX)
		return SCRIM_EINVAL;
	if (machine.state != SCRIM_REMAPPING)
		return state_refused(request);
	if (machine.count.cpus_lost)
		return SCRIM_ECPU;
	return memvirt_step(self, (uint32_t)request->argument[0], &request->result[0]);
}

static err_t serve_move(struct cpu *self, struct request *request)
{
	struct mem_moved moved = { 0 };
	mfn_t frame;

	if (request->argument[0] & PAGE_MASK)
		return SCRIM_EALIGN;
	if (machine.state != SCRIM_VIRTUALIZED)
		return state_refused(request);
	if (machine.count.cpus_lost)
		return SCRIM_ECPU; /* a CPU outside Scrim would go on using the old frame */
	err_t err = memvirt_displace(self, gfn_of_address(request->argument[0]), &frame, &moved);
	if (err)
		return err;
	operation_begin(SCRIM_OP_MOVE);
	machine.last.start_tsc = self->exit_start_tsc;
	machine.last.moved = moved;
	request->result[0] = mfn_address(frame);
	return SCRIM_OK;
}

static err_t serve_check(struct cpu *self, struct request *request)
{
	uint64_t where = 0;

	(void)self;
	enum scrim_violation violation = memvirt_check(&where);
	request->result[0] = violation;
	request->result[1] = where;
	request->result_count = 2;
	return violation == SCRIM_HOLDS ? SCRIM_OK : SCRIM_EINVARIANT;
}

static err_t serve_translate(struct cpu *self, struct request *request)
{
	enum mem_access access;
	gfn_t page = gfn_of_address(request->argument[0]);

	(void)self;
	if (!mem_is_ram(&machine.mem, page))
		return SCRIM_ENOTRAM;
	mfn_t frame = mem_translate(&machine.mem, page, &access);
	request->result[0] = mfn_address(frame) | (request->argument[0] & PAGE_MASK);
	request->result[1] = !mfn_is_home(page, frame);
	return SCRIM_OK;
}

static const request_fn serve[] = {
	[SCRIM_OP_VERSION] = serve_version,
	[SCRIM_OP_INFO] = request_info,
	[SCRIM_OP_CPU_INFO] = request_cpu_info,
	[SCRIM_OP_CPU_EXITS] = request_cpu_exits,
	[SCRIM_OP_RANGE] = request_range,
	[SCRIM_OP_VIRTUALIZE] = serve_virtualize,
	[SCRIM_OP_VISIT] = serve_visit,
	[SCRIM_OP_ABORT] = serve_abort,
	[SCRIM_OP_DEVIRTUALIZE] = serve_devirtualize,
	[SCRIM_OP_STEP] = serve_step,
	[SCRIM_OP_MOVE] = serve_move,
	[SCRIM_OP_CHECK] = serve_check,
	[SCRIM_OP_TRANSLATE] = serve_translate,
};
_Static_assert(ARRAY_SIZE(serve) == SCRIM_OP_COUNT, "every operation has an entry");

static bool changes_something(uint32_t op)
{
	return op >= SCRIM_OP_VIRTUALIZE && op <= SCRIM_OP_MOVE;
}

static bool is_settled(void)
{
	return machine.state == SCRIM_NATIVE || machine.state == SCRIM_VIRTUALIZED;
}

/* Times the operation that runs: from its first request to the one that ends it. */
static void operation_account(uint64_t entered)
{
	uint64_t now = rdtsc();

	if (!machine.last.running)
		return;
	if (now - entered > machine.last.longest_exit_tsc)
		machine.last.longest_exit_tsc = now - entered;
	machine.last.end_tsc = now;
	machine.last.running = !is_settled();
}

void request_serve(struct cpu *self, struct request *request)
{
	uint32_t op = request->eax - SCRIM_MAGIC;

	request->result_count = 0;
	if (request->eax < SCRIM_MAGIC || op >= ARRAY_SIZE(serve)) {
		request->eax = SCRIM_EBADREQ;
		return;
	}
	machine_lock(self);
	err_t err = serve[op](self, request);
	if (err == SCRIM_OK && changes_something(op))
		operation_account(self->exit_start_tsc);
	machine_unlock();
	if (err == SCRIM_OK)
		request->result_count = 2;
	request->eax = err;
}
