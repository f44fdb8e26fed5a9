/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. IMAGE_READ is the one request that writes to a program's memory: through the program's own tables, walked as its CPU does,
 * which is here. An OS that takes the page away meanwhile has to wait for this CPU's answer, as it would for an instruction that writes there.
 */
#include "virt/request_watch.h"

#include "hw/insn.h"
#include "virt/guest_memory.h"
#include "virt/request_map.h"
#include "virt/vendor.h"
#include "virt/waiting.h"
#include "virt/watching.h"

err_t request_watch(struct cpu *self, struct request *request)
{
	uint32_t saved = 0;

	enum scrim_watch kind = (enum scrim_watch)request->argument[0];

	if (request->argument[0] >= SCRIM_WATCH_COUNT ||
	    (kind != SCRIM_WATCH_NONE && request->argument[1] > (kind == SCRIM_WATCH_IMAGE ? SCRIM_WRITES_WAIT : SCRIM_WRITES_GO_ON)))
		return SCRIM_EINVAL;
	if (kind == SCRIM_WATCH_NONE) {
		watching_end(self);
		machine.watch.failed = SCRIM_WATCH_NONE;
	} else {
		err_t err = watching_begin(self, kind, (enum scrim_writes)request->argument[1], &saved);
		if (err)
			return err == SCRIM_ESTATE ? request_state_refused(request) : err;
	}
	request->result[0] = watch_frames(&machine.watch);
	request->result[1] = saved;
	return SCRIM_OK;
}

/* RAM that the OS uses: what it has lent has no contents of its own. */
static bool are_image_pages(gfn_t first, uint32_t count)
{
	/* The first test keeps addresses out whose end does not fit 64 bits. */
	if (!mem_is_ram(&machine.mem, first) ||
	    !ranges_contain(machine.mem.config.ram, gfn_address(first), gfn_address(first) + count * PAGE_SIZE, RANGE_RAM))
		return false;
	for (uint32_t i = 0; machine.mem.lent_frames && i < count; i++)
		if (ranges_contain(&machine.mem.lent, gfn_address(gfn(first.n + i)), gfn_address(gfn(first.n + i)) + PAGE_SIZE, RANGE_RAM))
			return false;
	return true;
}

static void copy_page(uint8_t *to, gfn_t page)
{
	uint64_t from = mfn_address(watch_source(&machine.watch, page));

	rep_movsq(to, (const void *)(uintptr_t)from, PAGE_SIZE / sizeof(uint64_t));
}

err_t request_image_read(struct cpu *self, struct request *request)
{
	gfn_t first = gfn_of_address(request->argument[0]);
	uint32_t flags = (uint32_t)(request->argument[0] & PAGE_MASK), count = flags & ~SCRIM_IMAGE_KEEP;
	uint8_t *to[SCRIM_IMAGE_READ_MAX];

	if (count < 1 || count > SCRIM_IMAGE_READ_MAX)
		return SCRIM_EINVAL;
	if (request->argument[1] & PAGE_MASK)
		return SCRIM_EALIGN;
	if (machine.watch.failed == SCRIM_WATCH_IMAGE)
		return SCRIM_ENOFRAME;
	if (machine.watch.kind != SCRIM_WATCH_IMAGE)
		return request_state_refused(request);
	if (!are_image_pages(first, count))
		return SCRIM_ENOTRAM;
	waiting_reader_came(self);
	uint32_t done = guest_memory_buffer(self, request->argument[1], count, to);
	for (uint32_t i = 0; i < done; i++)
		copy_page(to[i], gfn(first.n + i));
	if (!(flags & SCRIM_IMAGE_KEEP))
		watching_let_go(self, first, done);
	request->result[0] = done;
	return done ? SCRIM_OK : SCRIM_EFAULT;
}

err_t request_image_cpu(struct cpu *self, struct request *request)
{
	(void)self;
	if (request->argument[0] >= machine.cpu_count || request->argument[1] >= SCRIM_REG_COUNT ||
	    !machine.cpu[request->argument[0]].has_saved)
		return SCRIM_EINVAL;
	request->result[0] = machine.cpu[request->argument[0]].saved[request->argument[1]];
	return SCRIM_OK;
}

err_t request_dirty(struct cpu *self, struct request *request)
{
	gfn_t first = gfn_of_address(request->argument[0]);

	(void)self;
	if (request->argument[0] % (SCRIM_DIRTY_PAGES * PAGE_SIZE))
		return SCRIM_EALIGN;
	if (machine.watch.failed == SCRIM_WATCH_DIRTY)
		return SCRIM_ENOTABLE;
	if (machine.watch.kind != SCRIM_WATCH_DIRTY)
		return request_state_refused(request);
	request->result[0] = watch_written(&machine.watch, first);
	request->result[1] = watch_written(&machine.watch, gfn(first.n + 64));
	return SCRIM_OK;
}
