/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loader gave. Lines with addresses, sizes, and names that a loader makes up begin with "map:", "mem:" or
 * "loader:"; what must be the same under every loader has lines of its own.
 */
#include "guest.h"

#define FNV_OFFSET 0x811c9dc5u
#define FNV_PRIME  0x01000193u
#define PAGE_MASK  0xfffu

/*
 * Some loaders put the file's name before the arguments (QEMU, GRUB 0.97), others do not (GRUB 2). A first word with a
 * slash and no equals sign is taken for a name.
 */
static const char *text_of_arguments(const char *text)
{
	const char *end = text;
	bool slash = false, equals = false;

	for (; *end != '\0' && *end != ' '; end++) {
		slash = slash || *end == '/';
		equals = equals || *end == '=';
	}
	if (!slash || equals)
		return text;
	while (*end == ' ')
		end++;
	return end;
}

static void loader_print_memory(const struct multiboot_info *info)
{
	const uint8_t *at = memory_at(info->map), *end = at + info->map_length;
	uint64_t ram = 0;
	bool image_in_ram = false, upper_agrees = false;

	console_print("mem: lower %u KiB, upper %u KiB\n", info->mem_lower, info->mem_upper);
	while (at < end) {
		const struct multiboot_map_entry *entry = (const struct multiboot_map_entry *)at;
		uint64_t last = entry->base + entry->length;

		console_print("map: %X-%X type %u\n", entry->base, last, entry->type);
		if (entry->type == 1) {
			ram += entry->length;
			image_in_ram |= entry->base <= (uintptr_t)image_start && (uintptr_t)image_end <= last;
			upper_agrees |= entry->base <= 0x100000 && 0x100000 + ((uint64_t)info->mem_upper << 10) <= last;
		}
		at += entry->size + sizeof(entry->size);
	}
	console_print("map: %x KiB of RAM\n", (uint32_t)(ram >> 10));
	console_check("memory map ends where it says", at == end && info->map_length > 0);
	console_check("image lies in RAM", image_in_ram);
	console_check("mem_upper agrees with the map", upper_agrees && info->mem_upper > 0);
	console_check("mem_lower", info->mem_lower >= 512 && info->mem_lower <= 640);
}

static bool loader_overlaps(uint32_t start, uint32_t end, uint32_t other_start, uint32_t other_end)
{
	return start < other_end && other_start < end;
}

static void loader_print_module(const struct multiboot_info *info, uint32_t index)
{
	const struct multiboot_module *module = (const struct multiboot_module *)memory_at(info->modules) + index;
	const uint8_t *bytes = memory_at(module->start);
	const char *string = memory_at(module->string);
	uint32_t sum = FNV_OFFSET;
	bool alone = !loader_overlaps(module->start, module->end, (uint32_t)(uintptr_t)image_start,
				      (uint32_t)(uintptr_t)image_end);

	for (uint32_t i = 0; i < module->end - module->start; i++)
		sum = (sum ^ bytes[i]) * FNV_PRIME;
	console_print("map: module %u at %x-%x\n", index, module->start, module->end);
	console_print("loader: module %u is \"%s\"\n", index, string);
	console_print("module %u: arguments \"%s\", %u bytes, FNV-1a %x\n", index, text_of_arguments(string),
		      module->end - module->start, sum);
	for (uint32_t i = 0; i < index; i++)
		alone = alone && !loader_overlaps(module->start, module->end, module[(int)(i - index)].start,
						  module[(int)(i - index)].end);
	console_check("module on a page boundary", (module->start & PAGE_MASK) == 0);
	console_check("module overlaps nothing", alone);
}

void loader_check(const struct multiboot_info *info)
{
	uint32_t promised = MULTIBOOT_MEMORY | MULTIBOOT_COMMAND_LINE | MULTIBOOT_MODULES | MULTIBOOT_MAP;
	const char *command_line = memory_at(info->command_line);

	console_print("loader: flags %x\n", info->flags);
	if ((info->flags & MULTIBOOT_LOADER_NAME) != 0)
		console_print("loader: name \"%s\"\n", (const char *)memory_at(info->loader_name));
	console_check("memory, command line, modules and map are given", (info->flags & promised) == promised);
	if ((info->flags & MULTIBOOT_COMMAND_LINE) != 0) {
		console_print("loader: command line \"%s\"\n", command_line);
		console_print("arguments: \"%s\"\n", text_of_arguments(command_line));
	}
	if ((info->flags & MULTIBOOT_MAP) != 0)
		loader_print_memory(info);
	if ((info->flags & MULTIBOOT_MODULES) == 0)
		return;
	console_print("modules: %u\n", info->module_count);
	for (uint32_t i = 0; i < info->module_count; i++)
		loader_print_module(info, i);
}
