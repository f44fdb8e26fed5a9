/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake machine's watches. Like Scrim it writes to the buffer of the tool; unlike it, it fails the test where a page is read out of order. */
#include "fake_watch.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_memory.h"

#define PAGE 4096u

void fake_watch_reset(struct fake_watch *watch)
{
	*watch = (struct fake_watch){ .frames = 1000 };
}

uint64_t fake_image_word(uint64_t page, unsigned word)
{
	return page << 16 ^ word * 0x9e3779b97f4a7c15ull;
}

uint64_t fake_image_register(uint64_t cpu, uint64_t which)
{
	return (cpu + 1) << 32 | which << 8 | 0xf;
}

bool fake_is_written(uint64_t page)
{
	return page % 5 == 0;
}

uint32_t fake_watch_begin(struct fake_watch *watch, const uint64_t argument[2], uint64_t cpus, uint64_t result[2])
{
	uint64_t kind = argument[0];

	if (kind >= SCRIM_WATCH_COUNT || argument[1] >= SCRIM_WRITES_COUNT ||
	    (argument[1] != SCRIM_WRITES_GO_ON && kind != SCRIM_WATCH_IMAGE))
		return SCRIM_EINVAL;
	if (kind != SCRIM_WATCH_NONE && watch->kind != SCRIM_WATCH_NONE)
		return SCRIM_EWATCH;
	watch->begun += kind != SCRIM_WATCH_NONE;
	watch->ended += watch->kind != SCRIM_WATCH_NONE;
	watch->kind = (enum scrim_watch)kind;
	if (kind != SCRIM_WATCH_NONE)
		watch->writes = (enum scrim_writes)argument[1];
	watch->failed = false;
	if (kind != SCRIM_WATCH_NONE)
		watch->next = watch->reads = 0;
	result[0] = watch->frames;
	result[1] = kind == SCRIM_WATCH_IMAGE ? cpus : 0;
	return SCRIM_OK;
}

static void write_note(uint8_t *to)
{
	const Elf64_Nhdr header = { .n_namesz = sizeof("VMCOREINFO"), .n_descsz = sizeof(FAKE_NOTE_TEXT) - 1 };

	memset(to, 0, PAGE);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), "VMCOREINFO", sizeof("VMCOREINFO"));
	memcpy(to + sizeof(header) + 12, FAKE_NOTE_TEXT, sizeof(FAKE_NOTE_TEXT) - 1);
}

static void write_page(const struct fake_watch *watch, uint64_t address, uint8_t *to)
{
	if (address == FAKE_NOTE_PAGE && !watch->no_note) {
		write_note(to);
		return;
	}
	for (unsigned word = 0; word < PAGE / 8; word++)
		((uint64_t *)(void *)to)[word] = fake_image_word(address / PAGE, word);
}

uint32_t fake_image_read(struct fake_watch *watch, const uint64_t argument[2], uint64_t result[2])
{
	uint64_t address = argument[0] & ~(uint64_t)(PAGE - 1), pages = argument[0] & 0x7ff;
	bool keep = (argument[0] & SCRIM_IMAGE_KEEP) != 0;

	if (pages < 1 || pages > SCRIM_IMAGE_READ_MAX)
		return SCRIM_EINVAL;
	if (watch->failed || (watch->fail_at != 0 && watch->reads >= watch->fail_at)) {
		watch->failed = true;
		watch->kind = SCRIM_WATCH_NONE;
		return SCRIM_ENOFRAME;
	}
	if (watch->kind != SCRIM_WATCH_IMAGE)
		return SCRIM_ESTATE;
	if (address < FAKE_RAM_START || address + pages * PAGE > FAKE_RAM_END)
		return SCRIM_ENOTRAM;
	if (watch->faults != 0 && watch->faults-- % 2 == 0)
		return SCRIM_EFAULT;
	/* Every second time the buffer's last page is away. */
	result[0] = watch->faults % 2 == 1 && pages > 1 ? pages - 1 : pages;
	for (uint64_t i = 0; i < result[0]; i++)
		write_page(watch, address + i * PAGE, (uint8_t *)(uintptr_t)argument[1] + i * PAGE);
	if (keep)
		return SCRIM_OK;
	assert_true(address >= watch->next);
	watch->next = address + result[0] * PAGE;
	watch->reads += result[0];
	return SCRIM_OK;
}

uint32_t fake_dirty(const struct fake_watch *watch, uint64_t address, uint64_t result[2])
{
	if (address % (SCRIM_DIRTY_PAGES * PAGE) != 0)
		return SCRIM_EALIGN;
	if (watch->failed)
		return SCRIM_ENOTABLE;
	if (watch->kind != SCRIM_WATCH_DIRTY)
		return SCRIM_ESTATE;
	result[0] = result[1] = 0;
	for (unsigned i = 0; i < SCRIM_DIRTY_PAGES; i++)
		result[i / 64] |= (uint64_t)fake_is_written(address / PAGE + i) << i % 64;
	return SCRIM_OK;
}
