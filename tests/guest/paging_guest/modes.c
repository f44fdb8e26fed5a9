/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns GDT, IDTs, task segments, the control registers, and the tables: for each mode a root in which the guest's own image is Identity
 * by 4 KiB pages, and one way to the test tables.
 *
 *     root[0]    -> ... -> own tables  -> the image, supervisor; what a user executes: user
 *     root[test] -> test[n] -> ... -> test[1] -> frames[0]
 *
 * One address serves for pages of all sizes: its low 30 bits are the frame's.
 */
#include "paging.h"

#define CODE32 0x08u
#define CODE64 0x18u
#define TSS32 0x38u
#define LDT 0x40u
#define TSS64 0x50u
#define GDT_ENTRIES 12u
#define TSS_BUSY BIT(41)
#define STUBS 33u
#define VECTOR_DONE 0x81u
#define GATE_SUPERVISOR 0x8e00u
#define GATE_USER 0xee00u
#define IDENTITY_END (4u * 2u << 20)
#define GIB_MASK 0x3fffffffu

extern const uint32_t interrupt_stubs32[STUBS], interrupt_stubs64[STUBS];
extern uint8_t interrupt_stack_top[];

const struct mode_shape mode_shapes[MODE_COUNT] = {
	[MODE_FLAT] = { "none", 0, 4, 0 },
	[MODE_TWO] = { "two-level", 2, 4, 0xc0000000 },
	[MODE_PSE] = { "two-level-pse", 2, 4, 0xc0000000 },
	[MODE_PAE] = { "pae", 3, 8, 0xc0000000 },
	[MODE_FOUR] = { "four-level", 4, 8, 0xffffd2c540000000 },
	[MODE_FIVE] = { "five-level", 5, 8, 0xff3ad2c540000000 },
};

struct arena arena __attribute__((aligned(4096)));

struct gate64 {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
};

struct pointer {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));

/* Code and data carry the accessed bit already. Index 7: the 32-bit task; 8: the LDT; 10: the 64-bit task. */
static uint64_t gdt[GDT_ENTRIES] = {
	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
};
static uint64_t idt32[VECTOR_DONE + 1];
static struct gate64 idt64[VECTOR_DONE + 1];
static uint32_t tss[26]; /* esp0 and ss0 of a 32-bit task; rsp0 of a 64-bit one: words 1 and 2 either way */
static enum mode now;
static struct model_cpu cpu;

static uint64_t descriptor_system(uint32_t base, uint32_t limit, uint32_t type)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 | (uint64_t)(base >> 24) << 56;
}

void modes_load_gdt(void)
{
	struct pointer pointer = { sizeof(gdt) - 1, address_of(gdt) };

	gdt[TSS32 / 8] = gdt[TSS64 / 8] = descriptor_system(address_of(tss), sizeof(tss) - 1, 0x89);
	__asm__ volatile("lgdt %0" ::"m"(pointer));
}

static void idt_make(void)
{
	for (uint32_t i = 0; i < STUBS; i++) {
		uint32_t vector = i < STUBS - 1 ? i : VECTOR_DONE, to = interrupt_stubs32[i];
		uint16_t flags = vector == VECTOR_DONE ? GATE_USER : GATE_SUPERVISOR;

		idt32[vector] = (to & 0xffff) | CODE32 << 16 | (uint64_t)flags << 32 | (uint64_t)(to >> 16) << 48;
		to = interrupt_stubs64[i];
		idt64[vector] = (struct gate64){ (uint16_t)to, CODE64, flags, (uint16_t)(to >> 16), 0, 0 };
	}
}

