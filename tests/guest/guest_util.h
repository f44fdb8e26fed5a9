/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what every test guest needs: seeded numbers, time, pinning to CPUs that come and go, option values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PAGE_SIZE 4096u

/* A bijection of 64-bit numbers that spreads every input bit (the finalizer of splitmix64). */
static inline uint64_t guest_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#define GUEST_RANDOM_STEP 0x9e3779b97f4a7c15u

/* Next number of the seeded stream whose state is *state. The state itself only goes on by a fixed step. */
static inline uint64_t guest_random(uint64_t *state)
{
	*state += GUEST_RANDOM_STEP;
	return guest_mix(*state);
}

/* The time stamp counter; nothing before or after it runs on the other side of it. */
static inline uint64_t guest_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t guest_now_ns(void);

/* One more than the highest CPU number that this machine may ever have online. */
unsigned guest_cpu_limit(void);

/* Pins the calling thread to one CPU; false if the kernel does not take it (offline, or no such CPU). */
bool guest_pin(unsigned cpu);

/* Pins to the first CPU that can be had of wanted, wanted + 1, ... modulo limit. Returns it, or limit if there is none.
 */
unsigned guest_pin_near(unsigned wanted, unsigned limit);

/*
 * Value of option argv[*index], which is argv[*index + 1] as a number (decimal, or hexadecimal with 0x). Moves *index
 * on. Ends the program with status 2 where there is no number.
 */
uint64_t guest_option_number(int argc, char **argv, int *index);
