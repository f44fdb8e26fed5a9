/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns Scrim's GDT and IDT. No TSS: Scrim has one privilege level and no interrupt stacks, and TR stays the OS's. */
#include "hw/descriptors.h"

#include "hw/apic.h"
#include "hw/console.h"
#include "hw/insn.h"

#define CODE_SELECTOR 8u
#define VECTORS 32u
#define STUB_BYTES 16u
#define GATE_INTERRUPT 0x8e00u /* present, DPL 0, 64-bit interrupt gate */

struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
} PACKED;
_Static_assert(sizeof(struct gate) == 16, "APM vol. 2, 4.8.4");

static const uint64_t gdt[] = { 0, 0x00209a0000000000 /* 64-bit code */ };
static struct gate idt[VECTORS];

extern const uint8_t idt_stubs[];
extern void idt_nmi(void);
void NORETURN descriptors_exception(uint64_t vector, uint64_t error, uint64_t rip);

void descriptors_exception(uint64_t vector, uint64_t error, uint64_t rip)
{
	panic("exception %lu, error %lx at %lx, CR2 %lx: a bug in Scrim", vector, error, rip, read_cr2());
}

static void set_gate(uint32_t vector, uint64_t handler)
{
	idt[vector] = (struct gate){ .offset_low = (uint16_t)handler, .selector = CODE_SELECTOR, .flags = GATE_INTERRUPT,
				     .offset_middle = (uint16_t)(handler >> 16), .offset_high = (uint32_t)(handler >> 32) };
}

void descriptors_build(void)
{
	for (uint32_t vector = 0; vector < VECTORS; vector++)
		set_gate(vector, vector == VECTOR_NMI ? (uint64_t)(uintptr_t)idt_nmi
						      : (uint64_t)(uintptr_t)idt_stubs + vector * STUB_BYTES);
}

void descriptors_set_nmi(void (*handler)(void))
{
	set_gate(VECTOR_NMI, (uint64_t)(uintptr_t)handler);
}

void descriptors_load(void)
{
	const struct descriptor_table_pointer g = { sizeof(gdt) - 1, (uint64_t)(uintptr_t)gdt };
	const struct descriptor_table_pointer i = { sizeof(idt) - 1, (uint64_t)(uintptr_t)idt };
	lgdt(&g);
	lidt(&i);
	__asm__ volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
			 : : "i"((uint64_t)CODE_SELECTOR) : "rax", "memory");
}
