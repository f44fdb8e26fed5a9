/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the patterns: word i of a block is key + (i + 1) * STRIDE, so every word says which task, region, page and
 * generation it belongs to, and a word out of place cannot pass. Compiled apart from its callers, so that a compiler
 * cannot remember what was stored: every verification reads memory.
 */
#include "load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STRIDE 0x9e3779b97f4a7c15u

uint64_t pattern_key(const struct load_task *task, unsigned region, uint64_t page, uint64_t generation)
{
	uint64_t key = guest_mix(task->load->seed + ((uint64_t)task->index << 32 | region));

	return guest_mix(guest_mix(key ^ page) + generation);
}

void pattern_fill(void *memory, size_t bytes, uint64_t key)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < bytes / 8; i++)
		words[i] = key += STRIDE;
}

void load_fail(const struct load_task *task, const char *format, ...)
{
	char text[512], line[1024];
	va_list arguments;
	int length;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	length = snprintf(line, sizeof(line), "load: %s: thread %s %u, iteration %" PRIu64 ", cpu %u, pid %d\n", text,
			  task->role, task->index, task->iteration, task->cpu, getpid());
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		_exit(1);
	length = snprintf(line, sizeof(line), "{\"tool\": \"load\", \"wrong\": 1, \"error\": \"%s\"}\n", text);
	if (write(STDOUT_FILENO, line, (size_t)length) < 0)
		_exit(1);
	syscall(SYS_exit_group, 1);
	__builtin_unreachable();
}

/* Physical address as the OS sees it, for who looks for the page from outside; 0 where the OS does not tell. */
static uint64_t pattern_physical(const void *address)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)address / GUEST_PAGE_SIZE * 8)) != sizeof(entry))
		entry = 0;
	close(fd);
	entry &= (1ull << 55) - 1;
	return entry == 0 ? 0 : entry * GUEST_PAGE_SIZE + (uintptr_t)address % GUEST_PAGE_SIZE;
}

__attribute__((noreturn, noinline)) static void pattern_report(struct load_task *task, const char *where,
							       const uint64_t *word, uint64_t expected, uint64_t found)
{
	unsigned byte = (unsigned)__builtin_ctzll(expected ^ found) / 8;
	const uint8_t *address = (const uint8_t *)word + byte;

	load_fail(
		task,
		"WRONG byte in %s at %p (physical 0x%" PRIx64 "): expected 0x%02x, found 0x%02x; word expected 0x%016" PRIx64 ", found "
		"0x%016" PRIx64 ", read again 0x%016" PRIx64,
		where, (const void *)address, pattern_physical(address), (unsigned)(expected >> (8 * byte) & 0xff),
		(unsigned)(found >> (8 * byte) & 0xff), expected, found, *(const volatile uint64_t *)word);
}

/* Both kinds of block in one: a stride of 0 and a key of 0 are a block of zeros. */
static void pattern_compare(struct load_task *task, const char *where, const void *memory, size_t bytes, uint64_t key,
			    uint64_t stride)
{
	const uint64_t *words = memory;

	for (size_t i = 0; i < bytes / 8; i++) {
		uint64_t found = words[i];

		key += stride;
		if (__builtin_expect(found != key, 0))
			pattern_report(task, where, &words[i], key, found);
	}
	task->count.bytes += bytes;
	task->count.pages += bytes / GUEST_PAGE_SIZE;
}

void pattern_verify(struct load_task *task, const char *where, const void *memory, size_t bytes, uint64_t key)
{
	pattern_compare(task, where, memory, bytes, key, STRIDE);
}

void pattern_verify_zero(struct load_task *task, const char *where, const void *memory, size_t bytes)
{
	pattern_compare(task, where, memory, bytes, 0, 0);
}
