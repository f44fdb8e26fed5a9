/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the block that a Linux guest is started with (Linux Documentation/x86/boot.rst, zero-page.rst):
 *
 *   0          4096        +2048         +EFI map, split    +E820 entries above 128
 *   boot_params command line EFI descriptors setup_data
 *
 * Each part is put behind the one before it by `block_take`, which refuses what does not fit.
 */
#include "boot/linux_params.h"
#include "boot/efi_map.h"
#include "boot/linux_format.h"
#include "boot/linux_screen.h"
#include "base/str.h"

/* At most two cuts for each of: own block, start-up page, kernel, initrd, this block. */
#define EFI_CUTS_MAX 10u
#define PART_ALIGNMENT 16u

struct filling {
	const struct guest_handover *handover;
	uint8_t *block;
	uint32_t bytes, used;
	struct linux_boot_params *params;
};

/* A further part of the block, or NULL when there is no room; `machine` gets its address. */
static void *block_take(struct filling *fill, uint32_t bytes, uint64_t *machine)
{
	uint32_t start = (uint32_t)align_up(fill->used, PART_ALIGNMENT);

	if (start > fill->bytes || bytes > fill->bytes - start)
		return NULL;
	fill->used = start + bytes;
	*machine = fill->handover->params + start;
	return fill->block + start;
}

/*
 * boot.rst, "32-bit boot protocol": the image's own header up to where its first jump leads, and zeros else. What is
 * behind is newer than the image's protocol and not part of a header.
 */
static void fill_header(struct filling *fill)
{
	const struct guest_handover *handover = fill->handover;
	struct linux_setup_header *header = &fill->params->header;
	uint32_t end = 0x202u + handover->kernel_image[0x201];

	if (end > LINUX_HEADER_END_MAX)
		end = LINUX_HEADER_END_MAX;
	memcpy(fill->block + LINUX_HEADER_OFFSET, handover->kernel_image + LINUX_HEADER_OFFSET,
	       end - LINUX_HEADER_OFFSET);
	header->vid_mode = LINUX_VIDEO_NORMAL;
	header->type_of_loader = LINUX_LOADER_UNKNOWN;
	header->loadflags |= LINUX_LOADED_HIGH;
	header->code32_start = (uint32_t)handover->kernel_start;
	if (handover->initrd_end > handover->initrd_start) {
		header->ramdisk_image = (uint32_t)handover->initrd_start;
		header->ramdisk_size = (uint32_t)(handover->initrd_end - handover->initrd_start);
	}
	header->setup_data = 0;
}

static const char *fill_cmdline(struct filling *fill)
{
	const char *cmdline = fill->handover->boot->kernel.cmdline;
	size_t length = strlen(cmdline);
	uint64_t machine;
	char *to;

	if (length > fill->handover->image->cmdline_max)
		return "The kernel's command line is longer than this kernel takes: shorten it";
	to = block_take(fill, (uint32_t)length + 1, &machine);
	if (to == NULL)
		return "The kernel's boot parameters do not fit their block: shorten the command line";
	memcpy(to, cmdline, length + 1);
	fill->params->header.cmd_line_ptr = (uint32_t)machine;
	return NULL;
}

static struct linux_e820_entry e820_entry(const struct range *range)
{
	return (struct linux_e820_entry){ range->start, range->end - range->start, range->type };
}

/*
 * boot.rst, SETUP_E820_EXT: entries beyond the 128 of boot_params follow in a setup_data. A kernel that does not know it
 * (protocol below 2.09) goes without them: what is in no entry is no RAM.
 */
static const char *fill_e820_more(struct filling *fill)
{
	const struct range_list *memory = fill->handover->memory;
	uint32_t bytes = (memory->count - LINUX_E820_MAX) * (uint32_t)sizeof(struct linux_e820_entry);
	struct linux_setup_data *data;
	struct linux_e820_entry *entry;
	uint64_t machine;

	data = block_take(fill, (uint32_t)sizeof(*data) + bytes, &machine);
	if (data == NULL)
		return "The memory map does not fit the kernel's boot parameters: boot without Scrim";
	data->type = LINUX_SETUP_E820_EXT;
	data->bytes = bytes;
	entry = (void *)(data + 1);
	for (uint32_t i = LINUX_E820_MAX; i < memory->count; i++)
		entry[i - LINUX_E820_MAX] = e820_entry(&memory->entry[i]);
	fill->params->header.setup_data = machine;
	return NULL;
}

