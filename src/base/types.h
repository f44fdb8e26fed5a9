/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the fixed-width types and the few compiler words that every room uses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12u
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define PAGE_MASK (PAGE_SIZE - 1)
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PACKED __attribute__((packed))
#define NORETURN __attribute__((noreturn))
/* Zeroed data that nobody looks at once the OS runs: its pages become table pages then (main.c). */
#define BOOT_ONLY __attribute__((section(".bss.boot_only")))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

/* `alignment` is a power of two; the caller knows that value + alignment does not overflow. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return align_down(value + alignment - 1, alignment);
}
