/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the course of a batch, and the way home that is under way:
 *
 *     lock    plan, absent      the engine; may fail, then nothing has changed
 *             flush             every CPU: from here on nobody reaches the batch's frames
 *     unlock  copy              CPUs that step at the same time have batches without a frame in common
 *     lock    present           the engine; cannot fail
 *
 * A CPU that touches a page of a batch waits in moving_fault(), out of the lock, until it is present.
 */
#include "virt/moving.h"

#include "hw/console.h"
#include "hw/delay.h"
#include "virt/dma.h"
#include "virt/kick.h"
#include "virt/meet.h"
#include "virt/memvirt.h"
#include "virt/port.h"
#include "virt/trace.h"
#include "virt/waiting.h"
#include "virt/watching.h"

_Static_assert((int)SCRIM_REMAP_DIRECT == MEM_REMAP_DIRECT && (int)SCRIM_REMAP_INDIRECT == MEM_REMAP_INDIRECT, "the engine's");
_Static_assert((int)SCRIM_REVERSE_SEARCH == MEM_REVERSE_SEARCH && (int)SCRIM_REVERSE_REFCOUNT == MEM_REVERSE_REFCOUNT &&
		       (int)SCRIM_REVERSE_BACKMAP == MEM_REVERSE_BACKMAP, "the engine's");

#define COPY_PAGES 8u

/* Out of the lock for a moment: for whoever holds a batch, and for the kicks of others. */
static void let_others(struct cpu *self)
{
	machine_unlock();
	kick_serve(self);
	cpu_pause();
	machine_lock(self);
}

/* Nobody begins a batch meanwhile: those in flight end, however many CPUs step. */
void moving_wait_for_batches(struct cpu *self)
{
	machine.waiting_for_batches++;
	while (machine.mem.in_flight)
		let_others(self);
	machine.waiting_for_batches--;
}

/* Before a batch begins; the state may be another afterwards. */
static void wait_for_waiters(struct cpu *self)
{
	while (machine.waiting_for_batches)
		let_others(self);
}

/* Some pages at a time: others wait for this CPU's answer to their flushes. */
static void copy(struct cpu *self)
{
	for (uint32_t first = 0; first < self->batch->count; first += COPY_PAGES) {
		mem_batch_copy_some(&machine.mem, self->batch, first, COPY_PAGES);
		kick_serve(self);
	}
}

/* A batch of so many pages, planned from `start_tsc` on, has ended. */
static void count_batch(struct cpu *self, uint64_t pages, uint64_t start_tsc)
{
	machine.count.batches++;
	if (trace_is_on())
		trace_record(self, SCRIM_TRACE_BATCH, pages, start_tsc, rdtsc());
}

static void copy_and_end(struct cpu *self, uint64_t start_tsc)
{
	port_run_on(self);
	port_ops.flush(&machine.xlat);
	machine_unlock();
	copy(self);
	machine_lock_first(self); /* all who wait for these pages ask for the lock again and again */
	port_run_on(self);
	mem_batch_end(&machine.mem, self->batch, &machine.last.moved);
	count_batch(self, self->batch->count, start_tsc);
}

static err_t refusal(enum mem_step step)
{
	return step == MEM_STEP_NO_FRAME ? SCRIM_ENOFRAME : step == MEM_STEP_NO_TABLE ? SCRIM_ENOTABLE : SCRIM_OK;
}

/* --- home --- */

static bool is_identity(void)
{
	return !machine.mem.displaced && !machine.mem.read_only && !machine.mem.in_flight;
}

static bool is_anything_managed(void)
{
	for (uint32_t i = 0; i < machine.mem.managed.count; i++)
		if (machine.mem.managed.entry[i].type == RANGE_RAM)
			return true;
	return false;
}

void moving_merge(struct cpu *self, uint64_t start, uint64_t end)
{
	if (!machine.xlat.ops->merge_begin(&machine.xlat, start, end))
		return;
	port_run_on(self);
	port_ops.flush(&machine.xlat);
	machine.xlat.ops->merge_end(&machine.xlat, start, end);
}

