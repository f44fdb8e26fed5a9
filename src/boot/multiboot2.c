/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the reading of a multiboot 2 information structure (Multiboot2 Specification 2.0, 3.6): a list of tags in one
 * piece. Each tag is checked to lie in the list before it is looked at, and each field to lie in its tag.
 */
#include "boot/boot_info_build.h"
#include "base/bytes.h"
#include "base/str.h"

#define INFO_HEADER_BYTES 8u
#define TAG_HEADER_BYTES 8u
#define TAG_ALIGNMENT 8u

enum tag_type {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_LOADER_NAME = 2,
	TAG_MODULE = 3,
	TAG_MEMORY_COUNTS = 4,
	TAG_MEMORY_MAP = 6,
	TAG_VBE = 7,
	TAG_FRAMEBUFFER = 8,
	TAG_EFI32 = 11,
	TAG_EFI64 = 12,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
	TAG_EFI_MAP = 17,
	TAG_EFI_SERVICES = 18,
};

/* Smallest sizes that hold the fields read here, each counted from the start of its tag. */
#define MODULE_STRING 16u
#define MAP_ENTRIES 16u
#define MAP_ENTRY_MIN 24u
#define VBE_MODE_INFO 528u
#define FRAMEBUFFER_COLORS 32u
#define EFI_MAP_DESCRIPTORS 16u
#define EFI_DESCRIPTOR_MIN 40u

struct tag {
	uint32_t type;
	uint32_t size; /* with the header */
	const uint8_t *at;
};

struct parse {
	struct boot_info *out;
	struct tag counts; /* used when there is no map */
	bool has_map;
	char loader_name[16];
};

/* A string that begins at `offset` and ends with the tag, with or without a zero. False when too long. */
static bool tag_string(const struct tag *tag, uint32_t offset, char *to, uint32_t size)
{
	uint32_t length = 0;

	while (offset + length < tag->size && tag->at[offset + length] != '\0')
		length++;
	if (length >= size)
		return false;
	memcpy(to, tag->at + offset, length);
	to[length] = '\0';
	return true;
}

static const char *parse_module(const struct tag *tag, struct boot_info *out)
{
	struct boot_module *slot[] = { &out->kernel, &out->initrd };
	uint32_t index = out->module_count;

	if (tag->size < MODULE_STRING)
		return "The boot loader's module tag is cut short: use GRUB 2";
	out->module_count++;
	if (index >= ARRAY_SIZE(slot))
		return NULL;
	slot[index]->start = load_u32(tag->at + 8);
	slot[index]->end = load_u32(tag->at + 12);
	if (!tag_string(tag, MODULE_STRING, slot[index]->cmdline, BOOT_CMDLINE_MAX))
		return "A module's command line is longer than 2047 bytes: shorten it";
	return NULL;
}

static const char *parse_map(const struct tag *tag, struct boot_info *out)
{
	uint32_t step = tag->size < MAP_ENTRIES ? 0 : load_u32(tag->at + 8);

	if (step < MAP_ENTRY_MIN)
		return "The boot loader's memory map has entries of a wrong size: use GRUB 2";
	for (uint32_t at = MAP_ENTRIES; tag->size - at >= step; at += step) {
		const uint8_t *entry = tag->at + at;

		if (!boot_info_add_memory(out, load_u64(entry), load_u64(entry + 8), load_u32(entry + 16)))
			return "The boot loader's memory map has more than 256 pieces: boot without Scrim";
	}
	return NULL;
}

static void parse_framebuffer(const struct tag *tag, struct boot_framebuffer *out)
{
	if (tag->size < FRAMEBUFFER_COLORS)
		return;
	*out = (struct boot_framebuffer){
		.address = load_u64(tag->at + 8),
		.pitch = load_u32(tag->at + 16),
		.width = load_u32(tag->at + 20),
		.height = load_u32(tag->at + 24),
		.bpp = tag->at[28],
		.type = tag->at[29],
	};
	if (out->type == 1 && tag->size >= FRAMEBUFFER_COLORS + 6)
		boot_info_set_colors(out, tag->at + FRAMEBUFFER_COLORS);
}

static void parse_vbe(const struct tag *tag, struct boot_info *out)
{
	struct vbe_mode_info mode;

	if (tag->size < VBE_MODE_INFO + sizeof(mode))
		return;
	memcpy(&mode, tag->at + VBE_MODE_INFO, sizeof(mode));
	boot_info_set_vbe(out, &mode);
}

static void parse_system_table(const struct tag *tag, struct boot_efi *out)
{
	if (tag->type == TAG_EFI64 && tag->size >= 16) {
		out->system_table = load_u64(tag->at + 8);
		out->is_64bit = true;
	} else if (tag->type == TAG_EFI32 && tag->size >= 12 && !out->is_64bit) {
		out->system_table = load_u32(tag->at + 8);
	}
}

