/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests what guests are told: boot_params and the multiboot 1 structure are read back by their documented offsets, and
 * the EFI map that Linux gets is compared page by page with the firmware's.
 */
#include "boot_bytes.h"
#include "boot/efi_map.h"
#include "boot/linux_params.h"
#include "boot/placement.h"

#define PARAMS 0x5000000u
#define BLOCK_BYTES ((uint32_t)PLACEMENT_PARAMS_BYTES)

static uint8_t block[PLACEMENT_PARAMS_BYTES + 64]; /* the rest shows writes behind the end */
static uint8_t kernel[4096];
static struct boot_info boot;
static struct guest_image guest;
static struct range_list memory;
static struct guest_handover handover;

static int start(void **unused)
{
	(void)unused;
	memset(&boot, 0, sizeof(boot));
	memset(kernel, 0x5a, sizeof(kernel));
	memset(block, 0xa5, sizeof(block));
	set_u8(kernel + 0x201, 0x6a); /* the header ends at 0x26c */
	set_u32(kernel + 0x218, 0);
	set_u32(kernel + 0x21c, 0);
	set_u8(kernel + 0x211, 0x81);
	set_u16(kernel + 0x206, 0x020f);
	guest = (struct guest_image){ .protocol = 0x020f, .cmdline_max = 2047, .init_bytes = MIB(40) };
	memory.count = 0;
	assert_true(ranges_set_type(&memory, 0, 0x9fc00, RANGE_RAM));
	assert_true(ranges_set_type(&memory, 0x9e000, 0x9f000, RANGE_RESERVED));
	assert_true(ranges_set_type(&memory, 0xf0000, MIB(1), RANGE_RESERVED));
	assert_true(ranges_set_type(&memory, MIB(1), MIB(256), RANGE_RAM));
	assert_true(ranges_set_type(&memory, MIB(128), MIB(136), RANGE_RESERVED));
	assert_true(ranges_set_type(&memory, GIB(4), GIB(6), RANGE_RAM));
	strcpy(boot.kernel.cmdline, "root=/dev/vda quiet");
	handover = (struct guest_handover){
		.boot = &boot, .image = &guest, .kernel_image = kernel, .kernel_bytes = sizeof(kernel),
		.kernel_start = MIB(16), .initrd_start = MIB(100), .initrd_end = MIB(100) + 0x1234567,
		.memory = &memory, .own_start = MIB(128), .own_end = MIB(136), .startup_page = 0x9e000,
		.rsdp = 0xf5a80, .params = PARAMS,
	};
	return 0;
}

static void fill(void)
{
	assert_no_line(linux_params_fill(block, BLOCK_BYTES, &handover));
	for (size_t i = BLOCK_BYTES; i < sizeof(block); i++)
		assert_int_equal(block[i], 0xa5);
}

/* A part of the block, from a machine address that the block itself names. */
static const uint8_t *at_machine(uint64_t machine, uint64_t bytes)
{
	assert_true(machine >= PARAMS && machine + bytes <= PARAMS + BLOCK_BYTES);
	return block + (machine - PARAMS);
}

static void test_header(void **unused)
{
	(void)unused;
	fill();
	assert_int_equal(block[0x1f1], 0x5a); /* setup_sects and others are the image's */
	assert_int_equal(get(block, 0x206, 2), 0x020f);
	assert_int_equal(get(block, 0x1fa, 2), 0xffff);
	assert_int_equal(block[0x210], 0xff);
	assert_int_equal(block[0x211], 0x81);
	assert_int_equal(get(block, 0x214, 4), MIB(16));
	assert_int_equal(get(block, 0x218, 4), MIB(100));
	assert_int_equal(get(block, 0x21c, 4), 0x1234567);
	assert_int_equal(get_u64(block, 0x250), 0);
	assert_int_equal(get(block, 0x268, 4), 0x5a5a5a5a); /* the last field before the end that the jump gives */
	for (uint32_t i = 0x26c; i < 0x2d0; i++)
		assert_int_equal(block[i], 0);
	assert_int_equal(get(block, 0xc0, 4) | get(block, 0xc4, 4) | get(block, 0xc8, 4), 0);
	assert_int_equal(block[0x1ef], 0); /* sentinel */
	assert_int_equal(get_u64(block, 0x70), 0xf5a80);
}

