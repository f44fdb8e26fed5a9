/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides sets of CPU numbers of any size, and the text form in which the kernel lists them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* More than any kernel is built for; a bound on what a strange file can make this program allocate. */
#define CPU_LIST_LIMIT     (1u << 20)

#define CPU_LIST_WORD_BITS (8 * sizeof(unsigned long))

/* Zeroed: the empty set. In the layout of the kernel's affinity masks. */
struct cpu_list {
	unsigned long *words;
	size_t word_count;
};

/* Adds one; false: number at or above CPU_LIST_LIMIT, or no memory. */
bool cpu_list_add(struct cpu_list *list, unsigned cpu) __attribute__((warn_unused_result));
bool cpu_list_has(const struct cpu_list *list, unsigned cpu);

/* First member at or above `from`, or CPU_LIST_LIMIT. */
unsigned cpu_list_next(const struct cpu_list *list, unsigned from);

/* "0-3,8\n" into an empty set. False: not such a list; the set is empty then. */
bool cpu_list_parse(const char *text, struct cpu_list *list) __attribute__((warn_unused_result));

void cpu_list_free(struct cpu_list *list);
