/* SPDX-License-Identifier: BSD-2-Clause */
/* Modes and registers of the CPU that a VMM underneath may spoil. Every check leaves the CPU as it found it. */
#include "guest.h"

#define CR0_PE        0x00000001u
#define CR0_WP        0x00010000u
#define CR0_PG        0x80000000u
#define CR4_PSE       0x10u
#define EFLAGS_IF     0x200u
#define EFLAGS_VM     0x20000u
#define PTE_PRESENT   0x01u
#define PTE_WRITE     0x02u
#define PTE_LARGE     0x80u
#define PTE_TOUCHED   0x60u /* accessed and dirty */

#define MSR_APIC_BASE 0x1bu
#define MSR_EFER      0xc0000080u
#define EFER_SCE      0x001u
#define EFER_LMA      0x400u
#define EFER_NXE      0x800u
#define APIC_BASE_BSP 0x100u
#define APIC_BASE_ON  0x800u
#define APIC_ID       0x20u
#define APIC_TPR      0x80u
#define MEBIBYTE      0x100000u
#define ALIAS         0xc0000000u /* linear address that nothing has under Identity in small machines */

static uint32_t tables[3][1024] __attribute__((aligned(4096)));
static volatile uint32_t witness;

static bool cpu_a20_is_on(void)
{
	/* The same address with bit 20 off. With A20 off the two are one; only reads touch the lower one. */
	volatile uint32_t *low = memory_at((uint32_t)(uintptr_t)&witness & ~MEBIBYTE);
	bool same = true;

	for (uint32_t i = 0; i < 4; i++) {
		witness = 0x20a20a20 + i;
		__asm__ volatile("" ::: "memory");
		same = same && *low == 0x20a20a20 + i;
	}
	return !same;
}

void cpu_check_entry(void)
{
	console_print("loader: at entry cr0 %x, cr4 %x, eflags %x\n", entry_cr0, entry_cr4, entry_eflags);
	console_check("entry: eax has the magic number", entry_eax == MULTIBOOT_BOOT_MAGIC);
	console_check("entry: CR0.PE on", (entry_cr0 & CR0_PE) != 0);
	console_check("entry: CR0.PG off", (entry_cr0 & CR0_PG) == 0);
	console_check("entry: EFLAGS.IF off", (entry_eflags & EFLAGS_IF) == 0);
	console_check("entry: EFLAGS.VM off", (entry_eflags & EFLAGS_VM) == 0);
	console_check("entry: A20 on", cpu_a20_is_on());
	console_print("entry: efer %X\n", msr_read(MSR_EFER));
}

void cpu_check_cpuid(bool again)
{
	static struct cpuid first[2];
	struct cpuid now[2] = { cpuid_read(0, 0), cpuid_read(1, 0) };
	const uint32_t *a = &first[0].eax, *b = &now[0].eax;
	bool same = true;

	if (!again) {
		for (uint32_t i = 0; i < 2; i++) {
			first[i] = now[i];
			console_print("cpuid %u: %x %x %x %x\n", i, now[i].eax, now[i].ebx, now[i].ecx, now[i].edx);
		}
		return;
	}
	for (uint32_t i = 0; i < 8; i++)
		same = same && a[i] == b[i];
	console_check("cpuid 0 and 1 are as at first", same);
}

/* 4 MiB pages, Identity, but for one that shows the image's memory a second time. */
void cpu_check_paging(void)
{
	uint32_t own = (uint32_t)(uintptr_t)&witness, offset = own & 0x3fffff;
	volatile uint32_t *alias = memory_at(ALIAS + offset);
	uint32_t *directory = tables[0], seen[3], entry;

	for (uint32_t i = 0; i < 1024; i++)
		directory[i] = i << 22 | PTE_LARGE | PTE_WRITE | PTE_PRESENT;
	directory[ALIAS >> 22] = (own & ~0x3fffffu) | PTE_LARGE | PTE_WRITE | PTE_PRESENT;
	cr4_write(cr4_read() | CR4_PSE);
	cr3_write((uint32_t)(uintptr_t)directory);
	cr0_write(cr0_read() | CR0_PG | CR0_WP);
	witness = 0x11111111;
	seen[0] = *alias;
	*alias = 0x22222222;
	seen[1] = witness;
	entry = directory[ALIAS >> 22];
	/* The same linear address, now low memory: the old translation must not outlive the flush. */
	directory[ALIAS >> 22] = 0x400000 | PTE_LARGE | PTE_WRITE | PTE_PRESENT;
	__asm__ volatile("invlpg (%0)" ::"r"(alias) : "memory");
	*alias = 0x33333333;
	seen[2] = *(volatile uint32_t *)memory_at(0x400000 + offset);
	console_check("paging is on", (cr0_read() & CR0_PG) != 0);
	cr0_write(cr0_read() & ~(CR0_PG | CR0_WP));
	cr4_write(cr4_read() & ~CR4_PSE);
	cr3_write(0);
	console_check("paging: a second mapping shows the same memory", seen[0] == 0x11111111 && seen[1] == 0x22222222);
	console_check("paging: a changed mapping shows other memory", seen[2] == 0x33333333 && witness == 0x22222222);
	console_check("paging: accessed and dirty bits are set", (entry & PTE_TOUCHED) == PTE_TOUCHED);
	console_check("paging is off again", (cr0_read() & CR0_PG) == 0);
}

