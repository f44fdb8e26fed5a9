/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which CPU the engine runs on. Scrim's own tables map all of the machine's RAM one to one, so a frame's address is its pointer. */
#include "virt/port.h"

#include "base/hash.h"
#include "hw/console.h"
#include "hw/insn.h"
#include "virt/dma.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/own.h"
#include "virt/shadow.h"
#include "virt/vendor.h"
#include "virt/watching.h"

#define COPIES_TIMED 16u

static struct {
	struct cpu *cpu;
	bool others_are_here;
} engine;

void port_run_on(struct cpu *self)
{
	engine.cpu = self;
}

void port_others_are_here(bool here)
{
	engine.others_are_here = here;
}

static void *table_alloc(void *context)
{
	(void)context;
	return own_table_alloc();
}

static void table_free(void *context, void *page)
{
	(void)context;
	if (own_is_table(page))
		own_table_free(page);
	else
		watching_return_table(page);
}

static bool map_prepare(void *context, gfn_t page)
{
	struct xlat *xlat = context;
	return dma_prepare(page) && xlat->ops->prepare(xlat, page);
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	struct xlat *xlat = &machine.xlat; /* the context, in fewer steps: each page that moves comes by */
	bool closed = access == MEM_ACCESS_ALL && !watch_is_open(&machine.watch, page);

	(void)context;
	xlat->ops->set(xlat, page, frame, closed ? MEM_ACCESS_READ : access);
	dma_set(page, frame, access);
	if (access == MEM_ACCESS_NONE)
		shadow_note(page, frame);
}

static void map_hide(void *context, const struct mem_move *move, uint32_t count)
{
	struct xlat *xlat = context;
	xlat->ops->hide(xlat, move, count);
	shadow_note_moves(move, count);
}

static void map_show(void *context, const struct mem_move *move, uint32_t count)
{
	struct xlat *xlat = context;

	if (!watch_is_on(&machine.watch)) {
		xlat->ops->show(xlat, move, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		map_set(context, move[i].page, move[i].to, MEM_ACCESS_ALL);
}

static void map_release(void *context, gfn_t page)
{
	struct xlat *xlat = context;
	xlat->ops->release(xlat, page);
}

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	const struct xlat *xlat = context;

	if (!xlat->ops->get(xlat, page, frame, access))
		return false;
	if (!watch_is_open(&machine.watch, page) && *access == MEM_ACCESS_ALL)
		*frame = mfn(UINT64_MAX); /* none: a write would go unseen */
	if (watch_is_on(&machine.watch)) /* it gives the right to write back at the first write */
		mem_translate(&machine.mem, page, access);
	if (!dma_agrees(page, *frame, *access))
		*frame = mfn(UINT64_MAX); /* none: devices find it elsewhere */
	return true;
}

static void flush(void *context)
{
	(void)context;
	dma_flush();
	shadow_forget_noted(engine.cpu);
	machine.vendor->flush(engine.cpu);
	if (!engine.others_are_here)
		kick_others(engine.cpu, KICK_FLUSH);
	shadow_notes_done();
}

static uint8_t *bytes_of(mfn_t frame)
{
	return (uint8_t *)(uintptr_t)mfn_address(frame);
}

static void copy(void *context, const struct mem_move *move, uint32_t count, uint32_t offset, uint32_t bytes)
{
	(void)context;
	if (dma_translates()) {
		CHECK(bytes == PAGE_SIZE);
		dma_copy(move, count);
		return;
	}
	for (const struct mem_move *end = move + count; move < end; move++)
		rep_movsq(bytes_of(move->to) + offset, bytes_of(move->from) + offset, bytes / sizeof(uint64_t));
}

static uint64_t sample(void *context, mfn_t frame)
{
	(void)context;
	return hash_page_sample(bytes_of(frame));
}

static uint64_t hash(void *context, mfn_t frame)
{
	(void)context;
	return hash_bytes(bytes_of(frame), PAGE_SIZE);
}

static bool equal(void *context, mfn_t a, mfn_t b)
{
	(void)context;
	return hash_pages_equal(bytes_of(a), bytes_of(b));
}

const struct mem_port_ops port_ops = {
	.table_alloc = table_alloc,
	.table_free = table_free,
	.map_prepare = map_prepare,
	.map_set = map_set,
	.map_hide = map_hide,
	.map_show = map_show,
	.map_release = map_release,
	.flush = flush,
	.copy = copy,
	.map_get = map_get,
	.sample = sample,
	.hash = hash,
	.equal = equal,
};

static uint64_t machine_of(void *context, const void *page)
{
	(void)context;
	return (uint64_t)(uintptr_t)page;
}

static void *page_of(void *context, uint64_t address)
{
	(void)context;
	return (void *)(uintptr_t)address;
}

/* The guard of CPU start-up has its own use of the APIC's page (guard.c). */
static enum mem_access access_of(void *context, gfn_t page)
{
	enum mem_access access;

	(void)context;
	if (guard_traps_apic(page))
		return MEM_ACCESS_READ;
	mem_translate(&machine.mem, page, &access);
	return access;
}

const struct xlat_port port_tables = {
	.table_alloc = table_alloc, .table_free = table_free, .machine_of = machine_of, .page_of = page_of, .access = access_of
};

uint64_t port_copy_tsc(void)
{
	/* Scrim's own image, copied to a table page: both are there at any time. */
	uint8_t *page = own_table_alloc();
	uint64_t start = rdtsc();

	if (!page)
		return 0;
	for (uint32_t i = 0; i < COPIES_TIMED; i++)
		rep_movsq(page, (const void *)(uintptr_t)(machine.memory.own_start + (uint64_t)i % 8 * PAGE_SIZE),
			  PAGE_SIZE / sizeof(uint64_t));
	uint64_t ticks = (rdtsc() - start) / COPIES_TIMED;
	own_table_free(page);
	return ticks;
}