static void test_header_end(void **unused)
{
	(void)unused;
	set_u8(kernel + 0x201, 0x40);
	fill();
	assert_int_equal(block[0x241], 0x5a);
	assert_int_equal(block[0x242], 0);
	set_u8(kernel + 0x201, 0xff); /* never over what follows the header in boot_params */
	fill();
	assert_int_equal(block[0x28f], 0x5a);
	assert_int_equal(block[0x290], 0);
}

static void test_no_initrd(void **unused)
{
	(void)unused;
	handover.initrd_start = handover.initrd_end = 0;
	fill();
	assert_int_equal(get(block, 0x218, 4), 0);
	assert_int_equal(get(block, 0x21c, 4), 0);
}

static void test_cmdline(void **unused)
{
	(void)unused;
	fill();
	assert_string_equal((const char *)at_machine(get(block, 0x228, 4), 30), "root=/dev/vda quiet");
	guest.cmdline_max = (uint32_t)strlen(boot.kernel.cmdline);
	fill();
	guest.cmdline_max--;
	assert_line(linux_params_fill(block, BLOCK_BYTES, &handover), "longer than this kernel takes");
	guest.cmdline_max = 2047;
	memset(boot.kernel.cmdline, 'x', BOOT_CMDLINE_MAX - 1);
	fill();
	assert_int_equal(strlen((const char *)at_machine(get(block, 0x228, 4), 2048)), 2047);
}

static void assert_entry(const uint8_t *entry, const struct range *range)
{
	assert_int_equal(get_u64(entry, 0), range->start);
	assert_int_equal(get_u64(entry, 8), range->end - range->start);
	assert_int_equal(get(entry, 16, 4), range->type);
}

static void test_e820(void **unused)
{
	(void)unused;
	fill();
	assert_int_equal(block[0x1e8], memory.count);
	for (uint32_t i = 0; i < memory.count; i++)
		assert_entry(block + 0x2d0 + 20 * i, &memory.entry[i]);
	assert_int_equal(get(block, 0x1e0, 4), 127 * 1024);
	assert_int_equal(get(block, 0x02, 2), 0xffff);
}

static void test_e820_long(void **unused)
{
	(void)unused;
	for (uint32_t count = 127; count <= RANGES_MAX; count += count < 130 ? 1 : 126) {
		memory.count = 0;
		for (uint32_t i = 0; i < count; i++)
			assert_true(ranges_set_type(&memory, MIB(2 * i), MIB(2 * i + 1), RANGE_RAM));
		fill();
		assert_int_equal(block[0x1e8], count < 128 ? count : 128);
		assert_entry(block + 0x2d0 + 20 * 126, &memory.entry[126]);
		if (count <= 128) {
			assert_int_equal(get_u64(block, 0x250), 0);
			continue;
		}
		const uint8_t *data = at_machine(get_u64(block, 0x250), 16);

		assert_int_equal(get_u64(data, 0), 0);
		assert_int_equal(get(data, 8, 4), 1);
		assert_int_equal(get(data, 12, 4), 20 * (count - 128));
		for (uint32_t i = 128; i < count; i++)
			assert_entry(at_machine(get_u64(block, 0x250) + 16 + 20 * (i - 128), 20), &memory.entry[i]);
		guest.protocol = 0x0208; /* does not know setup_data */
		fill();
		assert_int_equal(get_u64(block, 0x250), 0);
		guest.protocol = 0x020f;
	}
}

static void test_screen_text(void **unused)
{
	(void)unused;
	fill();
	assert_int_equal(block[0x06], 3);
	assert_int_equal(block[0x07], 80);
	assert_int_equal(block[0x0e], 25);
	assert_int_equal(block[0x0f], 1);
	assert_int_equal(get(block, 0x10, 2), 16);
	assert_int_not_equal(block[0x0a], 0x10); /* Linux takes it for CGA */
	assert_int_equal(get(block, 0x18, 4), 0);
	boot.framebuffer = (struct boot_framebuffer){ 0xb8000, 264, 132, 43, 16, 2, 0, 0, 0, 0, 0, 0 };
	fill();
	assert_int_equal(block[0x07], 132);
	assert_int_equal(block[0x0e], 43);
	assert_int_equal(block[0x0f], 1);
}