void cpu_check_long_mode(void)
{
	const uint64_t value = 0xfedcba9876543210u;
	uint64_t *level4 = (uint64_t *)(void *)tables[0], *level3 = (uint64_t *)(void *)tables[1],
		 *level2 = (uint64_t *)(void *)tables[2];
	bool held = true;

	for (uint32_t i = 0; i < 512; i++) {
		level4[i] = 0;
		level3[i] = 0;
		level2[i] = (uint64_t)i << 21 | PTE_LARGE | PTE_WRITE | PTE_PRESENT;
	}
	level4[0] = (uint32_t)(uintptr_t)level3 | PTE_WRITE | PTE_PRESENT;
	level3[0] = (uint32_t)(uintptr_t)level2 | PTE_WRITE | PTE_PRESENT;
	for (uint32_t i = 0; i < 3; i++)
		held = held && long_mode_visit((uint32_t)(uintptr_t)level4, value + i) ==
				       (value + i) * 0x9e3779b97f4a7c15u + 0x0123456789abcdefu;
	cr3_write(0);
	console_check("long mode: entered and left three times, sums right", held);
	console_check("long mode: EFER.LMA is off again", (msr_read(MSR_EFER) & EFER_LMA) == 0);
}

void cpu_check_efer(void)
{
	uint64_t before = msr_read(MSR_EFER), both = before | EFER_SCE | EFER_NXE;
	bool set, cleared;

	msr_write(MSR_EFER, both);
	set = msr_read(MSR_EFER) == both;
	msr_write(MSR_EFER, before & ~(uint64_t)(EFER_SCE | EFER_NXE));
	cleared = msr_read(MSR_EFER) == (before & ~(uint64_t)(EFER_SCE | EFER_NXE));
	msr_write(MSR_EFER, before);
	console_check("EFER keeps SCE and NXE as written", set && cleared);
	console_check("EFER is as before", msr_read(MSR_EFER) == before);
}

/* Every form of MOV that a compiler may choose to write a register of the APIC. */
void cpu_check_apic(void)
{
	uint32_t base = (uint32_t)msr_read(MSR_APIC_BASE);
	volatile uint32_t *tpr = memory_at((base & ~0xfffu) + APIC_TPR);
	uint32_t id = *(volatile uint32_t *)memory_at((base & ~0xfffu) + APIC_ID) >> 24, before = *tpr, seen[4];

	console_print("apic: base %x, id %u, cpuid says %u\n", base, id, cpuid_read(1, 0).ebx >> 24);
	console_check("apic: on, of the boot CPU",
		      (base & (APIC_BASE_ON | APIC_BASE_BSP)) == (APIC_BASE_ON | APIC_BASE_BSP));
	console_check("apic: id agrees with cpuid", id == cpuid_read(1, 0).ebx >> 24);
	__asm__ volatile("movl %0, (%1)" ::"c"(0x20), "d"(tpr) : "memory");
	seen[0] = *tpr;
	__asm__ volatile("movl $0x30, (%0)" ::"b"(tpr) : "memory");
	seen[1] = *tpr;
	__asm__ volatile("movl $0x40, -16(%0, %1, 4)" ::"S"(tpr), "D"(4) : "memory");
	seen[2] = *tpr;
	__asm__ volatile("movl %%eax, 0xfee00080" ::"a"(0x50) : "memory");
	seen[3] = *tpr;
	*tpr = before;
	console_check("apic: a register written by MOV r32", seen[0] == 0x20);
	console_check("apic: a register written by MOV imm32", seen[1] == 0x30);
	console_check("apic: a register written through an index", seen[2] == 0x40);
	console_check("apic: a register written by MOV moffs32", seen[3] == 0x50);
	console_check("apic: the register is as before", *tpr == before);
}
