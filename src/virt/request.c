/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of requests. Each entry: what it does and whether it may be called in the state we are in is told by the
 * state table alone. A request is short (docs/locking.md names those that are not) and runs under the machine lock.
 */
#include "virt/request.h"

#include "base/version.h"
#include "hw/delay.h"
#include "virt/guard.h"
#include "virt/machine_check.h"
#include "virt/memvirt.h"
#include "virt/moving.h"
#include "virt/request_info.h"
#include "virt/request_map.h"
#include "virt/request_watch.h"
#include "virt/request_trace.h"
#include "virt/shadow.h"

typedef err_t (*request_fn)(struct cpu *self, struct request *request);

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
	uint64_t backend = request->argument[1] ? request->argument[1] : SCRIM_BACKEND_NESTED;

	if (request->argument[0] > 1)
		return SCRIM_EINVAL;
	err_t err = request_check_backend(backend);
	if (err)
		return err;
	if (memvirt_event(MEMVIRT_VIRTUALIZE))
		return request_state_refused(request);
	shadow_unlink_all(self);
	memvirt_use_backend((enum scrim_backend)backend);
	memvirt_manage_all(request->argument[0] == 0, begins);
	if (begins)
		request_operation_begin(SCRIM_OP_VIRTUALIZE);
	return SCRIM_OK;
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
	if (machine.state == SCRIM_REMAPPING)
		moving_stop_home();
	return memvirt_event(MEMVIRT_ABORT) ? request_state_refused(request) : SCRIM_OK;
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

static err_t serve_machine_check(struct cpu *self, struct request *request)
{
	(void)self;
	return machine_check_get(request->argument[0], &request->result[0], &request->result[1]) ? SCRIM_OK : SCRIM_EINVAL;
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
	[SCRIM_OP_DEVIRTUALIZE] = request_devirtualize,
	[SCRIM_OP_STEP] = request_step,
	[SCRIM_OP_MOVE] = request_move,
	[SCRIM_OP_CHECK] = serve_check,
	[SCRIM_OP_TRANSLATE] = serve_translate,
	[SCRIM_OP_PAUSED] = request_paused,
	[SCRIM_OP_REVERSE] = request_reverse,
	[SCRIM_OP_MANAGE] = request_manage,
	[SCRIM_OP_AIM] = request_aim,
	[SCRIM_OP_SCATTER] = request_scatter,
	[SCRIM_OP_SCATTER_STEP] = request_scatter_step,
	[SCRIM_OP_SHARE] = request_share,
	[SCRIM_OP_SHARE_STEP] = request_share_step,
	[SCRIM_OP_LEND] = request_lend,
	[SCRIM_OP_UNLEND] = request_unlend,
	[SCRIM_OP_BACKEND] = request_backend,
	[SCRIM_OP_WATCH] = request_watch,
	[SCRIM_OP_IMAGE_READ] = request_image_read,
	[SCRIM_OP_IMAGE_CPU] = request_image_cpu,
	[SCRIM_OP_DIRTY] = request_dirty,
	[SCRIM_OP_RETIRE] = request_retire,
	[SCRIM_OP_CENSUS] = request_census,
	[SCRIM_OP_TRACE] = request_trace,
	[SCRIM_OP_TRACE_READ] = request_trace_read,
	[SCRIM_OP_MACHINE_CHECK] = serve_machine_check,
};
_Static_assert(ARRAY_SIZE(serve) == SCRIM_OP_COUNT, "every operation has an entry");

/* A part of the operation that runs, if it is carried out. Watches are none: they change nothing of the map. */
static bool changes_something(uint32_t op)
{
	return (op >= SCRIM_OP_VIRTUALIZE && op <= SCRIM_OP_MOVE) || (op >= SCRIM_OP_PAUSED && op < SCRIM_OP_WATCH) || op == SCRIM_OP_RETIRE;
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
	machine.last.running = !is_settled() || request_is_under_way();
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
