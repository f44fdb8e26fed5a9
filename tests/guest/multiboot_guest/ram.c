/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes the map at its word: what it calls RAM above 1 MiB is written and read, all of it but this image and the
 * modules. Below 1 MiB the loader's and the firmware's tables lie. What the loader gave may be overwritten here, so
 * this comes last.
 */
#include "guest.h"

#define PAGE_SIZE   4096u
#define MODULES_MAX 16u
#define RANGES_MAX  64u

struct range {
	uint32_t start, end;
};

static struct range ram[RANGES_MAX], kept[MODULES_MAX + 1];
static uint32_t ram_count, kept_count;

static void ram_collect(const struct multiboot_info *info)
{
	const struct multiboot_module *module = memory_at(info->modules);
	const uint8_t *at = memory_at(info->map), *end = at + info->map_length;

	kept[kept_count++] = (struct range){ (uint32_t)(uintptr_t)image_start, (uint32_t)(uintptr_t)image_end };
	for (uint32_t i = 0; i < info->module_count && kept_count <= MODULES_MAX; i++)
		kept[kept_count++] = (struct range){ module[i].start, module[i].end };
	while (at < end && ram_count < RANGES_MAX) {
		const struct multiboot_map_entry *entry = (const struct multiboot_map_entry *)at;
		uint64_t last = entry->base + entry->length;

		if (entry->type == 1 && entry->base >= 0x100000 && entry->base < 0xfff00000)
			ram[ram_count++] = (struct range){ (uint32_t)entry->base,
							   last > 0xfff00000 ? 0xfff00000 : (uint32_t)last };
		at += entry->size + sizeof(entry->size);
	}
}

static bool ram_is_kept(uint32_t page)
{
	for (uint32_t i = 0; i < kept_count; i++)
		if (page < kept[i].end && kept[i].start < page + PAGE_SIZE)
			return true;
	return false;
}

/* Two words a page, its ends: a hole or an alias of 4 KiB or more shows. Returns the pages whose words are not theirs.
 */
static uint32_t ram_walk(bool write)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < ram_count; i++)
		for (uint32_t page = (ram[i].start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); page + PAGE_SIZE <= ram[i].end;
		     page += PAGE_SIZE) {
			volatile uint32_t *words = memory_at(page);
			uint32_t pattern = page * 0x9e3779b1u ^ 0x5343524d;

			if (ram_is_kept(page))
				continue;
			if (write) {
				words[0] = pattern;
				words[PAGE_SIZE / 4 - 1] = ~pattern;
			} else if (words[0] != pattern || words[PAGE_SIZE / 4 - 1] != ~pattern) {
				wrong++;
			}
		}
	return wrong;
}

void ram_check(const struct multiboot_info *info)
{
	uint32_t wrong;

	ram_collect(info);
	ram_walk(true);
	wrong = ram_walk(false);
	if (wrong > 0)
		console_print("ram: %u pages do not keep what was written\n", wrong);
	console_check("all RAM of the map keeps what is written", wrong == 0 && ram_count > 0);
}
