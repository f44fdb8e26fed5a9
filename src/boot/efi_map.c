/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the splitting and searching of EFI memory maps. The contents are the firmware's: no number in them is trusted. */
#include "boot/efi_map.h"
#include "base/bytes.h"
#include "base/str.h"

/* UEFI 2.10, 7.2.3: EFI_MEMORY_DESCRIPTOR. Later fields would follow; they are copied with the rest of the stride. */
struct efi_descriptor {
	uint32_t type, padding;
	uint64_t physical, virtual, pages, attribute;
} PACKED;

_Static_assert(sizeof(struct efi_descriptor) == 40, "UEFI 2.10, 7.2.3");
_Static_assert(offsetof(struct efi_descriptor, pages) == 24, "UEFI 2.10, 7.2.3");

struct pages {
	uint64_t first, end;
};

/* Descriptors end here at the latest, so that no end, in pages or in bytes, overflows. */
#define PAGE_NUMBER_MAX ((1ull << 52) - 1)

static struct pages descriptor_pages(const struct efi_descriptor *descriptor)
{
	uint64_t first = descriptor->physical >> PAGE_SHIFT;
	uint64_t room = PAGE_NUMBER_MAX - first;

	return (struct pages){ first, first + (descriptor->pages < room ? descriptor->pages : room) };
}

static struct efi_descriptor *descriptor_at(const struct efi_map *map, uint32_t offset)
{
	return (void *)(map->at + offset);
}

static void descriptor_set_pages(struct efi_descriptor *descriptor, uint64_t first, uint64_t end)
{
	uint64_t moved = (first << PAGE_SHIFT) - descriptor->physical;

	if (descriptor->virtual != 0)
		descriptor->virtual += moved;
	descriptor->physical += moved;
	descriptor->pages = end - first;
}

/* Puts a copy of the descriptor at `offset` behind it. */
static bool map_duplicate(struct efi_map *map, uint32_t offset)
{
	uint8_t *at = map->at + offset;

	if (map->capacity - map->bytes < map->descriptor_bytes)
		return false;
	memmove(at + map->descriptor_bytes, at, map->bytes - offset);
	map->bytes += map->descriptor_bytes;
	return true;
}

/* Cuts the descriptor at `offset` in two where page `at` begins; `at` lies strictly inside it. */
static bool map_cut(struct efi_map *map, uint32_t offset, uint64_t at)
{
	struct pages whole = descriptor_pages(descriptor_at(map, offset));

	if (!map_duplicate(map, offset))
		return false;
	descriptor_at(map, offset)->pages = at - whole.first;
	descriptor_set_pages(descriptor_at(map, offset + map->descriptor_bytes), at, whole.end);
	return true;
}

bool efi_map_set_type(struct efi_map *map, uint64_t start, uint64_t end, uint32_t type)
{
	struct pages wanted = { start >> PAGE_SHIFT, (end >> PAGE_SHIFT) + ((end & PAGE_MASK) != 0) };

	if (start >= end)
		return true;
	for (uint32_t at = 0; map->bytes - at >= map->descriptor_bytes; at += map->descriptor_bytes) {
		struct efi_descriptor *descriptor = descriptor_at(map, at);
		struct pages has = descriptor_pages(descriptor);

		if (descriptor->type == type || has.first >= wanted.end || has.end <= wanted.first)
			continue;
		if (has.first < wanted.first) {
			if (!map_cut(map, at, wanted.first))
				return false;
			continue; /* the second half is the next descriptor */
		}
		if (has.end > wanted.end && !map_cut(map, at, wanted.end))
			return false;
		descriptor_at(map, at)->type = type;
	}
	return true;
}

bool efi_map_find_boot_services(const struct boot_efi *efi, uint64_t start, uint64_t end, uint64_t *found_start,
				uint64_t *found_end)
{
	uint64_t first = start >> PAGE_SHIFT;
	uint64_t last = (end - 1) >> PAGE_SHIFT;

	for (uint32_t at = 0; start < end && efi->map_bytes - at >= sizeof(struct efi_descriptor);) {
		const struct efi_descriptor *descriptor = (const void *)(efi->map + at);
		struct pages has = descriptor_pages(descriptor);

		if ((descriptor->type == EFI_BOOT_SERVICES_CODE || descriptor->type == EFI_BOOT_SERVICES_DATA) &&
		    has.first <= last && has.end > first) {
			*found_start = has.first << PAGE_SHIFT;
			*found_end = has.end << PAGE_SHIFT;
			return true;
		}
		if (efi->descriptor_bytes > efi->map_bytes - at)
			break;
		at += efi->descriptor_bytes;
	}
	return false;
}
