/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the fuzz targets share: a check that stays when asserts do not, and the checks of results. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "boot/boot_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define FUZZ_CHECK(condition) \
	do {                  \
		if (!(condition)) \
			abort();      \
	} while (0)

/* An error line is one line that a console shows whole. */
static inline void fuzz_check_line(const char *line)
{
	FUZZ_CHECK(strlen(line) < 160);
	FUZZ_CHECK(strchr(line, '\n') == NULL);
}

static inline void fuzz_check_ranges(const struct range_list *list)
{
	FUZZ_CHECK(list->count <= RANGES_MAX);
	for (uint32_t i = 0; i < list->count; i++) {
		const struct range *entry = &list->entry[i];

		FUZZ_CHECK(entry->start < entry->end);
		if (i == 0)
			continue;
		FUZZ_CHECK(entry[-1].end <= entry->start);
		FUZZ_CHECK(entry[-1].end < entry->start || entry[-1].type != entry->type);
	}
}

static inline void fuzz_check_module(const struct boot_info *info, const struct boot_module *module)
{
	FUZZ_CHECK(memchr(module->cmdline, 0, sizeof(module->cmdline)) != NULL);
	FUZZ_CHECK(module->start <= module->end);
	FUZZ_CHECK(ranges_contain(&info->memory, module->start, module->end, RANGE_RAM));
}

/* What a parser that returned no line promises. */
static inline void fuzz_check_info(const struct boot_info *info)
{
	fuzz_check_ranges(&info->memory);
	fuzz_check_module(info, &info->kernel);
	fuzz_check_module(info, &info->initrd);
	FUZZ_CHECK(memchr(info->cmdline, 0, sizeof(info->cmdline)) != NULL);
	FUZZ_CHECK(ranges_pages(&info->memory, RANGE_RAM) > 0);
	FUZZ_CHECK(info->rsdp_bytes <= sizeof(info->rsdp));
	FUZZ_CHECK(info->efi.map_bytes <= BOOT_EFI_MAP_MAX);
	FUZZ_CHECK((info->efi.map_bytes == 0) == (info->efi.system_table == 0));
	FUZZ_CHECK(info->efi.map_bytes == 0 || info->efi.map_bytes % info->efi.descriptor_bytes == 0);
}
