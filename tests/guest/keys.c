/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A write that the page's protection key forbids leaves no dirty bit behind. Pages are made clean by MADV_FREE, which flushes them as
 * well; how many are dirty afterwards /proc/self/smaps tells from the page tables. Says "no keys" where the kernel has none; else ends
 * with status 0 where it is so.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_util.h"

#define PAGES 64u

static sigjmp_buf behind;
static volatile int faults, key_faults;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	faults++;
	key_faults += info->si_code == SEGV_PKUERR;
	siglongjmp(behind, 1);
}

static void try_write(volatile char *at)
{
	if (!sigsetjmp(behind, 1))
		*at = 1;
}

/* In KiB, of the mapping that begins at `start`. */
static unsigned long dirty_of(const char *start)
{
	char line[256], head[32];
	unsigned long dirty = 0;
	int inside = 0;
	FILE *file = fopen("/proc/self/smaps", "r");

	snprintf(head, sizeof(head), "%lx-", (unsigned long)start);
	while (file && fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			inside = !strncmp(line, head, strlen(head));
		if (inside && sscanf(line, "Private_Dirty: %lu", &dirty) == 1)
			break;
	}
	if (file)
		fclose(file);
	return dirty;
}

int main(void)
{
	const struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	const size_t bytes = (size_t)PAGES * GUEST_PAGE_SIZE;
	char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, 0);

	if (key < 0) {
		puts("no keys");
		return 1;
	}
	if (area == MAP_FAILED || pkey_mprotect(area, bytes, PROT_READ | PROT_WRITE, key) || sigaction(SIGSEGV, &action, NULL))
		return 2;
	memset(area, 1, bytes);
	unsigned long before = dirty_of(area);
	if (madvise(area, bytes, MADV_FREE))
		return 2;
	unsigned long clean = dirty_of(area);
	pkey_set(key, PKEY_DISABLE_WRITE);
	for (unsigned i = 0; i < PAGES; i++)
		try_write(area + (size_t)i * GUEST_PAGE_SIZE);
	unsigned long after = dirty_of(area);
	pkey_set(key, 0);
	for (unsigned i = 0; i < PAGES; i += 2)
		try_write(area + (size_t)i * GUEST_PAGE_SIZE);
	unsigned long written = dirty_of(area);
	printf("%u pages, %d faults, %d of them the key's; dirty KiB: %lu, clean %lu, forbidden %lu, written %lu\n", PAGES, faults, key_faults, before,
	       clean, after, written);
	return faults == (int)PAGES && key_faults == faults && clean == 0 && after == 0 && written == PAGES / 2 * GUEST_PAGE_SIZE / 1024 ? 0 : 1;
}