/* Both kinds of task want the stack for a user's interrupts; only the 32-bit one its segment, which the 64-bit one reads as zero. */
static void task_load(bool long_mode)
{
	uint32_t selector = long_mode ? TSS64 : TSS32;
	struct pointer idt = { long_mode ? sizeof(idt64) - 1 : sizeof(idt32) - 1, long_mode ? address_of(idt64) : address_of(idt32) };

	tss[1] = address_of(interrupt_stack_top);
	tss[2] = long_mode ? 0 : 0x10;
	gdt[selector / 8] &= ~TSS_BUSY;
	__asm__ volatile("lidt %0" ::"m"(idt));
	__asm__ volatile("ltr %w0" ::"r"(selector));
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

uint64_t table_get(const union table *table, uint32_t index)
{
	if (mode_shapes[now].entry_bytes == 8)
		return *(const volatile uint64_t *)&table->wide[index];
	return *(const volatile uint32_t *)&table->narrow[index];
}

void table_set(union table *table, uint32_t index, uint64_t value)
{
	if (mode_shapes[now].entry_bytes == 8)
		*(volatile uint64_t *)&table->wide[index] = value;
	else
		*(volatile uint32_t *)&table->narrow[index] = (uint32_t)value;
}

void mode_map_own(const void *address, uint64_t flags)
{
	uint32_t page = address_of(address) & ~(PAGE_SIZE - 1), number = page / PAGE_SIZE;

	arena.own_narrow[number / 1024].narrow[number % 1024] = page | (uint32_t)flags;
	arena.own_wide[number / 512].wide[number % 512] = page | flags;
}

static void own_tables_make(void)
{
	for (uint32_t page = 0; page < IDENTITY_END; page += PAGE_SIZE)
		mode_map_own(memory_at(page), ENTRY_PRESENT | ENTRY_WRITE);
	mode_map_own(user_page, ENTRY_ALL);
	for (uint32_t i = 0; i < 2; i++)
		arena.roots[MODE_TWO].narrow[i] = arena.roots[MODE_PSE].narrow[i] =
			address_of(&arena.own_narrow[i]) | (uint32_t)ENTRY_ALL;
	for (uint32_t i = 0; i < 4; i++)
		arena.own_directory.wide[i] = address_of(&arena.own_wide[i]) | ENTRY_ALL;
	arena.own_pointers.wide[0] = address_of(&arena.own_directory) | ENTRY_ALL;
	arena.own_top.wide[0] = address_of(&arena.own_pointers) | ENTRY_ALL;
	arena.roots[MODE_PAE].wide[0] = address_of(&arena.own_directory) | ENTRY_PRESENT;
	arena.roots[MODE_FOUR].wide[0] = address_of(&arena.own_pointers) | ENTRY_ALL;
	arena.roots[MODE_FIVE].wide[0] = address_of(&arena.own_top) | ENTRY_ALL;
}

union table *mode_table(uint32_t level)
{
	return level == mode_shapes[now].levels ? &arena.roots[now] : &arena.test[level];
}

uint32_t mode_index(uint64_t address, uint32_t level)
{
	if (mode_shapes[now].entry_bytes == 4)
		return (uint32_t)address >> (12 + (level - 1) * 10) & 0x3ff;
	return (uint32_t)(address >> (12 + (level - 1) * 9)) & (now == MODE_PAE && level == 3 ? 3 : 0x1ff);
}

bool mode_may_be_large(uint32_t level)
{
	switch (now) {
	case MODE_PSE:
	case MODE_PAE:
		return level == 2;
	case MODE_FOUR:
	case MODE_FIVE:
		return level == 2 || (level == 3 && cpu.gib_pages);
	default:
		return false;
	}
}

uint64_t mode_base(uint32_t level, bool leaf)
{
	uint32_t shift = 12 + (level - 1) * (mode_shapes[now].entry_bytes == 8 ? 9 : 10);

	if (leaf)
		return address_of(&arena.frames[0]) & ~(BIT(shift) - 1);
	return address_of(mode_table(level - 1));
}

uint64_t mode_address(void)
{
	return mode_shapes[now].region | (address_of(&arena.frames[0]) & GIB_MASK);
}

void mode_make_path(uint32_t leaf, uint64_t flags)
{
	uint64_t address = mode_address();

	for (uint32_t level = 1; level <= mode_shapes[now].levels; level++) {
		union table *table = mode_table(level);

		if (level < mode_shapes[now].levels)
			for (uint32_t i = 0; i < ARRAY_SIZE(table->narrow); i++)
				table->narrow[i] = 0;
		if (now == MODE_PAE && level == 3)
			table_set(table, mode_index(address, level), mode_base(level, false) | ENTRY_PRESENT);
		else
			table_set(table, mode_index(address, level),
				  mode_base(level, level == leaf) | flags | (level == leaf && level > 1 ? ENTRY_LARGE : 0));
	}
	mode_flush(address);
}

/* --- modes ----------------------------------------------------------------------------------------------------------- */

void modes_start(uint32_t quirks)
{
	struct cpuid extended = cpuid_read(0x80000001, 0);

	cpu.physical_bits = cpuid_read(0x80000008, 0).eax & 0xff;
	cpu.gib_pages = (extended.edx >> 26 & 1) != 0;
	cpu.quirks = quirks;
	cpu.identity_end = IDENTITY_END;
	idt_make();
	own_tables_make();
	task_load(false);
	console_print("machine: %u address bits, 1 GiB pages %u, NX %u, SMEP %u, SMAP %u, 5 levels %u\n", cpu.physical_bits,
		      extended.edx >> 26 & 1, extended.edx >> 20 & 1, cpuid_read(7, 0).ebx >> 7 & 1, cpuid_read(7, 0).ebx >> 20 & 1,
		      cpuid_read(7, 0).ecx >> 16 & 1);
}

bool mode_is_there(enum mode mode)
{
	return mode != MODE_FIVE || (cpuid_read(7, 0).ecx >> 16 & 1) != 0;
}

bool mode_is_long(void)
{
	return now >= MODE_FOUR;
}

enum mode mode_now(void)
{
	return now;
}

void mode_enter(enum mode mode)
{
	static const uint32_t cr4_of[MODE_COUNT] = {
		[MODE_FLAT] = 0, [MODE_TWO] = CR4_PGE, [MODE_PSE] = CR4_PGE | CR4_PSE, [MODE_PAE] = CR4_PGE | CR4_PAE,
		[MODE_FOUR] = CR4_PGE | CR4_PAE, [MODE_FIVE] = CR4_PGE | CR4_PAE | CR4_LA57,
	};

	mode_set_controls(0);
	cr0_write(cr0_read() & ~CR0_PG);
	msr_write(MSR_EFER, msr_read(MSR_EFER) & ~(uint64_t)EFER_LME);
	cr4_write(cr4_of[mode]);
	cr3_write(address_of(&arena.roots[mode]));
	now = mode;
	if (mode_is_long())
		msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_LME);
	if (mode != MODE_FLAT)
		cr0_write(cr0_read() | CR0_PG);
	task_load(mode_is_long());
	mode_read_cpu();
}

