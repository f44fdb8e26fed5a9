/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the reading of a multiboot 1 information structure (Multiboot Specification 0.6.96, 3.3). The structure points
 * all over memory, so every byte behind a pointer comes through the caller's `read`, and nothing is read twice that
 * must not change in between.
 */
#include "boot/boot_info_build.h"
#include "base/str.h"

/* A map of 256 pieces takes 6 KiB; more than this is damage, and would only cost time. */
#define MMAP_BYTES_MAX KIB(64)

struct reader {
	boot_read_fn read;
	void *context;
};

/* The specification gives strings no length: they end with a zero or with `size`. */
static bool read_string(const struct reader *from, uint32_t address, char *to, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++) {
		if (!from->read(from->context, (uint64_t)address + i, &to[i], 1))
			return false;
		if (to[i] == '\0')
			return true;
	}
	return false;
}

static const char *read_memory(const struct reader *from, const struct mb1_info *info, struct boot_info *out)
{
	struct mb1_mmap_entry entry;
	uint64_t at = info->mmap_addr;
	uint64_t end = at + info->mmap_length;

	if (!(info->flags & MB1_INFO_MMAP)) {
		if ((info->flags & MB1_INFO_MEMORY) &&
		    !boot_info_add_memory_counts(out, info->mem_lower, info->mem_upper))
			return "The boot loader's memory counts do not fit: use GRUB 2 or QEMU";
		return NULL;
	}
	if (info->mmap_length > MMAP_BYTES_MAX)
		return "The boot loader's memory map is longer than 64 KiB: it is damaged; use GRUB 2 or QEMU";
	while (end - at >= sizeof(entry)) {
		if (!from->read(from->context, at, &entry, sizeof(entry)))
			return "The boot loader's memory map does not lie in memory: use GRUB 2 or QEMU";
		if (entry.size < MB1_MMAP_ENTRY_MIN || entry.size > end - at - sizeof(entry.size))
			return "The boot loader's memory map has an entry of a wrong size: use GRUB 2 or QEMU";
		if (!boot_info_add_memory(out, entry.base, entry.length, entry.type))
			return "The boot loader's memory map has more than 256 pieces: boot without Scrim";
		at += entry.size + sizeof(entry.size);
	}
	return NULL;
}

static const char *read_modules(const struct reader *from, const struct mb1_info *info, struct boot_info *out)
{
	struct boot_module *slot[] = { &out->kernel, &out->initrd };
	struct mb1_module module;

	if (!(info->flags & MB1_INFO_MODULES))
		return NULL;
	out->module_count = info->mods_count;
	for (uint32_t i = 0; i < ARRAY_SIZE(slot) && i < info->mods_count; i++) {
		if (!from->read(from->context, (uint64_t)info->mods_addr + i * sizeof(module), &module, sizeof(module)))
			return "The boot loader's module list does not lie in memory: use GRUB 2 or QEMU";
		slot[i]->start = module.start;
		slot[i]->end = module.end;
		if (module.string != 0 && !read_string(from, module.string, slot[i]->cmdline, BOOT_CMDLINE_MAX))
			return "A module's command line is longer than 2047 bytes or not in memory: shorten it";
	}
	return NULL;
}

static void read_framebuffer(const struct reader *from, const struct mb1_info *info, struct boot_info *out)
{
	struct vbe_mode_info mode;

	if (info->flags & MB1_INFO_FRAMEBUFFER) {
		out->framebuffer = (struct boot_framebuffer){
			.address = info->framebuffer_addr,
			.pitch = info->framebuffer_pitch,
			.width = info->framebuffer_width,
			.height = info->framebuffer_height,
			.bpp = info->framebuffer_bpp,
			.type = info->framebuffer_type,
		};
		if (info->framebuffer_type == 1)
			boot_info_set_colors(&out->framebuffer, info->color_info);
	}
	if ((info->flags & MB1_INFO_VBE) && from->read(from->context, info->vbe_mode_info, &mode, sizeof(mode))) {
		boot_info_set_vbe(out, &mode);
	}
}

/* How much of the structure the flags promise; older loaders end it before the VBE and framebuffer fields. */
static uint32_t info_bytes(uint32_t flags)
{
	if (flags & MB1_INFO_FRAMEBUFFER)
		return sizeof(struct mb1_info);
	if (flags & MB1_INFO_VBE)
		return offsetof(struct mb1_info, framebuffer_addr);
	return offsetof(struct mb1_info, apm_table);
}

static const char *read_strings(const struct reader *from, const struct mb1_info *info, struct boot_info *out,
				char *loader_name, uint32_t name_size)
{
	if ((info->flags & MB1_INFO_CMDLINE) && info->cmdline != 0 &&
	    !read_string(from, info->cmdline, out->cmdline, BOOT_CMDLINE_MAX))
		return "Scrim's command line is longer than 2047 bytes or not in memory: shorten it";
	/* A name too long or unreadable is just not one that Scrim knows. */
	if (!(info->flags & MB1_INFO_LOADER_NAME) || info->boot_loader_name == 0 ||
	    !read_string(from, info->boot_loader_name, loader_name, name_size))
		loader_name[0] = '\0';
	return NULL;
}

const char *multiboot1_parse(const uint8_t *info, uint32_t limit, boot_read_fn read, void *context,
			     struct boot_info *out)
{
	const struct reader from = { .read = read, .context = context };
	struct mb1_info copy = { 0 };
	char loader_name[16];
	const char *line;

	memset(out, 0, sizeof(*out));
	if (limit < sizeof(copy.flags))
		return "The multiboot information does not lie in memory: use GRUB 2 or QEMU";
	memcpy(&copy.flags, info, sizeof(copy.flags));
	if (limit < info_bytes(copy.flags))
		return "The multiboot information is cut short: use GRUB 2 or QEMU";
	memcpy(&copy, info, info_bytes(copy.flags));

	line = read_strings(&from, &copy, out, loader_name, sizeof(loader_name));
	if (line == NULL)
		line = read_memory(&from, &copy, out);
	if (line == NULL)
		line = read_modules(&from, &copy, out);
	if (line != NULL)
		return line;
	read_framebuffer(&from, &copy, out);
	return boot_info_finish(out, loader_name);
}
