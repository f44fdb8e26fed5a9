/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the translation of a framebuffer into Linux's screen_info (Documentation/x86/zero-page.rst, offset 0). */
#include "boot/linux_screen.h"

#define FRAMEBUFFER_INDEXED 0u
#define FRAMEBUFFER_RGB 1u
#define FRAMEBUFFER_TEXT 2u
#define TEXT_MODE 3u           /* the BIOS's 80x25 in colour */
#define TEXT_EGA_BX 3u         /* INT 10h AH=12h BL=10h: colour, 256 KiB */
#define TEXT_POINTS 16u
#define VLFB_SIZE_SHIFT 16u    /* VESA counts memory in 64 KiB, EFI in bytes */

static bool is_linear(const struct boot_framebuffer *framebuffer)
{
	if (framebuffer->address == 0 || framebuffer->bpp < 8)
		return false;
	if (framebuffer->type != FRAMEBUFFER_INDEXED && framebuffer->type != FRAMEBUFFER_RGB)
		return false;
	return framebuffer->width - 1 < UINT16_MAX && framebuffer->height - 1 < UINT16_MAX &&
	       framebuffer->pitch - 1 < UINT16_MAX;
}

static void fill_text(struct linux_screen_info *screen, const struct boot_framebuffer *framebuffer)
{
	bool known = framebuffer->type == FRAMEBUFFER_TEXT && framebuffer->address != 0 &&
		     framebuffer->width - 1 < UINT8_MAX && framebuffer->height - 1 < UINT8_MAX;

	screen->orig_video_mode = TEXT_MODE;
	screen->orig_video_cols = known ? (uint8_t)framebuffer->width : 80;
	screen->orig_video_lines = known ? (uint8_t)framebuffer->height : 25;
	screen->orig_video_ega_bx = TEXT_EGA_BX;
	screen->orig_video_is_vga = LINUX_VIDEO_VGA_TEXT;
	screen->orig_video_points = TEXT_POINTS;
	screen->orig_y = (uint8_t)(screen->orig_video_lines - 1); /* what was printed before scrolls up */
}

/* The bits of a pixel above its three colours, where those are the lower ones: padding or alpha. */
static void fill_colors(struct linux_screen_info *screen, const struct boot_framebuffer *framebuffer)
{
	uint32_t used = (uint32_t)framebuffer->red_size + framebuffer->green_size + framebuffer->blue_size;
	uint32_t red_end = (uint32_t)framebuffer->red_position + framebuffer->red_size;
	uint32_t blue_end = (uint32_t)framebuffer->blue_position + framebuffer->blue_size;

	screen->red_size = framebuffer->red_size;
	screen->red_pos = framebuffer->red_position;
	screen->green_size = framebuffer->green_size;
	screen->green_pos = framebuffer->green_position;
	screen->blue_size = framebuffer->blue_size;
	screen->blue_pos = framebuffer->blue_position;
	if (used < framebuffer->bpp && (red_end == used || blue_end == used)) {
		screen->rsvd_size = (uint8_t)(framebuffer->bpp - used);
		screen->rsvd_pos = (uint8_t)used;
	}
}

/* A mode of the BIOS's VBE is told as VESA's, any other linear one as EFI's: as GRUB's `linux` entry does it. */
static void fill_linear(struct linux_screen_info *screen, const struct boot_framebuffer *framebuffer, bool vbe)
{
	uint32_t bytes = framebuffer->pitch * framebuffer->height; /* both below 2^16 */
	uint32_t units = (bytes >> VLFB_SIZE_SHIFT) + ((bytes & ((1u << VLFB_SIZE_SHIFT) - 1)) != 0);

	screen->orig_video_is_vga = vbe ? LINUX_VIDEO_VLFB : LINUX_VIDEO_EFI;
	screen->lfb_width = (uint16_t)framebuffer->width;
	screen->lfb_height = (uint16_t)framebuffer->height;
	screen->lfb_depth = framebuffer->bpp;
	screen->lfb_linelength = (uint16_t)framebuffer->pitch;
	screen->lfb_size = vbe ? units : bytes;
	screen->lfb_base = (uint32_t)framebuffer->address;
	screen->ext_lfb_base = (uint32_t)(framebuffer->address >> 32);
	if (screen->ext_lfb_base != 0)
		screen->capabilities = LINUX_VIDEO_64BIT_BASE;
	screen->pages = 1;
	if (framebuffer->type == FRAMEBUFFER_RGB)
		fill_colors(screen, framebuffer);
}

void linux_screen_fill(struct linux_screen_info *screen, const struct boot_info *boot)
{
	bool efi = boot->efi.system_table != 0;

	if (is_linear(&boot->framebuffer))
		fill_linear(screen, &boot->framebuffer, boot->vbe && !efi);
	else if (!efi)
		fill_text(screen, &boot->framebuffer);
}