static void finish_home(struct cpu *self)
{
	const struct range *portion = &machine.homecoming.portion;

	mem_remap_stop(&machine.mem);
	/* Pages whose frames are retired are what stays away of all. */
	bool ends = machine.homecoming.whole && is_identity();
	if (!machine.homecoming.whole) {
		CHECK(mem_lock_portion(&machine.mem, portion->start, portion->end) == SCRIM_OK);
		moving_merge(self, portion->start, portion->end);
		ends = !is_anything_managed();
	} else if (!ends) {
		mem_lock_all(&machine.mem);
		moving_merge(self, 0, memvirt_top());
	} else if (machine.guard) {
		/* The map stays in the access path: memvirt_tidy(), which needs no flush, will not come by for long. */
		moving_merge(self, 0, memvirt_top());
	}
	CHECK(!ends || is_identity());
	CHECK(memvirt_event(ends ? MEMVIRT_ALL_HOME : MEMVIRT_PORTION_HOME) == SCRIM_OK);
}

/* That the end cannot fail is found out at the beginning: the list of portions has room for what is left of them. */
static err_t check_portion(const struct range *portion)
{
	static struct range_list after; /* machine lock */

	if ((portion->start | portion->end) & PAGE_MASK)
		return SCRIM_EALIGN;
	if (portion->start >= portion->end || !ranges_contain(&machine.os_ram, portion->start, portion->end, RANGE_RAM) ||
	    !ranges_contain(&machine.mem.managed, portion->start, portion->end, RANGE_RAM))
		return SCRIM_EINVAL;
	return mem_may_lock(&machine.mem, portion->start, portion->end, &after) ? SCRIM_OK : SCRIM_EINVAL;
}

err_t moving_start_home(struct cpu *self, enum scrim_remap mode, const struct range *portion, bool *begins)
{
	gfn_t first = gfn(0), last = gfn(UINT64_MAX);

	if (machine.state != SCRIM_VIRTUALIZED) /* goes on, or is refused */
		return memvirt_event(MEMVIRT_DEVIRTUALIZE);
	moving_wait_for_batches(self);
	if (machine.state != SCRIM_VIRTUALIZED) /* somebody else was first */
		return memvirt_event(MEMVIRT_DEVIRTUALIZE);
	/* What is found out from here on stays so: the lock is not let go any more. */
	if (portion) {
		err_t err = check_portion(portion);
		if (err)
			return err;
		first = gfn_of_address(portion->start);
		last = gfn_of_address(portion->end);
	}
	watching_end(self);
	if (!portion && is_identity()) {
		*begins = true;
		return memvirt_event(MEMVIRT_DEVIRTUALIZE_HOME);
	}
	err_t err = mem_remap_start(&machine.mem, (enum mem_remap_mode)mode, first, last);
	if (err)
		return err;
	machine.homecoming.whole = !portion;
	machine.homecoming.portion = portion ? *portion : (struct range){ 0 };
	*begins = true;
	return memvirt_event(MEMVIRT_DEVIRTUALIZE);
}

void moving_stop_home(void)
{
	mem_remap_stop(&machine.mem);
}

err_t moving_step(struct cpu *self, uint32_t pages)
{
	wait_for_waiters(self);
	if (machine.state != SCRIM_REMAPPING)
		return SCRIM_OK; /* ended, or given up, meanwhile */
	port_run_on(self); /* a plan that finds no memory flushes what it has taken apart */
	uint64_t start_tsc = rdtsc();
	enum mem_step step = mem_remap_begin(&machine.mem, self->batch, pages);

	if (step == MEM_STEP_MOVES)
		copy_and_end(self, start_tsc);
	/* While the lock was free another CPU may have ended it, or given it up. */
	if (machine.state == SCRIM_REMAPPING && (step == MEM_STEP_DONE || (machine.homecoming.whole && is_identity())))
		finish_home(self);
	return refusal(step);
}

static enum mem_step home_together(struct cpu *self)
{
	enum mem_step step;

	port_run_on(self);
	port_others_are_here(true);
	do {
		uint64_t start_tsc = rdtsc();
		step = mem_remap_begin(&machine.mem, self->batch, SCRIM_BATCH_MAX);
		if (step != MEM_STEP_MOVES)
			continue;
		/* Nobody is in the OS: no flush before the copy but the devices'. Everybody flushes on leaving. */
		dma_flush();
		meet_copy(self->batch);
		mem_batch_end(&machine.mem, self->batch, &machine.last.moved);
		count_batch(self, self->batch->count, start_tsc);
	} while (step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN);
	port_ops.flush(&machine.xlat);
	port_others_are_here(false);
	return step;
}

