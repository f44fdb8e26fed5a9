/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the layout of Scrim's block and the list of free table pages. */
#include "virt/own.h"

#include "base/str.h"
#include "hw/console.h"

static struct {
	uint64_t next, demanded_end; /* own_alloc()'s bump */
	uint64_t tables_start;
	uint64_t frames_start, frames_end;
	struct {
		const uint8_t *start, *end;
	} given[OWN_PIECES_MAX]; /* of the image, tables now */
	uint32_t given_count;
	void *free_tables;        /* linked by their first word */
} own;

static uint64_t reserve_table_bytes(uint64_t reserve_bytes)
{
	uint64_t share = align_down(reserve_bytes / 8, PAGE_SIZE);

	if (share < OWN_RESERVE_TABLE_BYTES_MIN)
		share = OWN_RESERVE_TABLE_BYTES_MIN;
	return share < reserve_bytes ? share : reserve_bytes;
}

uint64_t own_reserve_frames(uint64_t reserve_bytes)
{
	return (reserve_bytes - reserve_table_bytes(reserve_bytes)) >> PAGE_SHIFT;
}

uint64_t own_bytes(const struct own_demand *demand)
{
	return align_up(align_up(demand->image_bytes, PAGE_SIZE) + demand->fixed_bytes +
				(demand->fixed_tables << PAGE_SHIFT) + align_up(demand->reserve_bytes, PAGE_SIZE),
			MIB(2));
}

void own_init(uint64_t start, uint64_t end, const struct own_demand *demand)
{
	uint64_t tables = (demand->fixed_tables << PAGE_SHIFT) + reserve_table_bytes(demand->reserve_bytes);

	/* From the top down. What rounding up to 2 MiB has left over lies between what own_alloc() hands out and the tables, and nobody counts on it. */
	own.frames_end = end;
	own.frames_start = end - (own_reserve_frames(demand->reserve_bytes) << PAGE_SHIFT);
	own.tables_start = own.frames_start - tables;
	own.next = start + align_up(demand->image_bytes, PAGE_SIZE);
	own.demanded_end = own.next + demand->fixed_bytes;
	CHECK(own.demanded_end <= own.tables_start);
	for (uint64_t page = own.tables_start; page < own.frames_start; page += PAGE_SIZE)
		own_table_free((void *)(uintptr_t)page);
}

void *own_alloc(uint64_t bytes)
{
	void *p = (void *)(uintptr_t)own.next;

	own.next += align_up(bytes, PAGE_SIZE);
	CHECK(own.next <= own.demanded_end);
	memset(p, 0, bytes);
	return p;
}

void *own_table_alloc(void)
{
	void *page = own.free_tables;

	if (!page)
		return NULL;
	memcpy(&own.free_tables, page, sizeof(own.free_tables));
	memset(page, 0, PAGE_SIZE);
	return page;
}

void own_table_free(void *page)
{
	memcpy(page, &own.free_tables, sizeof(own.free_tables));
	own.free_tables = page;
}

void own_give_boot_memory(uint8_t *start, uint8_t *end)
{
	CHECK(own.given_count < OWN_PIECES_MAX);
	own.given[own.given_count].start = start;
	own.given[own.given_count++].end = end;
	for (uint8_t *page = start; page < end; page += PAGE_SIZE)
		own_table_free(page);
}

bool own_is_table(const void *page)
{
	const uint8_t *at = page;

	if ((uint64_t)(uintptr_t)page >= own.tables_start && (uint64_t)(uintptr_t)page < own.frames_start)
		return true; /* most: a step gives back many */
	for (uint32_t i = 0; i < own.given_count; i++)
		if (at >= own.given[i].start && at < own.given[i].end)
			return true;
	return false;
}

uint64_t own_frames_start(void)
{
	return own.frames_start;
}

uint64_t own_frames_end(void)
{
	return own.frames_end;
}