static void test_screen_linear(void **unused)
{
	(void)unused;
	boot.framebuffer = (struct boot_framebuffer){ 0xfd000000, 5120, 1280, 801, 32, 1, 16, 8, 8, 8, 0, 8 };
	fill();
	assert_int_equal(block[0x0f], 0x70); /* a loader's own driver set it up */
	boot.vbe = true;
	fill();
	assert_int_equal(block[0x0f], 0x23);
	assert_int_equal(get(block, 0x12, 2), 1280);
	assert_int_equal(get(block, 0x14, 2), 801);
	assert_int_equal(get(block, 0x16, 2), 32);
	assert_int_equal(get(block, 0x18, 4), 0xfd000000);
	assert_int_equal(get(block, 0x1c, 4), (5120 * 801 + 65535) / 65536);
	assert_int_equal(get(block, 0x24, 2), 5120);
	assert_int_equal(get(block, 0x26, 4), 0x08081008); /* red, green: size, position */
	assert_int_equal(get(block, 0x2a, 4), 0x18080008); /* blue, reserved */
	assert_int_equal(get(block, 0x36, 4), 0);

	boot.efi.system_table = 1;
	boot.efi.descriptor_bytes = 48;
	boot.framebuffer.address = 0x4080000000;
	fill();
	assert_int_equal(block[0x0f], 0x70);
	assert_int_equal(get(block, 0x18, 4), 0x80000000);
	assert_int_equal(get(block, 0x3a, 4), 0x40);
	assert_int_equal(get(block, 0x36, 4), 2);
	assert_int_equal(get(block, 0x1c, 4), 5120 * 801);
	boot.framebuffer = (struct boot_framebuffer){ 0xfd000000, 2048, 1024, 768, 16, 1, 11, 5, 5, 6, 0, 5 };
	fill();
	assert_int_equal(get(block, 0x2c, 2), 0);
	boot.framebuffer.address = 0; /* UEFI without a framebuffer: no screen at all */
	fill();
	assert_int_equal(block[0x0f], 0);
}

static void test_screen_impossible(void **unused)
{
	const struct boot_framebuffer good = { 0xfd000000, 5120, 1280, 800, 32, 1, 16, 8, 8, 8, 0, 8 };

	(void)unused;
	for (uint32_t i = 0; i < 8; i++) {
		boot.framebuffer = good;
		switch (i) {
		case 0: boot.framebuffer.width = 65536; break;
		case 1: boot.framebuffer.height = 65536; break;
		case 2: boot.framebuffer.pitch = 65536; break;
		case 3: boot.framebuffer.width = 0; break;
		case 4: boot.framebuffer.height = 0; break;
		case 5: boot.framebuffer.pitch = 0; break;
		case 6: boot.framebuffer.bpp = 0; break;
		case 7: boot.framebuffer.type = 3; break;
		}
		fill();
		assert_int_equal(block[0x0f], 1);
		assert_int_equal(block[0x07], 80);
	}
	boot.framebuffer = (struct boot_framebuffer){ 0xfd000000, 65535, 65535, 65535, 255, 1, 255, 255, 255, 255, 255, 255 };
	boot.vbe = true;
	fill();
	assert_int_equal(block[0x0f], 0x23);
}

struct descriptor {
	uint32_t type;
	uint64_t start, pages, attribute;
};

static void efi_start(const struct descriptor *descriptor, uint32_t count, uint32_t step)
{
	boot.efi.system_table = 0x1234567890;
	boot.efi.is_64bit = true;
	boot.efi.descriptor_bytes = step;
	boot.efi.descriptor_version = 1;
	boot.efi.map_bytes = count * step;
	memset(boot.efi.map, 0xee, sizeof(boot.efi.map));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = boot.efi.map + i * step;

		set_u32(at, descriptor[i].type);
		set_u64(at + 8, descriptor[i].start);
		set_u64(at + 16, 0);
		set_u64(at + 24, descriptor[i].pages);
		set_u64(at + 32, descriptor[i].attribute);
	}
}

/* Index of the descriptor that has the page, or -1; two would be a fault. */
static int find_page(const uint8_t *map, uint32_t bytes, uint32_t step, uint64_t page)
{
	int found = -1;

	for (uint32_t at = 0; at < bytes; at += step) {
		uint64_t first = get_u64(map, at + 8) >> 12;

		if (page < first || page - first >= get_u64(map, at + 24))
			continue;
		assert_int_equal(found, -1);
		found = (int)(at / step);
	}
	return found;
}

