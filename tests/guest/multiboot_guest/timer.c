/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the IDT, the PICs and the PIT. Ten ticks through the 8259: five while the CPU spins, with an end to its
 * patience, then five out of HLT. Any other interrupt or exception is a failure, told by its number.
 */
#include "guest.h"

#define PIC1        0x20u
#define PIC2        0xa0u
#define PIC_EOI     0x20u
#define PIC_VECTOR  32u
#define PIT_CHANNEL 0x40u
#define PIT_COMMAND 0x43u
#define PIT_100HZ   11932u
#define PATIENCE    2000000000u /* spins; a tick takes about a million */

struct idt_entry {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t flags;
	uint16_t offset_high;
};

static struct idt_entry idt[48] __attribute__((aligned(8)));
static volatile uint32_t ticks;

static void timer_set_pic(uint8_t mask1)
{
	port_write8(PIC1, 0x11);
	port_write8(PIC2, 0x11);
	port_write8(PIC1 + 1, PIC_VECTOR);
	port_write8(PIC2 + 1, PIC_VECTOR + 8);
	port_write8(PIC1 + 1, 4);
	port_write8(PIC2 + 1, 2);
	port_write8(PIC1 + 1, 1);
	port_write8(PIC2 + 1, 1);
	port_write8(PIC1 + 1, mask1);
	port_write8(PIC2 + 1, 0xff);
}

void timer_load_idt(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint32_t)(uintptr_t)idt };

	for (uint32_t i = 0; i < 48; i++)
		idt[i] = (struct idt_entry){ (uint16_t)interrupt_stubs[i], 0x08, 0x8e00,
					     (uint16_t)(interrupt_stubs[i] >> 16) };
	__asm__ volatile("lidt %0" ::"m"(pointer), "m"(idt));
}

void guest_interrupt(uint32_t number)
{
	if (number == PIC_VECTOR) {
		ticks++;
		port_write8(PIC1, PIC_EOI);
		return;
	}
	/* A spurious IRQ 7 is the PIC's way to say that a request went away. */
	if (number == PIC_VECTOR + 7)
		return;
	console_print("interrupt %u came\n", number);
	console_check("no other interrupt", false);
	/* An exception would come again for ever. */
	if (number < PIC_VECTOR) {
		port_write32(0xf4, 0x11);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
}

void timer_check(void)
{
	bool spun;

	timer_set_pic(0xfe);
	port_write8(PIT_COMMAND, 0x34); /* channel 0, both bytes, rate generator */
	port_write8(PIT_CHANNEL, PIT_100HZ & 0xff);
	port_write8(PIT_CHANNEL, PIT_100HZ >> 8);
	__asm__ volatile("sti");
	for (uint32_t i = 0; ticks < 5 && i < PATIENCE; i++)
		__asm__ volatile("pause");
	spun = ticks >= 5;
	console_check("5 ticks of the PIT while spinning", spun);
	/* STI takes effect after the next instruction, so a tick cannot slip in between the question and HLT. */
	while (spun && ticks < 10) {
		__asm__ volatile("cli");
		if (ticks < 10)
			__asm__ volatile("sti; hlt");
	}
	__asm__ volatile("cli");
	timer_set_pic(0xff);
	console_check("5 ticks of the PIT out of HLT", ticks >= 10);
}
