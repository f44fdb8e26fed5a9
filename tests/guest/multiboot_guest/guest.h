/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the parts of the multiboot test guest to each other. A guest in the manner of the loader's simplest client:
 * 32-bit, flat, no paging, one CPU.
 *
 * Its log on COM1 is the same with Scrim and without, but for lines that begin with "map:", "loader:" or "mem:".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct multiboot_module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t reserved;
};

/* Multiboot Specification 0.6.96, 3.3. */
struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB */
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t map_length, map;
	uint32_t drives_length, drives;
	uint32_t config_table;
	uint32_t loader_name;
};
_Static_assert(offsetof(struct multiboot_info, loader_name) == 64, "layout of the specification");

#define MULTIBOOT_BOOT_MAGIC   0x2badb002u
#define MULTIBOOT_MEMORY       0x001u
#define MULTIBOOT_COMMAND_LINE 0x004u
#define MULTIBOOT_MODULES      0x008u
#define MULTIBOOT_MAP          0x040u
#define MULTIBOOT_LOADER_NAME  0x200u

/* `size` does not count itself. */
struct multiboot_map_entry {
	uint32_t size;
	uint64_t base;
	uint64_t length;
	uint32_t type; /* 1: RAM */
} __attribute__((packed));

/* entry.S */
extern uint32_t entry_eax, entry_ebx, entry_eflags, entry_cr0, entry_cr4;
extern const uint32_t interrupt_stubs[48];
extern uint8_t image_start[], image_end[];
uint64_t long_mode_visit(uint32_t cr3, uint64_t value);

/* console.c */
void console_start(void);
/* %s %u %x %X (64-bit hexadecimal) %% */
void console_print(const char *format, ...);
/* One line of a check: "NAME: ok" or "NAME: FAILURE". Any failure makes the result a failure. */
void console_check(const char *name, bool holds);
bool console_all_held(void);

/* loader.c: what the loader gave */
void loader_check(const struct multiboot_info *info);

/* cpu.c: modes, MSRs, CPUID, APIC */
void cpu_check_entry(void);
void cpu_check_paging(void);
void cpu_check_long_mode(void);
void cpu_check_efer(void);
void cpu_check_apic(void);
/* Twice: the second call compares with the first. */
void cpu_check_cpuid(bool again);

/* ram.c: every RAM page of the map but this image and the modules is written and read */
void ram_check(const struct multiboot_info *info);

/* timer.c: the PIT through the PIC and an IDT of its own */
/* From here on an exception ends the guest with a word, not in a reset. */
void timer_load_idt(void);
void timer_check(void);
void guest_interrupt(uint32_t number);
void guest_main(void);

static inline void port_write8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline void port_write32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t port_read8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t msr_read(uint32_t msr)
{
	uint64_t value;

	__asm__ volatile("rdmsr" : "=A"(value) : "c"(msr));
	return value;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"A"(value), "c"(msr));
}

static inline void *memory_at(uint32_t physical)
{
	return (void *)(uintptr_t)physical;
}