static bool within(uint64_t page, uint64_t start_byte, uint64_t end_byte)
{
	return page >= start_byte >> 12 && page < (end_byte + 4095) >> 12;
}

static uint32_t expected_type(uint64_t page, uint32_t firmware)
{
	if (within(page, handover.own_start, handover.own_end) ||
	    (handover.startup_page != 0 && page == handover.startup_page >> 12))
		return 0;
	if (within(page, PARAMS, PARAMS + BLOCK_BYTES) || within(page, MIB(16), MIB(16) + guest.init_bytes) ||
	    within(page, handover.initrd_start, handover.initrd_end))
		return 2;
	return firmware;
}

/* Every page has the firmware's attribute, and its type where nothing of Scrim's or the kernel's lies. */
static void assert_efi(uint64_t pages)
{
	const uint32_t step = boot.efi.descriptor_bytes;
	const uint32_t bytes = get(block, 0x1d4, 4);
	const uint8_t *map = at_machine(get(block, 0x1d0, 4), bytes);

	assert_int_equal(get(block, 0x1c0, 4), boot.efi.is_64bit ? 0x34364c45 : 0x32334c45);
	assert_int_equal(get(block, 0x1c4, 4), boot.efi.system_table & UINT32_MAX);
	assert_int_equal(get(block, 0x1d8, 4), boot.efi.system_table >> 32);
	assert_int_equal(get(block, 0x1c8, 4), step);
	assert_int_equal(get(block, 0x1cc, 4), 1);
	assert_int_equal(get(block, 0x1dc, 4), 0);
	assert_int_equal(bytes % step, 0);
	for (uint64_t page = 0; page < pages; page++) {
		int old = find_page(boot.efi.map, boot.efi.map_bytes, step, page);
		int new = find_page(map, bytes, step, page);

		assert_int_equal(old < 0, new < 0);
		if (old < 0)
			continue;
		const uint8_t *was = boot.efi.map + (uint32_t)old * step;
		const uint8_t *is = map + (uint32_t)new * step;

		assert_int_equal(get(is, 0, 4), expected_type(page, get(was, 0, 4)));
		assert_int_equal(get_u64(is, 32), get_u64(was, 32));
		assert_int_equal(get_u64(is, 16), 0);
		assert_memory_equal(is + 40, was + 40, step - 40);
	}
}

static const struct descriptor firmware[] = {
	{ 7, 0, 0xa0, 0xf },
	{ 7, MIB(1), 0x7f00, 0xf },
	{ 4, MIB(128), 0x400, 0x800000000000000f },
	{ 3, MIB(132), 0x800, 0xf },
	{ 6, MIB(140), 0x100, 0x800000000000000f },
	{ 7, MIB(141), 0x7000, 0xf },
};

static void test_efi(void **unused)
{
	static const uint32_t steps[] = { 40, 48, 56 };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		efi_start(firmware, ARRAY_SIZE(firmware), steps[i]);
		fill();
		assert_efi(MIB(256) >> 12);
	}
	boot.efi.is_64bit = false;
	fill();
	assert_efi(MIB(256) >> 12);
}

/* Booted natively nothing is Scrim's. */
static void test_efi_native(void **unused)
{
	(void)unused;
	efi_start(firmware, ARRAY_SIZE(firmware), 48);
	handover.own_start = handover.own_end = 0;
	handover.startup_page = 0;
	fill();
	assert_efi(MIB(256) >> 12);
}

static void test_efi_absent(void **unused)
{
	(void)unused;
	fill();
	for (uint32_t i = 0x1c0; i < 0x1e0; i++)
		assert_int_equal(block[i], 0);
}

static void test_efi_random(void **unused)
{
	struct random random = random_start("EFI map");

	(void)unused;
	for (uint32_t round = 0; round < 20; round++) {
		struct descriptor descriptor[30];
		uint64_t at = 0;

		start(NULL);
		for (uint32_t i = 0; i < ARRAY_SIZE(descriptor); i++) {
			at += random_below(&random, 3) ? 0 : random_below(&random, 500);
			descriptor[i] = (struct descriptor){ (uint32_t)random_below(&random, 15), at << 12,
							     random_below(&random, 2000), random_next(&random) };
			at += descriptor[i].pages;
		}
		efi_start(descriptor, ARRAY_SIZE(descriptor), 48);
		handover.initrd_start = MIB(60) + random_below(&random, MIB(10));
		handover.initrd_end = handover.initrd_start + random_below(&random, MIB(10));
		handover.startup_page = random_below(&random, 100) << 12;
		guest.init_bytes = MIB(1) + random_below(&random, MIB(30));
		handover.own_start = MIB(2 * (48 + random_below(&random, 3)));
		handover.own_end = handover.own_start + MIB(2 * random_below(&random, 4));
		fill();
		assert_efi(MIB(256) >> 12);
	}
}

