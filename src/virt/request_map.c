/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns machine.aim, and the start and the end of a scatter or share: what it is about, and that a way home ends it. */
#include "virt/request_map.h"

#include "base/str.h"
#include "virt/guard.h"
#include "virt/memvirt.h"
#include "virt/moving.h"
#include "virt/shadow.h"

err_t request_state_refused(struct request *request)
{
	request->result[0] = guard_machine_state();
	request->result_count = 1;
	return SCRIM_ESTATE;
}

void request_operation_begin(enum scrim_op op)
{
	machine.last = (struct machine_operation){ .op = op, .start_tsc = rdtsc(), .running = true };
}

static bool is_sharing(void)
{
	return machine.share.next.n < machine.share.last.n;
}

bool request_is_under_way(void)
{
	return machine.scatter.at < machine.scatter.pages || is_sharing();
}

static void end_scatter_and_share(void)
{
	machine.scatter.at = machine.scatter.pages = 0;
	machine.share.next = machine.share.last = gfn(0);
}

/* Pages may move: every CPU is behind the map, and none is outside Scrim and goes on using old frames. */
static err_t may_move(struct request *request, enum scrim_state state)
{
	if (machine.state != state)
		return request_state_refused(request);
	if (watch_is_on(&machine.watch))
		return SCRIM_EWATCH;
	return machine.count.cpus_lost ? SCRIM_ECPU : SCRIM_OK;
}

/* --- home --- */

err_t request_devirtualize(struct cpu *self, struct request *request)
{
	const struct range portion = { request->argument[0] & ~PAGE_MASK, request->argument[1], RANGE_RAM };
	enum scrim_remap mode = (enum scrim_remap)(request->argument[0] & PAGE_MASK);
	bool begins = false;

	if (mode >= SCRIM_REMAP_COUNT || (portion.start && !portion.end))
		return SCRIM_EINVAL;
	err_t err = moving_start_home(self, mode, portion.end ? &portion : NULL, &begins);
	if (err)
		return err == SCRIM_ESTATE ? request_state_refused(request) : err;
	if (begins) {
		end_scatter_and_share();
		request_operation_begin(SCRIM_OP_DEVIRTUALIZE);
	}
	return SCRIM_OK;
}

static err_t report_home(struct request *request, err_t err)
{
	request->result[0] = machine.mem.displaced;
	request->result[1] = machine.state;
	return err;
}

err_t request_step(struct cpu *self, struct request *request)
{
	if (request->argument[0] < 1 || request->argument[0] > SCRIM_BATCH_MAX)
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_REMAPPING);
	return err ? err : report_home(request, moving_step(self, (uint32_t)request->argument[0]));
}

err_t request_paused(struct cpu *self, struct request *request)
{
	err_t err = may_move(request, SCRIM_REMAPPING);

	return err ? err : report_home(request, moving_paused(self));
}

/* --- away --- */

err_t request_move(struct cpu *self, struct request *request)
{
	struct machine_operation before = machine.last;
	mfn_t frame;

	if (request->argument[0] & PAGE_MASK)
		return SCRIM_EALIGN;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (err)
		return err;
	request_operation_begin(SCRIM_OP_MOVE);
	machine.last.start_tsc = self->exit_start_tsc;
	err = moving_displace(self, gfn_of_address(request->argument[0]), &frame);
	if (err) {
		machine.last = before;
		return err;
	}
	request->result[0] = mfn_address(frame);
	return SCRIM_OK;
}

err_t request_aim(struct cpu *self, struct request *request)
{
	uint64_t start = request->argument[0], end = request->argument[1];

	(void)self;
	if ((start | end) & PAGE_MASK)
		return SCRIM_EALIGN;
	if (start >= end)
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (err)
		return err;
	end_scatter_and_share();
	/* The engine looks at each page of the range: not at those behind all RAM. */
	uint64_t top = memvirt_ram_end();
	machine.aim = (struct range){ start < top ? start : top, end < top ? end : top, 0 };
	return SCRIM_OK;
}

err_t request_scatter(struct cpu *self, struct request *request)
{
	(void)self;
	if (request->argument[1] < 1 || request->argument[1] > SCRIM_FRACTION_ALL || !machine.aim.end)
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (err)
		return err;
	end_scatter_and_share();
	mem_scatter_start(&machine.scatter, request->argument[0], gfn_of_address(machine.aim.start),
			  gfn_of_address(machine.aim.end), (uint32_t)request->argument[1]);
	request_operation_begin(SCRIM_OP_SCATTER);
	return SCRIM_OK;
}