err_t moving_paused(struct cpu *self)
{
	moving_wait_for_batches(self);
	if (machine.state != SCRIM_REMAPPING)
		return SCRIM_OK; /* another CPU has ended it meanwhile */
	if (!meet_begin(self, false))
		return SCRIM_ECPU;
	enum mem_step step = home_together(self);
	meet_end();
	if (step == MEM_STEP_DONE)
		finish_home(self);
	return refusal(step);
}

uint64_t moving_pause_us(void)
{
	/* A CPU copies its share of each page and waits for the others; plan and end are about another copy's time. */
	uint64_t copy = port_copy_tsc(), hz = delay_tsc_hz();
	uint64_t ticks = machine.mem.displaced * (copy / (machine.arrived ? machine.arrived : 1) + copy);

	return hz >= 1000000 ? ticks / (hz / 1000000) : 0;
}

/* --- away --- */

err_t moving_displace(struct cpu *self, gfn_t page, mfn_t *frame)
{
	uint64_t start_tsc = rdtsc();

	port_run_on(self);
	err_t err = mem_displace(&machine.mem, page, frame, &machine.last.moved);
	if (!err)
		count_batch(self, 1, start_tsc);
	return err;
}

err_t moving_retire(struct cpu *self, mfn_t frame, bool *done)
{
	uint64_t start_tsc = rdtsc(), pages = machine.last.moved.pages;

	port_run_on(self);
	err_t err = mem_retire(&machine.mem, frame, &machine.last.moved, done);
	if (machine.last.moved.pages != pages)
		count_batch(self, 1, start_tsc);
	return err;
}

err_t moving_scatter(struct cpu *self, uint32_t pages, uint64_t *left)
{
	wait_for_waiters(self);
	if (machine.state != SCRIM_VIRTUALIZED || !machine.scatter.pages) {
		*left = 0; /* ended meanwhile */
		return SCRIM_OK;
	}
	port_run_on(self); /* as above */
	uint64_t start_tsc = rdtsc();
	enum mem_step step = mem_scatter_begin(&machine.mem, &machine.scatter, self->batch, pages);

	*left = step == MEM_STEP_DONE ? 0 : machine.scatter.pages - machine.scatter.at + 1;
	if (step == MEM_STEP_MOVES)
		copy_and_end(self, start_tsc);
	return refusal(step);
}

err_t moving_share(struct cpu *self, uint32_t pages, uint64_t *left)
{
	uint64_t start_tsc = rdtsc();

	port_run_on(self);
	enum mem_step step = mem_share_step(&machine.mem, &machine.share, pages);
	if ((step == MEM_STEP_AGAIN || step == MEM_STEP_DONE) && machine.share.tried)
		count_batch(self, machine.share.tried, start_tsc);
	*left = step == MEM_STEP_DONE ? 0 : machine.share.last.n - machine.share.next.n;
	return refusal(step);
}

err_t moving_use_reverse(struct cpu *self, enum scrim_reverse reverse)
{
	moving_wait_for_batches(self);
	return mem_use_reverse(&machine.mem, (enum mem_reverse)reverse);
}

/* In one go: nobody else runs. A lack of memory for the reverse's books must not stop it: the search keeps none. */
static void bring_all_home(struct cpu *self)
{
	enum mem_step step = MEM_STEP_AGAIN;

	CHECK(mem_remap_start(&machine.mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)) == SCRIM_OK);
	port_run_on(self);
	while (step != MEM_STEP_DONE) {
		uint64_t start_tsc = rdtsc();
		step = mem_remap_begin(&machine.mem, self->batch, SCRIM_BATCH_MAX);
		if (step == MEM_STEP_NO_TABLE) {
			CHECK(mem_reverse_in_use(&machine.mem) != MEM_REVERSE_SEARCH);
			CHECK(mem_use_reverse(&machine.mem, MEM_REVERSE_SEARCH) == SCRIM_OK);
		}
		CHECK(step != MEM_STEP_NO_FRAME && step != MEM_STEP_WAIT);
		if (step != MEM_STEP_MOVES)
			continue;
		port_ops.flush(&machine.xlat);
		mem_batch_copy(&machine.mem, self->batch);
		mem_batch_end(&machine.mem, self->batch, &machine.last.moved);
		count_batch(self, self->batch->count, start_tsc);
	}
	mem_remap_stop(&machine.mem);
}

