/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the course of a watch. The instant: every other CPU waits in Scrim, the right to write is taken from the root's entries, all flush as they
 * leave; so its length does not depend on how much memory there is. The nested tables say what is closed also while CPUs translate by V2M
 * tables, which take rights from the same place (port_translate()).
 *
 * Tables that take apart 2 MiB entries may be made of the frames that an image has for its copies: where memory is short of one kind it is
 * short of both. They are merged, and come back, when the image's reader has passed their 2 MiB, or at the end.
 */
#include "virt/watching.h"

#include "base/str.h"
#include "hw/console.h"
#include "virt/kick.h"
#include "virt/meet.h"
#include "virt/memvirt.h"
#include "virt/moving.h"
#include "virt/own.h"
#include "virt/port.h"
#include "virt/shadow.h"
#include "virt/vendor.h"
#include "virt/waiting.h"
#include "xlat/xlat_protect.h"

static uint32_t tables_out; /* made of an image's frames */

/* For debuggers and tests: here all CPUs stand still, and memory is what the image will say. */
__attribute__((noinline)) static void watch_instant(void)
{
	__asm__ volatile("" : : : "memory");
}

static void *bytes_of(void *context, mfn_t frame)
{
	(void)context;
	return (void *)(uintptr_t)mfn_address(frame);
}

void watching_init(void *storage)
{
	const struct watch_port port = { .bytes = bytes_of };

	watch_init(&machine.watch, &machine.mem, &port, storage);
}

static uint32_t count_saved(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < machine.cpu_count; i++)
		count += machine.cpu[i].has_saved;
	return count;
}

/* The others keep theirs as they come. */
static void save_own(struct cpu *self)
{
	machine.vendor->save_registers(self, self->saved);
	self->has_saved = true;
}

err_t watching_begin(struct cpu *self, enum scrim_watch kind, enum scrim_writes writes, uint32_t *saved)
{
	moving_wait_for_batches(self);
	if (machine.state != SCRIM_VIRTUALIZED)
		return SCRIM_ESTATE;
	if (machine.count.cpus_lost)
		return SCRIM_ECPU;
	if (watch_is_on(&machine.watch))
		return SCRIM_EWATCH;
	shadow_unlink_all(self);
	watch_prepare(&machine.watch, kind);
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		machine.cpu[i].has_saved = false;
	if (!meet_begin(self, true)) {
		CHECK(watch_give_back(&machine.watch));
		return SCRIM_ECPU;
	}
	save_own(self);
	waiting_begin(writes);
	watch_start(&machine.watch, kind);
	xlat_protect(&machine.xlat);
	watch_instant();
	meet_end();
	shadow_forget_all(self);
	machine.vendor->flush(self);
	*saved = count_saved();
	return SCRIM_OK;
}

static void end(struct cpu *self, bool failed)
{
	watch_stop(&machine.watch, failed);
	xlat_unprotect(&machine.xlat);
	moving_merge(self, 0, memvirt_top());
	/* Behind a flush the frames of the tables that were merged are free; and V2M may have whole 2 MiB again. */
	port_run_on(self);
	shadow_note_all();
	port_ops.flush(&machine.xlat);
	CHECK(!tables_out);
	CHECK(watch_give_back(&machine.watch));
}

void watching_end(struct cpu *self)
{
	if (watch_is_on(&machine.watch))
		end(self, false);
}

void watching_write(struct cpu *self, gfn_t page)
{
	if (watch_is_on(&machine.watch) && watch_write(&machine.watch, page))
		end(self, true);
}

/* NULL: there is no memory. */
static void *take_table(enum xlat_allow need)
{
	void *table = own_table_alloc();
	mfn_t frame;

	if (table || need != XLAT_NEEDS_TABLE || !watch_take_frame(&machine.watch, &frame))
		return table;
	tables_out++;
	return memset((void *)(uintptr_t)mfn_address(frame), 0, PAGE_SIZE);
}

void watching_return_table(void *page)
{
	tables_out--;
	watch_return_frame(&machine.watch, mfn_of_address((uint64_t)(uintptr_t)page));
}

void watching_allow(struct cpu *self, gfn_t page)
{
	void *table = NULL;

	while (watch_is_on(&machine.watch)) {
		enum xlat_allow allow = xlat_allow(&machine.xlat, page, watch_open_level(&machine.watch, page), table);
		if (allow == XLAT_ALLOWED)
			return;
		table = NULL;
		if (allow == XLAT_BROKEN) {
			port_run_on(self);
			port_ops.flush(&machine.xlat);
			continue;
		}
		table = take_table(allow);
		if (!table)
			end(self, true);
	}
}

void watching_let_go(struct cpu *self, gfn_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		gfn_t page = gfn(first.n + i);
		uint64_t start = align_down(gfn_address(page), MIB(2));

		watch_let_go(&machine.watch, page);
		if ((i + 1 < count && p2m_index(page) + 1 < P2M_CHUNK_PAGES) || !watch_is_chunk_open(&machine.watch, p2m_chunk(page)))
			continue;
		xlat_allow_chunk(&machine.xlat, page);
		moving_merge(self, start, start + MIB(2));
	}
}
