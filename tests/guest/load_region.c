/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the memory that a worker keeps for the whole run. A cursor walks through the pages: those behind it hold
 * generation g + 1, those before it g, so every page's contents are known at every moment and a page lies untouched
 * for a whole round before it is verified and written again.
 * Page-cache pages are written through the mapping and read by system calls, or the other way about, by turns.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REGION_ANONYMOUS = 1, REGION_FILE };

struct load_region {
	unsigned kind;
	const char *name;
	int fd; /* -1: anonymous */
	uint8_t *memory;
	size_t pages, cursor;
	uint64_t generation; /* of the pages at and behind the cursor's front */
};

static uint64_t region_key(const struct load_task *task, const struct load_region *region, size_t page)
{
	return pattern_key(task, region->kind, page, region->generation + (page < region->cursor));
}

static uint8_t *region_page(const struct load_region *region, size_t page)
{
	return region->memory + page * GUEST_PAGE_SIZE;
}

static void region_map(struct load_task *task, struct load_region *region)
{
	int flags = region->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	size_t bytes = region->pages * GUEST_PAGE_SIZE;

	region->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, region->fd, 0);
	if (region->memory == MAP_FAILED)
		load_fail(task, "cannot map %zu bytes: %s", bytes, strerror(errno));
	/* Forks copy the churn's pages; copying all would be a load of page tables and little else. */
	madvise(region->memory, bytes, MADV_DONTFORK);
	if (region->fd < 0)
		madvise(region->memory, bytes, task->index % 2 == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

static struct load_region *region_new(struct load_task *task, unsigned kind, const char *name, int fd, size_t pages)
{
	struct load_region *region = calloc(1, sizeof(*region));

	if (region == NULL)
		load_fail(task, "no memory");
	*region = (struct load_region){ .kind = kind, .name = name, .fd = fd, .pages = pages };
	region_map(task, region);
	for (size_t page = 0; page < pages; page++) {
		pattern_fill(region_page(region, page), GUEST_PAGE_SIZE, region_key(task, region, page));
		if (page % 64 == 0)
			load_turn(task, task->index);
	}
	return region;
}

struct load_region *region_new_anonymous(struct load_task *task, size_t pages)
{
	return region_new(task, REGION_ANONYMOUS, "anonymous pages", -1, pages);
}

/* Odd workers have tmpfs pages; even ones those of the directory's file system, where it takes a file. */
struct load_region *region_new_file(struct load_task *task, size_t pages)
{
	const char *name = "file pages";
	char path[256];
	int fd = -1;

	if (task->index % 2 == 0) {
		snprintf(path, sizeof(path), "%s/load.XXXXXX", task->load->directory);
		fd = mkstemp(path);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0) {
		name = "tmpfs pages";
		fd = memfd_create("load", MFD_CLOEXEC);
	}
	if (fd < 0 || ftruncate(fd, (off_t)(pages * GUEST_PAGE_SIZE)) != 0)
		load_fail(task, "cannot make a file of %zu pages: %s", pages, strerror(errno));
	return region_new(task, REGION_FILE, name, fd, pages);
}

static void region_verify_page(struct load_task *task, struct load_region *region, size_t page, bool by_call)
{
	uint64_t buffer[GUEST_PAGE_SIZE / 8];
	const void *memory = region_page(region, page);

	if (by_call) {
		if (pread(region->fd, buffer, sizeof(buffer), (off_t)(page * GUEST_PAGE_SIZE)) != sizeof(buffer))
			load_fail(task, "cannot read a page of the file: %s", strerror(errno));
		memory = buffer;
	}
	pattern_verify(task, region->name, memory, GUEST_PAGE_SIZE, region_key(task, region, page));
}

static void region_write_page(struct load_task *task, struct load_region *region, size_t page, bool by_call)
{
	uint64_t buffer[GUEST_PAGE_SIZE / 8];
	uint64_t key = pattern_key(task, region->kind, page, region->generation + 1);

	if (!by_call) {
		pattern_fill(region_page(region, page), GUEST_PAGE_SIZE, key);
		return;
	}
	pattern_fill(buffer, sizeof(buffer), key);
	if (pwrite(region->fd, buffer, sizeof(buffer), (off_t)(page * GUEST_PAGE_SIZE)) != sizeof(buffer))
		load_fail(task, "cannot write a page of the file: %s", strerror(errno));
}

static void region_next_generation(struct load_task *task, struct load_region *region)
{
	region->cursor = 0;
	region->generation++;
	if (region->fd < 0)
		return;
	/* The pages stay in the page cache; the page tables that mapped them go. */
	munmap(region->memory, region->pages * GUEST_PAGE_SIZE);
	region_map(task, region);
}

void region_step(struct load_task *task, struct load_region *region, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		bool call_reads = region->fd >= 0 && (region->cursor + region->generation) % 2 == 0;

		region_verify_page(task, region, region->cursor, call_reads);
		region_write_page(task, region, region->cursor, region->fd >= 0 && !call_reads);
		region->cursor++;
		if (region->cursor == region->pages)
			region_next_generation(task, region);
	}
	/* One page anywhere, out of turn: the walk alone would always give a page the same time to rest. */
	region_verify_page(task, region, (size_t)(guest_random(&task->random) % region->pages), false);
}

void region_finish(struct load_task *task, struct load_region *region)
{
	for (size_t page = 0; page < region->pages; page++) {
		region_verify_page(task, region, page, false);
		if (page % 64 == 0)
			load_turn(task, task->index);
	}
	munmap(region->memory, region->pages * GUEST_PAGE_SIZE);
	if (region->fd >= 0)
		close(region->fd);
	free(region);
}
