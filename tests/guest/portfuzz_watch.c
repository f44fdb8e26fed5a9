/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the model's part about watches, and the pages that IMAGE_READ may write to: the first half can be written, the second cannot, and an
 * image that reaches there has to end before. Each page bears a mark at both ends, so that one which no answer speaks of is seen to be written.
 */
#include "portfuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WRITABLE_PAGES (2 * SCRIM_IMAGE_READ_MAX)
#define BUFFER_PAGES   (2 * WRITABLE_PAGES)
#define PAGE_WORDS     (GUEST_PAGE_SIZE / sizeof(uint64_t))
#define MARK           0x6d61726b6d61726bu
#define USER_END       0x800000000000u /* from here on an address is the OS's, and no program's to write to */

static uint64_t (*buffer)[PAGE_WORDS];

static void watch_mark(uint64_t *page)
{
	page[0] = page[PAGE_WORDS - 1] = MARK;
}

void watch_open_buffer(void)
{
	void *memory = mmap(NULL, BUFFER_PAGES * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	buffer = memory;
	if (memory != MAP_FAILED) {
		for (unsigned i = 0; i < BUFFER_PAGES; i++)
			watch_mark(buffer[i]);
		if (mlock(memory, BUFFER_PAGES * GUEST_PAGE_SIZE) == 0 &&
		    mprotect(buffer[WRITABLE_PAGES], (BUFFER_PAGES - WRITABLE_PAGES) * GUEST_PAGE_SIZE, PROT_READ) == 0)
			return;
	}
	perror("portfuzz: no memory for images");
	exit(1);
}

static uint64_t watch_buffer_page(uint64_t address)
{
	return (address - (uintptr_t)buffer) / GUEST_PAGE_SIZE;
}

uint64_t watch_writable(uint64_t address, uint64_t pages)
{
	uint64_t first = watch_buffer_page(address), left = first < WRITABLE_PAGES ? WRITABLE_PAGES - first : 0;

	return pages < left ? pages : left;
}

void watch_choose_image(struct fuzz *fuzz, uint64_t *argument0, uint64_t *argument1)
{
	uint64_t pick = guest_random(&fuzz->random);

	/* Each stays what it is now and then: anything. */
	if (pick % 8 != 0)
		*argument0 = fuzz->sample[(pick >> 8) % FUZZ_SAMPLES] | (pick % 16 < 12 ? SCRIM_IMAGE_KEEP : 0) |
			     (pick >> 16) % (SCRIM_IMAGE_READ_MAX + 2);
	if ((pick >> 4) % 8 != 0)
		*argument1 = (uintptr_t)buffer[(pick >> 24) % (BUFFER_PAGES - SCRIM_IMAGE_READ_MAX)] + ((pick >> 32) % 16 == 0 ? pick >> 58 : 0);
}

/* --- the model --- */

bool watch_is_on(const struct fuzz *fuzz)
{
	return fuzz->watch != SCRIM_WATCH_NONE;
}

uint32_t model_watch(const struct fuzz *fuzz, uint64_t kind)
{
	if (kind >= SCRIM_WATCH_COUNT)
		return FUZZ_STATUS(SCRIM_EINVAL);
	if (kind == SCRIM_WATCH_NONE)
		return watch_is_on(fuzz) ? 0 : FUZZ_STATUS(SCRIM_OK);
	if (fuzz->now.info[SCRIM_INFO_STATE] != SCRIM_VIRTUALIZED)
		return FUZZ_STATUS(SCRIM_ESTATE);
	return watch_is_on(fuzz) ? FUZZ_STATUS(SCRIM_EWATCH) : 0;
}

/* SCRIM_OK or SCRIM_EFAULT; 0 where it could write to what is not the buffer's. */
static uint32_t model_image_target(uint64_t target, uint64_t pages)
{
	if (target >= USER_END)
		return FUZZ_STATUS(SCRIM_EFAULT);
	if (watch_buffer_page(target) + pages > BUFFER_PAGES)
		return 0;
	return watch_writable(target, pages) > 0 ? FUZZ_STATUS(SCRIM_OK) : FUZZ_STATUS(SCRIM_EFAULT);
}

uint32_t model_image_read(const struct fuzz *fuzz, uint64_t argument0, uint64_t target)
{
	uint64_t flags = argument0 % GUEST_PAGE_SIZE, pages = flags & ~(uint64_t)SCRIM_IMAGE_KEEP;
	bool reads = fuzz->watch == SCRIM_WATCH_IMAGE, surely = false;
	uint32_t faults = reads ? 0 : FUZZ_STATUS(SCRIM_ESTATE);

	if (pages < 1 || pages > SCRIM_IMAGE_READ_MAX)
		return faults | FUZZ_STATUS(SCRIM_EINVAL) | FUZZ_STATUS(SCRIM_EALIGN) | FUZZ_STATUS(SCRIM_ENOTRAM);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t page = argument0 - flags + i * GUEST_PAGE_SIZE;

		surely |= model_ram(fuzz, page) == RAM_NO;
		if (model_ram(fuzz, page) != RAM_WHOLE || model_touches(fuzz, SCRIM_RANGE_LENT, page))
			faults |= FUZZ_STATUS(SCRIM_ENOTRAM);
	}
	if (target % GUEST_PAGE_SIZE != 0)
		return faults | FUZZ_STATUS(SCRIM_EALIGN);
	if (!reads || surely)
		return faults;
	/* Without KEEP the image would be another one behind it. */
	if ((flags & SCRIM_IMAGE_KEEP) == 0)
		return 0;
	return model_image_target(target, pages) == 0 ? 0 : faults | model_image_target(target, pages);
}