static void test_efi_damaged(void **unused)
{
	const struct descriptor descriptor[] = {
		{ 7, 0, UINT64_MAX, 1 },	   { 7, UINT64_MAX - 4095, UINT64_MAX, 1 }, { 7, 123, 1 << 20, 1 },
		{ 7, UINT64_MAX, 0, 1 },	   { 4, MIB(128) + 5, 1 << 20, 1 },
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(descriptor); i++) {
		efi_start(&descriptor[i], 1, 48);
		fill();
	}
	efi_start(descriptor, ARRAY_SIZE(descriptor), 48); /* all over one another */
	assert_line(linux_params_fill(block, BLOCK_BYTES, &handover), "EFI memory map");
	efi_start(firmware, ARRAY_SIZE(firmware), 48);
	boot.efi.descriptor_bytes = UINT32_MAX / 16;
	assert_line(linux_params_fill(block, BLOCK_BYTES, &handover), "EFI memory map");
}

static void test_efi_virtual(void **unused)
{
	uint8_t map[48 * 3] = { 0 };
	struct efi_map work = { map, 48, sizeof(map), 48 };

	(void)unused;
	set_u32(map, 7);
	set_u64(map + 8, 0x10000);
	set_u64(map + 16, 0x900000);
	set_u64(map + 24, 16);
	assert_true(efi_map_set_type(&work, 0x14000, 0x15001, 0));
	assert_int_equal(work.bytes, 144);
	assert_int_equal(get_u64(map, 48 + 16), 0x904000);
	assert_int_equal(get_u64(map, 48 + 24), 2);
	assert_int_equal(get_u64(map, 96 + 16), 0x906000);
	assert_int_equal(get_u64(map, 96 + 24), 10);
	assert_false(efi_map_set_type(&work, 0x11000, 0x12000, 0)); /* full */
}

static void test_small_blocks(void **unused)
{
	(void)unused;
	efi_start(firmware, ARRAY_SIZE(firmware), 48);
	memory.count = 0;
	for (uint32_t i = 0; i < 200; i++)
		assert_true(ranges_set_type(&memory, MIB(2 * i), MIB(2 * i + 1), RANGE_RAM));
	for (uint32_t bytes = 0; bytes < 8192; bytes += 7) {
		memset(block, 0xa5, sizeof(block));
		const char *line = linux_params_fill(block, bytes, &handover);

		if (bytes < 6000)
			assert_line(line, bytes < 4096 ? "no place" : "do");
		for (uint32_t i = bytes; i < sizeof(block); i++)
			assert_int_equal(block[i], 0xa5);
	}
	handover.params = GIB(4) - BLOCK_BYTES + 1;
	assert_line(linux_params_fill(block, BLOCK_BYTES, &handover), "below 4 GiB");
	assert_line(multiboot1_info_fill(block, BLOCK_BYTES, &handover), "below 4 GiB");
}

static void fill_multiboot(void)
{
	assert_no_line(multiboot1_info_fill(block, BLOCK_BYTES, &handover));
	for (size_t i = BLOCK_BYTES; i < sizeof(block); i++)
		assert_int_equal(block[i], 0xa5);
}