static const char *parse_efi_map(const struct tag *tag, struct boot_efi *out)
{
	uint32_t step, bytes;

	if (tag->size < EFI_MAP_DESCRIPTORS)
		return "The boot loader's EFI memory map is cut short: use GRUB 2";
	step = load_u32(tag->at + 8);
	bytes = tag->size - EFI_MAP_DESCRIPTORS;
	if (step < EFI_DESCRIPTOR_MIN)
		return "The boot loader's EFI memory map has entries of a wrong size: use GRUB 2";
	bytes -= bytes % step;
	if (bytes > BOOT_EFI_MAP_MAX)
		return "The firmware's EFI memory map is longer than 32 KiB: Scrim cannot hold it; boot without Scrim";
	out->descriptor_bytes = step;
	out->descriptor_version = load_u32(tag->at + 12);
	out->map_bytes = bytes;
	memcpy(out->map, tag->at + EFI_MAP_DESCRIPTORS, bytes);
	return NULL;
}

/* Tag 15 (ACPI 2.0 and later) is preferred to tag 14, in whatever order they come. */
static void parse_rsdp(const struct tag *tag, struct boot_info *out)
{
	uint32_t bytes = tag->size - TAG_HEADER_BYTES;

	if (bytes > sizeof(out->rsdp))
		bytes = sizeof(out->rsdp);
	if (bytes <= out->rsdp_bytes)
		return;
	memcpy(out->rsdp, tag->at + TAG_HEADER_BYTES, bytes);
	out->rsdp_bytes = bytes;
}

static const char *parse_tag(const struct tag *tag, struct parse *parse)
{
	struct boot_info *out = parse->out;

	switch (tag->type) {
	case TAG_CMDLINE:
		if (!tag_string(tag, TAG_HEADER_BYTES, out->cmdline, BOOT_CMDLINE_MAX))
			return "Scrim's command line is longer than 2047 bytes: shorten it";
		return NULL;
	case TAG_LOADER_NAME:
		if (!tag_string(tag, TAG_HEADER_BYTES, parse->loader_name, sizeof(parse->loader_name)))
			parse->loader_name[0] = '\0';
		return NULL;
	case TAG_MODULE:
		return parse_module(tag, out);
	case TAG_MEMORY_COUNTS:
		parse->counts = *tag;
		return NULL;
	case TAG_MEMORY_MAP:
		parse->has_map = true;
		return parse_map(tag, out);
	case TAG_VBE:
		parse_vbe(tag, out);
		return NULL;
	case TAG_FRAMEBUFFER:
		parse_framebuffer(tag, &out->framebuffer);
		return NULL;
	case TAG_EFI32:
	case TAG_EFI64:
		parse_system_table(tag, &out->efi);
		return NULL;
	case TAG_ACPI_OLD:
	case TAG_ACPI_NEW:
		parse_rsdp(tag, out);
		return NULL;
	case TAG_EFI_MAP:
		return parse_efi_map(tag, &out->efi);
	case TAG_EFI_SERVICES:
		return "EFI boot services still run: Scrim did not ask for that; load it with GRUB's multiboot2 command";
	default:
		return NULL;
	}
}

static const char *parse_tags(const uint8_t *info, uint32_t total, struct parse *parse)
{
	uint32_t at = INFO_HEADER_BYTES;

	while (total - at >= TAG_HEADER_BYTES) {
		struct tag tag = { .type = load_u32(info + at), .size = load_u32(info + at + 4), .at = info + at };
		const char *line;

		if (tag.size < TAG_HEADER_BYTES || tag.size > total - at)
			break;
		if (tag.type == TAG_END)
			return NULL;
		line = parse_tag(&tag, parse);
		if (line != NULL)
			return line;
		if (align_up(tag.size, TAG_ALIGNMENT) > total - at)
			break;
		at += (uint32_t)align_up(tag.size, TAG_ALIGNMENT);
	}
	return "The multiboot 2 tags do not end: the boot loader's list is damaged; use GRUB 2";
}

const char *multiboot2_parse(const uint8_t *info, uint32_t limit, struct boot_info *out)
{
	struct parse parse = { .out = out };
	const char *line;
	uint32_t total;

	memset(out, 0, sizeof(*out));
	if (limit < INFO_HEADER_BYTES)
		return "The multiboot 2 information does not lie in memory: use GRUB 2";
	total = load_u32(info);
	if (total < INFO_HEADER_BYTES || total > limit)
		return "The multiboot 2 information has a wrong length: the boot loader's list is damaged; use GRUB 2";
	line = parse_tags(info, total, &parse);
	if (line != NULL)
		return line;
	if (!parse.has_map && parse.counts.size >= 16 &&
	    !boot_info_add_memory_counts(out, load_u32(parse.counts.at + 8), load_u32(parse.counts.at + 12)))
		return "The boot loader's memory counts do not fit: use GRUB 2";
	/* Linux can use neither without the other. */
	if (out->efi.map_bytes == 0 || out->efi.system_table == 0)
		memset(&out->efi, 0, sizeof(out->efi));
	return boot_info_finish(out, parse.loader_name);
}
