/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the two multiboot formats mean in common; how they are laid out is the parsers' own affair. */
#include "boot/boot_info_build.h"
#include "base/str.h"

bool boot_info_add_memory(struct boot_info *info, uint64_t base, uint64_t length, uint32_t type)
{
	uint64_t end = length > UINT64_MAX - base ? UINT64_MAX : base + length;

	if (ranges_add(&info->memory, base, end, type))
		return true;
	/* UEFI gives many pieces of one type: joined they may fit. */
	return ranges_normalize(&info->memory) && ranges_add(&info->memory, base, end, type);
}

bool boot_info_add_memory_counts(struct boot_info *info, uint32_t lower_kib, uint32_t upper_kib)
{
	uint64_t lower = KIB(lower_kib) < KIB(640) ? KIB(lower_kib) : KIB(640);

	return boot_info_add_memory(info, 0, lower, RANGE_RAM) &&
	       boot_info_add_memory(info, MIB(1), KIB(upper_kib), RANGE_RAM);
}

void boot_info_set_vbe(struct boot_info *info, const struct vbe_mode_info *mode)
{
	struct boot_framebuffer *framebuffer = &info->framebuffer;
	const uint16_t wanted = VBE_MODE_GRAPHICS | VBE_MODE_LINEAR;

	if ((mode->mode_attributes & wanted) != wanted || mode->framebuffer == 0)
		return;
	if (mode->memory_model != VBE_MODEL_PACKED && mode->memory_model != VBE_MODEL_DIRECT)
		return;
	info->vbe = true;
	if (framebuffer->address != 0)
		return; /* the loader has told of it in newer words that say more */
	*framebuffer = (struct boot_framebuffer){
		.address = mode->framebuffer,
		.pitch = mode->bytes_per_line,
		.width = mode->width,
		.height = mode->height,
		.bpp = mode->bits_per_pixel,
		.type = mode->memory_model == VBE_MODEL_DIRECT,
		.red_position = mode->red_position,
		.red_size = mode->red_size,
		.green_position = mode->green_position,
		.green_size = mode->green_size,
		.blue_position = mode->blue_position,
		.blue_size = mode->blue_size,
	};
}

void boot_info_set_colors(struct boot_framebuffer *framebuffer, const uint8_t color[6])
{
	framebuffer->red_position = color[0];
	framebuffer->red_size = color[1];
	framebuffer->green_position = color[2];
	framebuffer->green_size = color[3];
	framebuffer->blue_position = color[4];
	framebuffer->blue_size = color[5];
}

static bool word_ends_in(const char *word, size_t length, const char *suffix)
{
	size_t suffix_length = strlen(suffix);

	return length >= suffix_length && memcmp(word + length - suffix_length, suffix, suffix_length) == 0;
}

/* A path, not an option: it has a '/' and no '=' before it (root=/dev/sda1 stays). */
static bool word_is_path(const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (word[i] == '=' || word[i] == '/')
			return word[i] == '/';
	}
	return false;
}

static void string_drop_word(char *string, size_t length)
{
	while (string[length] == ' ')
		length++;
	memmove(string, string + length, strlen(string + length) + 1);
}

/*
 * Loaders differ in what they put before the arguments. QEMU always gives the file's name first, GRUB 2 never does,
 * GRUB legacy and others give the path. So the first word goes when it is a path, or when QEMU is the loader; Scrim's
 * own name, which ends in ".elf", goes from Scrim's command line in any case.
 */
static void string_strip_name(char *string, bool always, const char *suffix)
{
	size_t length = 0;

	if (string[0] == ' ')
		string_drop_word(string, 0);
	while (string[length] != '\0' && string[length] != ' ')
		length++;
	if (always || word_is_path(string, length) || (suffix != NULL && word_ends_in(string, length, suffix)))
		string_drop_word(string, length);
}

static bool module_in_ram(const struct boot_info *info, const struct boot_module *module)
{
	return module->start <= module->end && ranges_contain(&info->memory, module->start, module->end, RANGE_RAM);
}

const char *boot_info_finish(struct boot_info *info, const char *loader_name)
{
	bool qemu = strcmp(loader_name, "qemu") == 0;

	if (!ranges_normalize(&info->memory))
		return "The firmware's memory map has more than 256 pieces: Scrim cannot hold it; boot without Scrim";
	if (ranges_pages(&info->memory, RANGE_RAM) == 0)
		return "The boot loader gave no memory map: Scrim cannot know what is RAM; use GRUB 2 or QEMU";
	if (!module_in_ram(info, &info->kernel) || !module_in_ram(info, &info->initrd))
		return "A module's address is not RAM: the boot loader's module list is damaged; use GRUB 2 or QEMU";
	string_strip_name(info->cmdline, qemu, ".elf");
	string_strip_name(info->kernel.cmdline, qemu, NULL);
	string_strip_name(info->initrd.cmdline, qemu, NULL);
	return NULL;
}
