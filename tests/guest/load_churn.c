/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns mappings that live for one iteration: everything that makes an OS change its page tables and flush its TLBs
 * while the contents are known. The child of a fork verifies its copy while the parent writes over its own, so copy on
 * write breaks in both directions.
 * A child of a process with threads calls nothing that may hold a lock: patterns, write and _exit only.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION_CHURN 3u
#define CHURN_MIN    16u
#define ZERO_EVERY   8u

struct churn {
	struct load_task *task;
	uint8_t *memory;
	size_t pages;
	uint64_t generation; /* the iteration's; + 1 and + 2 after writes */
};

static uint8_t *churn_page(const struct churn *churn, size_t page)
{
	return churn->memory + page * GUEST_PAGE_SIZE;
}

static void churn_require(const struct churn *churn, bool holds, const char *what)
{
	if (!holds)
		load_fail(churn->task, "%s: %s", what, strerror(errno));
}

static void churn_fill(struct churn *churn, size_t first, size_t step, uint64_t generation)
{
	for (size_t page = first; page < churn->pages; page += step)
		pattern_fill(churn_page(churn, page), GUEST_PAGE_SIZE,
			     pattern_key(churn->task, REGION_CHURN, page, generation));
}

static void churn_verify(struct churn *churn, const char *where, size_t first, size_t step, uint64_t generation)
{
	for (size_t page = first; page < churn->pages; page += step)
		pattern_verify(churn->task, where, churn_page(churn, page), GUEST_PAGE_SIZE,
			       pattern_key(churn->task, REGION_CHURN, page, generation));
}

static void churn_map(struct churn *churn)
{
	size_t bytes = churn->pages * GUEST_PAGE_SIZE;

	churn->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	churn_require(churn, churn->memory != MAP_FAILED, "mmap");
	/*
	 * Reading first maps the page of zeros, and the write below then changes a translation, which asks every CPU
	 * for a flush: not for every page, or flushes would be all that this load does.
	 */
	for (size_t page = 0; page < churn->pages; page += ZERO_EVERY)
		pattern_verify_zero(churn->task, "fresh pages", churn_page(churn, page), GUEST_PAGE_SIZE);
	churn_fill(churn, 0, 1, churn->generation);
}

static void churn_protect(struct churn *churn)
{
	size_t half = churn->pages / 2;

	churn_require(churn, mprotect(churn->memory, half * GUEST_PAGE_SIZE, PROT_READ) == 0, "mprotect");
	churn_require(churn, mprotect(churn_page(churn, half), GUEST_PAGE_SIZE, PROT_NONE) == 0, "mprotect");
	for (size_t page = 0; page < half; page++)
		pattern_verify(churn->task, "read-only pages", churn_page(churn, page), GUEST_PAGE_SIZE,
			       pattern_key(churn->task, REGION_CHURN, page, churn->generation));
	churn_require(churn, mprotect(churn->memory, (half + 1) * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0,
		      "mprotect");
	churn_verify(churn, "pages after mprotect", 0, 1, churn->generation);
}

static void churn_child(struct churn *churn)
{
	churn_verify(churn, "pages of a forked child", 0, 1, churn->generation);
	churn_fill(churn, 1, 2, churn->generation + 2);
	churn_verify(churn, "pages that a forked child left alone", 0, 2, churn->generation);
	churn_verify(churn, "pages that a forked child wrote", 1, 2, churn->generation + 2);
	_exit(0);
}

/* Even pages are written by the parent meanwhile, odd ones by the child. */
static void churn_fork(struct churn *churn)
{
	pid_t child = fork();
	int status;

	churn_require(churn, child >= 0, "fork");
	if (child == 0)
		churn_child(churn);
	churn_fill(churn, 0, 2, churn->generation + 1);
	while (waitpid(child, &status, 0) < 0)
		churn_require(churn, errno == EINTR, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		load_fail(churn->task, "a forked child ended with status 0x%x", (unsigned)status);
	churn->task->count.forks++;
	churn_verify(churn, "pages written while a child ran", 0, 2, churn->generation + 1);
	churn_verify(churn, "pages that a child wrote in its copy", 1, 2, churn->generation);
	churn_fill(churn, 0, 2, churn->generation);
}

/* Three ways of losing pages, each with fresh zeros behind it; then the rest moves to another address. */
static void churn_punch(struct churn *churn)
{
	size_t quarter = churn->pages / 4, bytes = quarter * GUEST_PAGE_SIZE, all = churn->pages * GUEST_PAGE_SIZE;
	uint8_t *place, *target;

	churn_require(churn, madvise(churn->memory, bytes, MADV_DONTNEED) == 0, "madvise");
	pattern_verify_zero(churn->task, "pages after MADV_DONTNEED", churn->memory, bytes);

	place = churn_page(churn, quarter);
	churn_require(churn,
		      mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			      place,
		      "mmap over pages");
	pattern_verify_zero(churn->task, "pages mapped over", place, bytes);
	pattern_fill(place, bytes, churn->generation);

	target = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	churn_require(churn, target != MAP_FAILED, "mmap");
	place = mremap(churn->memory, all, all, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	/* Where the mmap in its middle has split the mapping, it cannot move as one. */
	if (place == MAP_FAILED)
		munmap(target, all);
	else
		churn->memory = place;
	pattern_verify(churn->task, "pages after mremap", churn_page(churn, quarter), bytes, churn->generation);
	churn_verify(churn, "pages after mremap", 2 * quarter, 1, churn->generation);
}

void churn_step(struct load_task *task, size_t pages_limit, bool with_fork)
{
	struct churn churn = { .task = task, .generation = task->iteration * 4 };

	churn.pages = CHURN_MIN + (size_t)(guest_random(&task->random) % (pages_limit > CHURN_MIN ? pages_limit - CHURN_MIN : 1));
	churn_map(&churn);
	churn_protect(&churn);
	if (with_fork)
		churn_fork(&churn);
	churn_punch(&churn);
	churn_require(&churn, munmap(churn.memory, churn.pages * GUEST_PAGE_SIZE) == 0, "munmap");
}