static const char *fill_e820(struct filling *fill)
{
	const struct range_list *memory = fill->handover->memory;
	uint32_t count = memory->count < LINUX_E820_MAX ? memory->count : LINUX_E820_MAX;

	for (uint32_t i = 0; i < count; i++)
		fill->params->e820_table[i] = e820_entry(&memory->entry[i]);
	fill->params->e820_entries = (uint8_t)count;
	if (memory->count > count && fill->handover->image->protocol >= LINUX_PROTOCOL_SETUP_DATA)
		return fill_e820_more(fill);
	return NULL;
}

/* The counts that were there before E820, for guests that look at nothing else. */
static void fill_memory_counts(struct filling *fill)
{
	const struct range *above = ranges_find(fill->handover->memory, MIB(1));
	uint64_t kib;

	if (above == NULL || above->type != RANGE_RAM)
		return;
	kib = (above->end - MIB(1)) >> 10;
	fill->params->alt_mem_k = kib > UINT32_MAX ? UINT32_MAX : (uint32_t)kib;
	fill->params->screen_info.ext_mem_k = kib > UINT16_MAX ? UINT16_MAX : (uint16_t)kib;
}

/*
 * Scrim's own is reserved; what a boot loader put into memory is loader's data, as it would be had the loader asked the
 * firmware for it: Linux's KASLR takes what is called conventional memory and boot services for free.
 */
static bool split_efi_map(struct efi_map *map, const struct filling *fill)
{
	const struct guest_handover *handover = fill->handover;
	const struct range parts[] = {
		{ handover->kernel_start, handover->kernel_start + handover->image->init_bytes, EFI_LOADER_DATA },
		{ handover->initrd_start, handover->initrd_end, EFI_LOADER_DATA },
		{ handover->params, handover->params + fill->bytes, EFI_LOADER_DATA },
		{ handover->own_start, handover->own_end, EFI_RESERVED },
		{ handover->startup_page, handover->startup_page + PAGE_SIZE, EFI_RESERVED },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i].start != 0 && !efi_map_set_type(map, parts[i].start, parts[i].end, parts[i].type))
			return false;
	}
	return true;
}

static const char *fill_efi(struct filling *fill)
{
	const struct boot_efi *efi = &fill->handover->boot->efi;
	struct linux_efi_info *info = &fill->params->efi_info;
	struct efi_map map = { .bytes = efi->map_bytes, .descriptor_bytes = efi->descriptor_bytes };
	uint64_t machine;

	if (efi->system_table == 0)
		return NULL;
	map.capacity = efi->map_bytes + EFI_CUTS_MAX * efi->descriptor_bytes;
	map.at = block_take(fill, map.capacity, &machine);
	if (map.at == NULL)
		return "The EFI memory map does not fit the kernel's boot parameters: boot without Scrim";
	memcpy(map.at, efi->map, efi->map_bytes);
	if (!split_efi_map(&map, fill))
		return "The EFI memory map has overlapping entries that cannot be split: boot without Scrim";
	*info = (struct linux_efi_info){
		.loader_signature = efi->is_64bit ? LINUX_EFI_64 : LINUX_EFI_32,
		.systab = (uint32_t)efi->system_table,
		.systab_hi = (uint32_t)(efi->system_table >> 32),
		.memdesc_size = efi->descriptor_bytes,
		.memdesc_version = efi->descriptor_version,
		.memmap = (uint32_t)machine,
		.memmap_hi = (uint32_t)(machine >> 32),
		.memmap_size = map.bytes,
	};
	return NULL;
}

const char *linux_params_fill(uint8_t *block, uint32_t bytes, const struct guest_handover *handover)
{
	struct filling fill = {
		.handover = handover,
		.block = block,
		.bytes = bytes,
		.used = sizeof(struct linux_boot_params),
		.params = (void *)block,
	};
	const char *line;

	if (bytes < sizeof(struct linux_boot_params) || handover->kernel_bytes < LINUX_HEADER_END_MAX ||
	    handover->params > GIB(4) - bytes)
		return "The kernel's boot parameters have no place below 4 GiB: boot without Scrim";
	memset(block, 0, bytes);
	fill_header(&fill);
	linux_screen_fill(&fill.params->screen_info, handover->boot);
	fill_memory_counts(&fill);
	fill.params->acpi_rsdp_addr = handover->rsdp;
	line = fill_cmdline(&fill);
	if (line == NULL)
		line = fill_efi(&fill);
	if (line == NULL)
		line = fill_e820(&fill);
	return line;
}
