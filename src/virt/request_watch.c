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
static bool is_image_page(gfn_t page)
{
	const struct range *lent = ranges_find(&machine.mem.lent, page.n << PAGE_SHIFT);

	return mem_is_ram(&machine.mem, page) && !(lent && lent->type == RANGE_RAM);
}

static void copy_page(uint8_t *to, gfn_t page)
{
	uint64_t from = mfn_address(watch_source(&machine.watch, page));

	rep_movsq(to, (const void *)(uintptr_t)from, PAGE_SIZE / sizeof(uint64_t));
}

err_t request_image_read(struct cpu *self, struct request *request)
{
	gfn_t first = gfn_of_address(request->argument[0]);
	uint32_t flags = (uint32_t)(request->argument[0] & PAGE_MASK), count = flags & ~SCRIM_IMAGE_KEEP, done = 0;
	uint8_t *to;

	if (count < 1 || count > SCRIM_IMAGE_READ_MAX)
		return SCRIM_EINVAL;
	if (request->argument[1] & PAGE_MASK)
		return SCRIM_EALIGN;
	if (machine.watch.failed == SCRIM_WATCH_IMAGE)
		return SCRIM_ENOFRAME;
	if (machine.watch.kind != SCRIM_WATCH_IMAGE)
		return request_state_refused(request);
	for (uint32_t i = 0; i < count; i++)
		if (!is_image_page(gfn(first.n + i)))
			return SCRIM_ENOTRAM;
	waiting_reader_came(self);
	while (done < count && (to = guest_memory_writable(self, request->argument[1] + done * PAGE_SIZE))) {
		copy_page(to, gfn(first.n + done));
		done++;
		if (!(flags & SCRIM_IMAGE_KEEP))
			watching_let_go(self, gfn(first.n + done - 1), 1);
	}
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
