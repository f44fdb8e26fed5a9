/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the TSC's measured rate. */
#include "hw/delay.h"

#include "hw/insn.h"

#define PIT_CHANNEL2 0x42u
#define PIT_COMMAND 0x43u
#define PORT_B 0x61u /* bit 0: gate of channel 2, bit 1: speaker, bit 5: its output */
#define PIT_HZ 1193182u
#define SAMPLE_TICKS (PIT_HZ / 100) /* 10 ms */
#define TRIES_MIN 2u
#define TRIES_MAX 100000000u

static uint64_t tsc_hz;

uint64_t delay_calibrate(void)
{
	uint8_t port_b = inb(PORT_B);

	outb(PORT_B, (uint8_t)((port_b & ~2u) | 1u));
	outb(PIT_COMMAND, 0xb0); /* channel 2, low then high byte, mode 0: output rises at zero */
	outb(PIT_CHANNEL2, SAMPLE_TICKS & 0xff);
	outb(PIT_CHANNEL2, SAMPLE_TICKS >> 8);
	uint64_t start = rdtsc();
	uint32_t tries = 0;
	while (!(inb(PORT_B) & 0x20) && tries < TRIES_MAX)
		tries++;
	uint64_t ticks = rdtsc() - start;
	outb(PORT_B, port_b);
	/* Up at once: nobody decodes the port. Never up: the timer is stopped. */
	tsc_hz = tries < TRIES_MIN || tries == TRIES_MAX ? 0 : ticks * 100;
	return tsc_hz;
}

void delay_us(uint64_t microseconds)
{
	uint64_t end = rdtsc() + tsc_hz / 1000000 * microseconds;

	while (rdtsc() < end)
		cpu_pause();
}

uint64_t delay_tsc_hz(void)
{
	return tsc_hz;
}
