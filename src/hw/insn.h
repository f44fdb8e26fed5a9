/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides single x86 instructions as functions. Names are the manuals'. */
#pragma once

#include "base/types.h"

struct descriptor_table_pointer {
	uint16_t limit;
	uint64_t base;
} PACKED;

static inline void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t value;
	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* For MSRs that the CPU may refuse: false where it raises #GP. In descriptors.S. */
bool rdmsr_safe(uint32_t msr, uint64_t *value);
bool wrmsr_safe(uint32_t msr, uint64_t value);
/* The same of XSETBV. With CR4.OSXSAVE set. */
bool xsetbv_safe(uint32_t index, uint64_t value);

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r;
	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t read_cr0(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static inline uint64_t read_cr4(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

static inline uint64_t read_cr3(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static inline void write_cr2(uint64_t value) { __asm__ volatile("mov %0, %%cr2" : : "r"(value)); }
static inline void write_cr0(uint64_t value) { __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
static inline void write_cr3(uint64_t value) { __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }
static inline void write_cr4(uint64_t value) { __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }
/* With CR4.PKE set. */
static inline uint32_t rdpkru(void)
{
	uint32_t value, high;
	__asm__ volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
	return value;
}

static inline void wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }
static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void mfence(void) { __asm__ volatile("mfence" : : : "memory"); }
static inline void clflush(const void *line) { __asm__ volatile("clflush %0" : : "m"(*(const uint8_t *)line) : "memory"); }
static inline void hlt(void) { __asm__ volatile("hlt" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }

static inline void sgdt(struct descriptor_table_pointer *p) { __asm__ volatile("sgdt %0" : "=m"(*p)); }
static inline void sidt(struct descriptor_table_pointer *p) { __asm__ volatile("sidt %0" : "=m"(*p)); }
static inline void lgdt(const struct descriptor_table_pointer *p) { __asm__ volatile("lgdt %0" : : "m"(*p)); }
static inline void lidt(const struct descriptor_table_pointer *p) { __asm__ volatile("lidt %0" : : "m"(*p)); }

/* Words of 8 bytes. */
static inline void rep_movsq(void *to, const void *from, uint64_t words)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

/* Memory-mapped registers: one access of exactly this width. */
static inline uint32_t mmio_read32(uint64_t address) { return *(volatile uint32_t *)(uintptr_t)address; }
static inline void mmio_write32(uint64_t address, uint32_t value) { *(volatile uint32_t *)(uintptr_t)address = value; }
static inline uint64_t mmio_read64(uint64_t address) { return *(volatile uint64_t *)(uintptr_t)address; }
static inline void mmio_write64(uint64_t address, uint64_t value) { *(volatile uint64_t *)(uintptr_t)address = value; }