/* Registers stay as a watch has found them, also behind its end; who has been there is not known here then. */
uint32_t model_image_cpu(const struct fuzz *fuzz, uint64_t cpu, uint64_t number)
{
	bool all = watch_is_on(fuzz) && fuzz->now.info[SCRIM_INFO_CPUS_IN_OS] == fuzz->now.info[SCRIM_INFO_CPUS];

	if (cpu >= fuzz->now.info[SCRIM_INFO_CPUS] || number >= SCRIM_REG_COUNT)
		return FUZZ_STATUS(SCRIM_EINVAL);
	return FUZZ_STATUS(SCRIM_OK) | (all ? 0 : FUZZ_STATUS(SCRIM_EINVAL));
}

uint32_t model_dirty(const struct fuzz *fuzz, uint64_t address)
{
	bool aligned = address % (SCRIM_DIRTY_PAGES * GUEST_PAGE_SIZE) == 0;
	bool on = fuzz->watch == SCRIM_WATCH_DIRTY;

	if (!aligned)
		return FUZZ_STATUS(SCRIM_EALIGN) | (on ? 0 : FUZZ_STATUS(SCRIM_ESTATE));
	return on ? FUZZ_STATUS(SCRIM_OK) : FUZZ_STATUS(SCRIM_ESTATE);
}

/* --- results --- */

void watch_check_image(struct fuzz *fuzz, uint64_t argument0, uint64_t target, uint64_t pages)
{
	uint64_t asked = argument0 % GUEST_PAGE_SIZE & ~(uint64_t)SCRIM_IMAGE_KEEP, first = watch_buffer_page(target);

	if (pages != watch_writable(target, asked))
		fuzz_fail(fuzz, "IMAGE_READ tells of %lu pages, and not of %lu", pages, watch_writable(target, asked));
	for (uint64_t i = first; i < first + pages && i < WRITABLE_PAGES; i++)
		watch_mark(buffer[i]);
}

void watch_check_marks(struct fuzz *fuzz)
{
	for (unsigned i = 0; i < BUFFER_PAGES; i++) {
		if (buffer[i][0] == MARK && buffer[i][PAGE_WORDS - 1] == MARK)
			continue;
		fuzz_fail(fuzz, "IMAGE_READ has written to page %u of the buffer and has not said so", i);
		if (i < WRITABLE_PAGES)
			watch_mark(buffer[i]);
	}
}

void watch_check_dirty(struct fuzz *fuzz, uint64_t address, uint64_t low, uint64_t high)
{
	for (unsigned i = 0; i < SCRIM_DIRTY_PAGES; i++)
		if (((i < 64 ? low : high) >> i % 64 & 1) != 0 && model_ram(fuzz, address + i * GUEST_PAGE_SIZE) == RAM_NO)
			fuzz_fail(fuzz, "DIRTY tells of a page that is no RAM");
}