uint32_t mode_controls(void)
{
	uint32_t cr4 = cr4_read();

	return ((cr0_read() & CR0_WP) != 0 ? CONTROL_WP : 0u) | ((cr4 & CR4_SMEP) != 0 ? CONTROL_SMEP : 0u) |
	       ((cr4 & CR4_SMAP) != 0 ? CONTROL_SMAP : 0u) | ((msr_read(MSR_EFER) & EFER_NXE) != 0 ? CONTROL_NXE : 0u);
}

/* Each register is written only where it changes. */
void mode_set_controls(uint32_t controls)
{
	uint32_t cr0 = (cr0_read() & ~CR0_WP) | ((controls & CONTROL_WP) != 0 ? CR0_WP : 0);
	uint32_t cr4 = (cr4_read() & ~(CR4_SMEP | CR4_SMAP)) | ((controls & CONTROL_SMEP) != 0 ? CR4_SMEP : 0) |
		       ((controls & CONTROL_SMAP) != 0 ? CR4_SMAP : 0);
	uint64_t efer = msr_read(MSR_EFER), wanted = (efer & ~(uint64_t)EFER_NXE) | ((controls & CONTROL_NXE) != 0 ? EFER_NXE : 0);

	if (cr0 != cr0_read())
		cr0_write(cr0);
	if (cr4 != cr4_read())
		cr4_write(cr4);
	if (wanted != efer)
		msr_write(MSR_EFER, wanted);
	mode_read_cpu();
}

void mode_read_cpu(void)
{
	cpu.cr0 = cr0_read();
	cpu.cr3 = cr3_read();
	cpu.cr4 = cr4_read();
	cpu.efer = msr_read(MSR_EFER);
}

const struct model_cpu *mode_cpu(void)
{
	return &cpu;
}

void mode_flush(uint64_t address)
{
	if (mode_is_long()) {
		probe_address = address;
		invlpg64();
	} else if (now != MODE_FLAT) {
		__asm__ volatile("invlpg (%0)" ::"r"((uint32_t)address) : "memory");
	}
	if (now == MODE_PAE)
		cr3_write(cr3_read());
}

/* For what the CPU reads for a user: a table whose first descriptor lies in a test page. */
void mode_set_ldt(uint64_t address)
{
	uint32_t selector = LDT;

	gdt[LDT / 8] = descriptor_system((uint32_t)address, 7, 0x82);
	gdt[LDT / 8 + 1] = address >> 32;
	__asm__ volatile("lldt %w0" ::"r"(selector) : "memory");
}