static void test_multiboot(void **unused)
{
	const uint8_t *module, *map;

	(void)unused;
	strcpy(boot.initrd.cmdline, "module args");
	fill_multiboot();
	assert_int_equal(get(block, 0, 4), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
	assert_int_equal(get(block, 4, 4), 0x9e000 / 1024);
	assert_int_equal(get(block, 8, 4), 127 * 1024);
	assert_string_equal((const char *)at_machine(get(block, 16, 4), 30), "root=/dev/vda quiet");
	assert_string_equal((const char *)at_machine(get(block, 64, 4), 6), "Scrim");
	assert_int_equal(get(block, 20, 4), 1);
	module = at_machine(get(block, 24, 4), 16);
	assert_int_equal(get(module, 0, 4), MIB(100));
	assert_int_equal(get(module, 4, 4), MIB(100) + 0x1234567);
	assert_string_equal((const char *)at_machine(get(module, 8, 4), 12), "module args");
	assert_int_equal(get(block, 44, 4), 24 * memory.count);
	map = at_machine(get(block, 48, 4), 24 * memory.count);
	for (uint32_t i = 0; i < memory.count; i++) {
		assert_int_equal(get(map, 24 * i, 4), 20);
		assert_entry(map + 24 * i + 4, &memory.entry[i]);
	}
}

static void test_multiboot_variants(void **unused)
{
	(void)unused;
	handover.initrd_start = handover.initrd_end = 0;
	boot.framebuffer = (struct boot_framebuffer){ 0x4080000000, 5120, 1280, 800, 32, 1, 16, 8, 8, 7, 0, 6 };
	assert_true(ranges_set_type(&memory, GIB(4), GIB(5), RANGE_PMEM));
	fill_multiboot();
	assert_int_equal(get(block, 0, 4) >> 12, 1);
	assert_int_equal(get(block, 20, 4), 0);
	assert_int_equal(get_u64(block, 88), 0x4080000000);
	assert_int_equal(get(block, 96, 4), 5120);
	assert_int_equal(get(block, 100, 4), 1280);
	assert_int_equal(get(block, 104, 4), 800);
	assert_int_equal(get(block, 108, 2), 0x0120);
	assert_int_equal(get(block, 110, 4), 0x07080810);
	assert_int_equal(get(block, 114, 2), 0x0600);
	assert_int_equal(get(at_machine(get(block, 48, 4), 24 * memory.count), 24 * (memory.count - 2) + 20, 4), 2);
	memory.count = 0;
	fill_multiboot();
	assert_int_equal(get(block, 4, 4), 0);
	assert_line(multiboot1_info_fill(block, 4096, &handover), "no place");
}

/* What is filled in for a guest is what Scrim's own parser reads. */
static bool block_read(void *context, uint64_t machine, void *to, uint32_t bytes)
{
	(void)context;
	if (machine < PARAMS || machine - PARAMS > BLOCK_BYTES - bytes)
		return false;
	memcpy(to, block + (machine - PARAMS), bytes);
	return true;
}

static void test_multiboot_read_back(void **unused)
{
	static struct boot_info back;

	(void)unused;
	strcpy(boot.initrd.cmdline, "a b=c");
	boot.framebuffer = (struct boot_framebuffer){ 0x4080000000, 5120, 1280, 800, 32, 1, 16, 8, 8, 7, 0, 6 };
	fill_multiboot();
	assert_no_line(multiboot1_parse(block, BLOCK_BYTES, block_read, NULL, &back));
	assert_string_equal(back.cmdline, boot.kernel.cmdline);
	assert_string_equal(back.kernel.cmdline, "a b=c");
	assert_int_equal(back.kernel.end, handover.initrd_end);
	assert_int_equal(back.memory.count, memory.count);
	assert_memory_equal(&back.framebuffer, &boot.framebuffer, sizeof(back.framebuffer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_header, start),
		cmocka_unit_test_setup(test_header_end, start),
		cmocka_unit_test_setup(test_no_initrd, start),
		cmocka_unit_test_setup(test_cmdline, start),
		cmocka_unit_test_setup(test_e820, start),
		cmocka_unit_test_setup(test_e820_long, start),
		cmocka_unit_test_setup(test_screen_text, start),
		cmocka_unit_test_setup(test_screen_linear, start),
		cmocka_unit_test_setup(test_screen_impossible, start),
		cmocka_unit_test_setup(test_efi, start),
		cmocka_unit_test_setup(test_efi_native, start),
		cmocka_unit_test_setup(test_efi_absent, start),
		cmocka_unit_test_setup(test_efi_random, start),
		cmocka_unit_test_setup(test_efi_damaged, start),
		cmocka_unit_test_setup(test_efi_virtual, start),
		cmocka_unit_test_setup(test_small_blocks, start),
		cmocka_unit_test_setup(test_multiboot, start),
		cmocka_unit_test_setup(test_multiboot_variants, start),
		cmocka_unit_test_setup(test_multiboot_read_back, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
