/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the block that a multiboot 1 guest is started with (Multiboot Specification 0.6.96, 3.3): the information
 * structure, and behind it what it points to.
 */
#include "boot/linux_params.h"
#include "boot/multiboot1_format.h"
#include "base/str.h"

struct mb1_block {
	struct mb1_info info;
	struct mb1_module module;
	char loader_name[16];
	char cmdline[BOOT_CMDLINE_MAX];
	char module_string[BOOT_CMDLINE_MAX];
	struct mb1_mmap_entry mmap[RANGES_MAX];
} PACKED;

#define FIELD_ADDRESS(handover, field) ((uint32_t)((handover)->params + offsetof(struct mb1_block, field)))

/* 3.3, "mmap": other types of the firmware's have no meaning there but "not available". */
static uint32_t mmap_type(uint32_t type)
{
	switch (type) {
	case RANGE_RAM:
	case RANGE_ACPI:
	case RANGE_NVS:
	case RANGE_UNUSABLE:
		return type;
	default:
		return RANGE_RESERVED;
	}
}

static void fill_memory(struct mb1_block *block, const struct guest_handover *handover)
{
	const struct range_list *memory = handover->memory;
	const struct range *lower = ranges_find(memory, 0);
	const struct range *upper = ranges_find(memory, MIB(1));

	for (uint32_t i = 0; i < memory->count; i++) {
		const struct range *range = &memory->entry[i];

		block->mmap[i] = (struct mb1_mmap_entry){
			.size = sizeof(block->mmap[i]) - sizeof(block->mmap[i].size),
			.base = range->start,
			.length = range->end - range->start,
			.type = mmap_type(range->type),
		};
	}
	block->info.mmap_length = memory->count * (uint32_t)sizeof(block->mmap[0]);
	block->info.mmap_addr = FIELD_ADDRESS(handover, mmap);
	if (lower != NULL && lower->type == RANGE_RAM)
		block->info.mem_lower = (uint32_t)((lower->end < KIB(640) ? lower->end : KIB(640)) >> 10);
	if (upper != NULL && upper->type == RANGE_RAM) {
		uint64_t kib = (upper->end - MIB(1)) >> 10;

		block->info.mem_upper = kib > UINT32_MAX ? UINT32_MAX : (uint32_t)kib;
	}
	block->info.flags |= MB1_INFO_MEMORY | MB1_INFO_MMAP;
}

static void fill_module(struct mb1_block *block, const struct guest_handover *handover)
{
	block->info.flags |= MB1_INFO_MODULES;
	if (handover->initrd_start == handover->initrd_end)
		return;
	memcpy(block->module_string, handover->boot->initrd.cmdline, sizeof(block->module_string));
	block->module.start = (uint32_t)handover->initrd_start;
	block->module.end = (uint32_t)handover->initrd_end;
	block->module.string = FIELD_ADDRESS(handover, module_string);
	block->info.mods_count = 1;
	block->info.mods_addr = FIELD_ADDRESS(handover, module);
}

static void fill_framebuffer(struct mb1_info *info, const struct boot_framebuffer *framebuffer)
{
	if (framebuffer->address == 0)
		return;
	info->flags |= MB1_INFO_FRAMEBUFFER;
	info->framebuffer_addr = framebuffer->address;
	info->framebuffer_pitch = framebuffer->pitch;
	info->framebuffer_width = framebuffer->width;
	info->framebuffer_height = framebuffer->height;
	info->framebuffer_bpp = framebuffer->bpp;
	info->framebuffer_type = framebuffer->type;
	if (framebuffer->type == 1) {
		const uint8_t colors[6] = {
			framebuffer->red_position,   framebuffer->red_size,	 framebuffer->green_position,
			framebuffer->green_size,     framebuffer->blue_position, framebuffer->blue_size,
		};

		memcpy(info->color_info, colors, sizeof(colors));
	}
}

const char *multiboot1_info_fill(uint8_t *block, uint32_t bytes, const struct guest_handover *handover)
{
	static const char name[] = "Scrim";
	struct mb1_block *out = (void *)block;

	if (bytes < sizeof(*out) || handover->params > GIB(4) - bytes || handover->initrd_end > GIB(4))
		return "The kernel's multiboot information has no place below 4 GiB: boot without Scrim";
	memset(block, 0, bytes);
	memcpy(out->cmdline, handover->boot->kernel.cmdline, sizeof(out->cmdline));
	out->info.cmdline = FIELD_ADDRESS(handover, cmdline);
	memcpy(out->loader_name, name, sizeof(name));
	out->info.boot_loader_name = FIELD_ADDRESS(handover, loader_name);
	out->info.flags = MB1_INFO_CMDLINE | MB1_INFO_LOADER_NAME;
	fill_memory(out, handover);
	fill_module(out, handover);
	fill_framebuffer(&out->info, &handover->boot->framebuffer);
	return NULL;
}