void moving_end_lending(struct cpu *self)
{
	struct mem *mem = &machine.mem;

	if (!mem->lent_frames)
		return;
	moving_wait_for_batches(self);
	if (machine.state == SCRIM_REMAPPING) {
		moving_stop_home();
		CHECK(memvirt_event(MEMVIRT_ABORT) == SCRIM_OK);
	}
	mem_give_all_back(mem);
	bring_all_home(self);
	while (mem->lent_frames)
		for (uint32_t i = 0; i < mem->lent.count; i++)
			if (mem->lent.entry[i].type == RANGE_RAM) {
				CHECK(mem_unlend(mem, mem->lent.entry[i].start, mem->lent.entry[i].end) == SCRIM_OK);
				break;
			}
}

/* --- a CPU meets the map --- */

enum fault { FAULT_AGAIN, FAULT_WAIT, FAULT_HELD, FAULT_NOWHERE };

static enum fault settle_fault(struct cpu *self, gfn_t page, bool is_write)
{
	enum mem_access access;
	mfn_t frame;

	/* Absent: the page's own batch, or a large entry that a batch has taken apart. */
	if (!machine.xlat.ops->get(&machine.xlat, page, &frame, &access))
		return machine.mem.in_flight ? FAULT_WAIT : FAULT_NOWHERE;
	if (!is_write || access == MEM_ACCESS_ALL)
		return FAULT_AGAIN;
	if (waiting_holds(self, page))
		return FAULT_HELD;
	const uint64_t start_tsc = rdtsc(), copies = machine.count.unshared.copies;
	port_run_on(self);
	watching_write(self, page);
	switch (mem_unshare_on_write(&machine.mem, page, &machine.count.unshared)) {
	case MEM_STEP_DONE:
		if (machine.count.unshared.copies != copies) /* else it was alone in its frame */
			count_batch(self, machine.count.unshared.copies - copies, start_tsc);
		watching_allow(self, page);
		return FAULT_AGAIN;
	case MEM_STEP_NO_TABLE:
		/* Writes must go on. The search keeps no books and needs no memory for them; where batches are in flight, later. */
		if (!machine.mem.in_flight)
			CHECK(mem_use_reverse(&machine.mem, MEM_REVERSE_SEARCH) == SCRIM_OK);
		return FAULT_WAIT;
	default:
		return FAULT_WAIT;
	}
}

static enum fault try_fault(struct cpu *self, gfn_t page, bool is_write)
{
	machine_lock(self);
	enum fault fault = settle_fault(self, page, is_write);
	machine_unlock();
	return fault;
}

static void count_stall(struct cpu *self, bool is_write, uint64_t start_tsc)
{
	uint64_t end_tsc = rdtsc();

	self->stalls.count++;
	self->stalls.tsc += end_tsc - start_tsc;
	if (end_tsc - start_tsc > self->stalls.longest_tsc)
		self->stalls.longest_tsc = end_tsc - start_tsc;
	if (trace_is_on())
		trace_record(self, SCRIM_TRACE_STALL, is_write, start_tsc, end_tsc);
}

bool moving_fault(struct cpu *self, gfn_t page, bool is_write)
{
	enum fault fault = try_fault(self, page, is_write);

	if (fault != FAULT_WAIT && fault != FAULT_HELD)
		return fault == FAULT_AGAIN;
	uint64_t start_tsc = rdtsc();
	if (fault == FAULT_HELD)
		waiting_moment(self);
	while (fault == FAULT_WAIT) {
		kick_serve(self);
		cpu_pause();
		fault = try_fault(self, page, is_write);
	}
	count_stall(self, is_write, start_tsc);
	return fault != FAULT_NOWHERE;
}
