/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the shadow and which pages are lent. Pages begin with contents of three kinds: zero, one of eight, each its own. */
#include "os.h"
#include "sim_dma.h"

#include <string.h>

#include "virt/moving.h"

static uint8_t pristine[SIM_END], shadow[SIM_END];
static uint8_t image[SIM_END];
static bool image_written[SIM_PAGES], image_unknown[SIM_PAGES];
static uint64_t instants;
static bool changed[SIM_PAGES]; /* in the shadow, since the start of the script */
static bool lent[SIM_PAGES], lent_before[SIM_PAGES];
static uint64_t seen_at[SIM_PAGES]; /* the frame where a page was found right last */
static uint32_t sample;         /* which word of a page is looked at that is where it was */

static uint8_t *memory_at(uint64_t address)
{
	return (uint8_t *)(uintptr_t)address;
}

static void fill(uint8_t *page, uint64_t pattern)
{
	for (uint32_t i = 0; i < PAGE_SIZE; i += 8)
		memcpy(page + i, &pattern, 8);
}

static bool is_ram(uint64_t number)
{
	return mem_is_ram(&machine.mem, gfn(number));
}

static void make_pristine(void)
{
	for (uint64_t i = SIM_START >> PAGE_SHIFT; i < SIM_PAGES; i++) {
		uint64_t pattern = i % 4 == 0 ? 0 : i % 4 == 1 ? 0x1111111111111111ull * (i / 4 % 8) : i << 32 | i;
		fill(pristine + (i << PAGE_SHIFT), pattern);
		sim_mark_dirty(i << PAGE_SHIFT);
		changed[i] = true;
	}
}

static bool is_own(uint64_t address)
{
	return address >= machine.memory.own_start && address < machine.memory.own_end;
}

void os_reset(void)
{
	static bool made;

	if (!made)
		make_pristine();
	made = true;
	for (uint64_t i = SIM_START >> PAGE_SHIFT; i < SIM_PAGES; i++) {
		uint64_t address = i << PAGE_SHIFT;
		if (sim_is_dirty(address) && !is_own(address))
			memcpy(memory_at(address), pristine + address, PAGE_SIZE);
		if (changed[i])
			memcpy(shadow + address, pristine + address, PAGE_SIZE);
	}
	sim_clear_dirty();
	for (uint64_t i = 0; i < SIM_PAGES; i++)
		seen_at[i] = i << PAGE_SHIFT;
	memset(changed, 0, sizeof(changed));
	memset(lent, 0, sizeof(lent));
	sample = 0;
}

bool os_uses(uint64_t address)
{
	return is_ram(address >> PAGE_SHIFT) && !lent[address >> PAGE_SHIFT];
}

/* --- what it sees --- */

static void compare_word(uint64_t address, uint64_t frame, uint32_t offset)
{
	if (memcmp(memory_at(frame) + offset, shadow + address + offset, 8))
		sim_fail("page 0x%lx, at 0x%lx, has other contents at 0x%x than were written", address, frame, offset);
}

/* All of a page that is elsewhere than before, or whose frame has been written to since. Of others nothing can have changed. */
static void compare(uint64_t address, uint64_t frame)
{
	if (frame < SIM_START || frame >= SIM_END)
		sim_fail("page 0x%lx is at 0x%lx, where no RAM is", address, frame);
	if (frame == seen_at[address >> PAGE_SHIFT] && !sim_is_fresh(frame)) {
		compare_word(address, frame, (sample + (uint32_t)(address >> PAGE_SHIFT)) % 512 * 8);
		return;
	}
	seen_at[address >> PAGE_SHIFT] = frame;
	if (!memcmp(memory_at(frame), shadow + address, PAGE_SIZE))
		return;
	for (uint32_t i = 0; i < PAGE_SIZE; i += 8)
		compare_word(address, frame, i);
}

static void check_page(uint64_t address, bool at_rest)
{
	struct sim_translation found = { .present = true, .frame = address };

	if (machine.xlat.root)
		found = sim_walk(address);
	if (found.present)
		compare(address, found.frame);
	else if (at_rest)
		sim_fail("page 0x%lx is absent, and nothing is in flight", address);
}

void os_check(bool at_rest)
{
	sample++;
	for (uint64_t i = SIM_START >> PAGE_SHIFT; i < SIM_PAGES; i++)
		if (os_uses(i << PAGE_SHIFT))
			check_page(i << PAGE_SHIFT, at_rest);
	if (at_rest)
		sim_clear_fresh();
}

void os_check_native(void)
{
	memset(seen_at, 0, sizeof(seen_at)); /* every byte */
	for (uint64_t i = SIM_START >> PAGE_SHIFT; i < SIM_PAGES; i++)
		if (os_uses(i << PAGE_SHIFT))
			compare(i << PAGE_SHIFT, i << PAGE_SHIFT);
}