err_t request_scatter_step(struct cpu *self, struct request *request)
{
	if (request->argument[0] < 2 || request->argument[0] > SCRIM_BATCH_MAX || !machine.scatter.pages)
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (!err)
		err = moving_scatter(self, (uint32_t)request->argument[0], &request->result[0]);
	request->result[1] = machine.last.moved.pages;
	return err;
}

err_t request_share(struct cpu *self, struct request *request)
{
	if (!machine.aim.end)
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (err)
		return err;
	end_scatter_and_share();
	memset(machine.share_slots, 0, machine.share_slot_count * sizeof(*machine.share_slots));
	mem_share_start(&machine.share, gfn_of_address(machine.aim.start), gfn_of_address(machine.aim.end), machine.share_slots,
			machine.share_slot_count);
	request_operation_begin(SCRIM_OP_SHARE);
	(void)self;
	return SCRIM_OK;
}

err_t request_share_step(struct cpu *self, struct request *request)
{
	if (request->argument[0] < 1 || request->argument[0] > SCRIM_BATCH_MAX || !is_sharing())
		return SCRIM_EINVAL;
	err_t err = may_move(request, SCRIM_VIRTUALIZED);
	if (err)
		return err;
	err = moving_share(self, (uint32_t)request->argument[0], &request->result[0]);
	request->result[1] = machine.share.shared;
	return err;
}

/* --- what may change --- */

err_t request_check_backend(uint64_t backend)
{
	if (backend < SCRIM_BACKEND_NESTED || backend > SCRIM_BACKEND_VTLB)
		return SCRIM_EINVAL;
	return shadow_is_v2m((enum scrim_backend)backend) && !shadow_is_possible() ? SCRIM_ENOTABLE : SCRIM_OK;
}

err_t request_backend(struct cpu *self, struct request *request)
{
	err_t err = request_check_backend(request->argument[0]);

	(void)self;
	if (err)
		return err;
	if (machine.state != SCRIM_VIRTUALIZED)
		return request_state_refused(request);
	if (watch_is_on(&machine.watch))
		return SCRIM_EWATCH;
	memvirt_use_backend((enum scrim_backend)request->argument[0]);
	return SCRIM_OK;
}

err_t request_reverse(struct cpu *self, struct request *request)
{
	if (request->argument[0] >= SCRIM_REVERSE_COUNT)
		return SCRIM_EINVAL;
	if (machine.state != SCRIM_VIRTUALIZED)
		return request_state_refused(request);
	if (watch_is_on(&machine.watch))
		return SCRIM_EWATCH;
	return moving_use_reverse(self, (enum scrim_reverse)request->argument[0]);
}

err_t request_manage(struct cpu *self, struct request *request)
{
	uint64_t start = request->argument[0], end = request->argument[1];

	if ((start | end) & PAGE_MASK)
		return SCRIM_EALIGN;
	if (start >= end)
		return SCRIM_EINVAL;
	if (!ranges_contain(&machine.os_ram, start, end, RANGE_RAM))
		return SCRIM_ENOTRAM;
	if (machine.state != SCRIM_COMMENCING && machine.state != SCRIM_VIRTUALIZED)
		return request_state_refused(request);
	if (watch_is_on(&machine.watch))
		return SCRIM_EWATCH;
	shadow_unlink_all(self);
	return mem_manage(&machine.mem, start, end);
}

static err_t may_lend(struct request *request)
{
	if (machine.state != SCRIM_NATIVE && machine.state != SCRIM_VIRTUALIZED)
		return request_state_refused(request);
	return watch_is_on(&machine.watch) ? SCRIM_EWATCH : SCRIM_OK;
}

err_t request_lend(struct cpu *self, struct request *request)
{
	err_t err = may_lend(request);

	if (err)
		return err;
	shadow_unlink_all(self);
	return mem_lend(&machine.mem, request->argument[0], request->argument[1]);
}

err_t request_unlend(struct cpu *self, struct request *request)
{
	moving_wait_for_batches(self);
	err_t err = may_lend(request);
	if (err)
		return err;
	shadow_unlink_all(self);
	return mem_unlend(&machine.mem, request->argument[0], request->argument[1]);
}