/* --- programs --- */

/* The instruction that touches the page is executed until it gets through. */
static uint64_t reach(struct cpu *cpu, uint64_t address, bool is_write)
{
	for (;;) {
		struct sim_translation found = sim_translate(cpu, address);
		if (found.present && (!is_write || found.writable))
			return found.frame + (address & PAGE_MASK);
		sim_forget(cpu, address);
		sim_exit_begin(cpu);
		if (!moving_fault(cpu, gfn_of_address(address), is_write))
			sim_fail("page 0x%lx is nowhere", address);
		sim_exit_end(cpu);
	}
}

static void changes(uint64_t address, uint64_t machine_address)
{
	changed[address >> PAGE_SHIFT] = true;
	sim_mark_dirty(machine_address);
}

void os_task_write(struct cpu *cpu, struct sim_task *task)
{
	uint64_t address = align_down(task->argument[0], 8);
	uint64_t at = reach(cpu, address, true);

	changes(address, at);
	image_written[address >> PAGE_SHIFT] = true;
	memcpy(memory_at(at), &task->argument[1], 8);
	memcpy(shadow + address, &task->argument[1], 8);
}

void os_task_fill(struct cpu *cpu, struct sim_task *task)
{
	uint64_t address = align_down(task->argument[0], PAGE_SIZE);
	uint64_t at = reach(cpu, address, true), pattern = 0x1111111111111111ull * (task->argument[1] % 8);

	changes(address, at);
	image_written[address >> PAGE_SHIFT] = true;
	fill(memory_at(at), pattern);
	fill(shadow + address, pattern);
}

void os_task_read(struct cpu *cpu, struct sim_task *task)
{
	uint64_t address = align_down(task->argument[0], 8);

	if (memcmp(memory_at(reach(cpu, address, false)), shadow + address, 8))
		sim_fail("CPU %u reads at 0x%lx what nobody wrote", cpu->index, address);
}

/* --- devices --- */

/* One more than it was, as the OS knows it: what stands in a frame that the page leaves may be older. */
void os_device_write(uint64_t address, uint64_t at, uint32_t bytes)
{
	changes(address, at);
	image_unknown[address >> PAGE_SHIFT] = true;
	for (uint32_t i = 0; i < bytes; i++)
		*memory_at(at + i) = ++shadow[address + i];
}

void os_device_reads(uint64_t address, uint64_t at)
{
	if (memcmp(memory_at(at), shadow + address, 8))
		sim_fail("a device reads at 0x%lx, from 0x%lx, what nobody wrote", address, at);
}

/* --- watches --- */

void os_note_instant(void)
{
	memcpy(image + SIM_START, shadow + SIM_START, SIM_END - SIM_START);
	memset(image_written, 0, sizeof(image_written));
	memset(image_unknown, 0, sizeof(image_unknown));
	instants++;
}

bool os_was(uint64_t address, const uint8_t *bytes)
{
	return image_unknown[address >> PAGE_SHIFT] || !memcmp(image + address, bytes, PAGE_SIZE);
}

void os_let_go(uint64_t address)
{
	image_unknown[address >> PAGE_SHIFT] = true;
}

bool os_is_written(uint64_t address)
{
	return image_written[address >> PAGE_SHIFT];
}

uint64_t os_instants(void)
{
	return instants;
}

/* --- lending --- */

void os_begin_lending(uint64_t start, uint64_t end)
{
	sim_dma_settle(); /* it waits for its devices */
	for (uint64_t i = start >> PAGE_SHIFT; i < SIM_PAGES && i << PAGE_SHIFT < end; i++)
		if (is_ram(i))
			sim_mark_dirty(i << PAGE_SHIFT);
	memcpy(lent_before, lent, sizeof(lent));
	for (uint64_t i = start >> PAGE_SHIFT; i < SIM_PAGES && i << PAGE_SHIFT < end; i++)
		lent[i] = true;
}

void os_end_lending(bool is_lent)
{
	if (!is_lent)
		memcpy(lent, lent_before, sizeof(lent));
}

void os_take_back(uint64_t start, uint64_t end)
{
	for (uint64_t i = start >> PAGE_SHIFT; i < SIM_PAGES && i << PAGE_SHIFT < end; i++) {
		uint64_t address = i << PAGE_SHIFT;
		if (!lent[i])
			continue;
		lent[i] = false;
		changed[i] = true;
		sim_mark_dirty(address);
		memcpy(shadow + address, memory_at(machine.xlat.root ? sim_walk(address).frame : address), PAGE_SIZE);
	}
}
