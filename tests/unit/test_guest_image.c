/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests what is understood of a first module: memtest86+ as installed, bzImages, address-field and ELF multiboot
 * kernels, and each way in which a file can lie about itself.
 */
#include "boot_bytes.h"
#include "boot/guest_image.h"

#define IMAGE_BYTES 24576u

static uint8_t image[IMAGE_BYTES];
static struct guest_image guest;

/* An allocation of exactly `bytes`, so that a read behind the image is seen. */
static const char *parse(uint64_t bytes)
{
	uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
	const char *line;

	memcpy(copy, image, bytes);
	line = guest_image_parse(copy, bytes, &guest);
	free(copy);
	return line;
}

/* A Debian-like bzImage: 4 setup sectors behind the first, 16 KiB or more of payload. */
static void bzimage(uint16_t protocol)
{
	memset(image, 0, sizeof(image));
	set_u8(image + 0x1f1, 4);
	set_u32(image + 0x1f4, (IMAGE_BYTES - 5 * 512) / 16);
	set_u16(image + 0x1fe, 0xaa55);
	set_u8(image + 0x200, 0xeb);
	set_u8(image + 0x201, 0x6a);
	memcpy(image + 0x202, "HdrS", 4);
	set_u16(image + 0x206, protocol);
	set_u8(image + 0x211, 1);
	set_u32(image + 0x22c, 0x7fffffff);
	set_u32(image + 0x230, 0x200000);
	set_u8(image + 0x234, 1);
	set_u32(image + 0x238, 2047);
	set_u64(image + 0x258, 0x1000000);
	set_u32(image + 0x260, 0x2f00000);
}

static void test_linux(void **unused)
{
	(void)unused;
	bzimage(0x020f);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.kind, GUEST_LINUX);
	assert_int_equal(guest.protocol, 0x020f);
	assert_true(guest.relocatable);
	assert_int_equal(guest.alignment, MIB(2));
	assert_int_equal(guest.init_bytes, 0x2f00000);
	assert_int_equal(guest.initrd_max, 0x7fffffff);
	assert_int_equal(guest.cmdline_max, 2047);
	assert_int_equal(guest.segment_count, 1);
	assert_int_equal(guest.segment[0].file_offset, 5 * 512);
	assert_int_equal(guest.segment[0].file_bytes, IMAGE_BYTES - 5 * 512);
	assert_int_equal(guest.segment[0].address, MIB(16));
	assert_int_equal(guest.entry, 0);
}

static void test_linux_old(void **unused)
{
	(void)unused;
	bzimage(0x0209);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.init_bytes, 3 * (IMAGE_BYTES - 5 * 512)); /* init_size is not yet a field */
	assert_int_equal(guest.segment[0].address, MIB(2));		     /* 1 MiB, aligned as asked for */
	set_u8(image + 0x234, 0);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.segment[0].address, MIB(1));
	set_u16(image + 0x206, 0x0206);
	assert_no_line(parse(IMAGE_BYTES));
	set_u16(image + 0x206, 0x0205);
	assert_line(parse(IMAGE_BYTES), "older than 2.06");
}

static void test_linux_default_setup(void **unused)
{
	(void)unused;
	bzimage(0x020f);
	set_u8(image + 0x1f1, 0);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.segment[0].file_offset, 5 * 512);
}

static void test_linux_damaged(void **unused)
{
	(void)unused;
	bzimage(0x020f);
	set_u8(image + 0x211, 0);
	assert_line(parse(IMAGE_BYTES), "zImage");
	bzimage(0x020f);
	set_u8(image + 0x1f1, 255);
	assert_line(parse(IMAGE_BYTES), "setup code");
	bzimage(0x020f);
	set_u32(image + 0x230, 0x300000);
	assert_line(parse(IMAGE_BYTES), "power of two");
	set_u8(image + 0x234, 0); /* not asked of a kernel that lies where it must */
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.alignment, PAGE_SIZE);
	bzimage(0x020f);
	set_u64(image + 0x258, GIB(4));
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	set_u64(image + 0x258, UINT64_MAX);
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	bzimage(0x020f);
	set_u32(image + 0x1f4, UINT32_MAX);
	assert_line(parse(IMAGE_BYTES), "shorter than its header");
	bzimage(0x020f);
	set_u32(image + 0x260, 0); /* needs at least its own bytes */
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.init_bytes, IMAGE_BYTES - 5 * 512);
	bzimage(0x020f);
	set_u32(image + 0x230, 0);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.alignment, PAGE_SIZE);
}

/* Cut anywhere it is refused; up to 15 bytes may be missing since syssize is rounded up. */
static void test_linux_cut(void **unused)
{
	(void)unused;
	bzimage(0x020f);
	for (uint32_t bytes = 0; bytes < IMAGE_BYTES - 15; bytes += bytes < 0x280 || bytes > 20000 ? 1 : 97)
		assert_line(parse(bytes), bytes < 0x26c ? "neither" : "cut short");
	assert_no_line(parse(IMAGE_BYTES - 15));
}

/* The program itself, from where its package puts it; skipped where the package is not installed. */
static void check_memtest(const char *path)
{
	static uint8_t file[1 << 20];
	FILE *stream = fopen(path, "rb");
	size_t bytes;

	if (stream == NULL)
		skip();
	bytes = fread(file, 1, sizeof(file), stream);
	fclose(stream);
	assert_no_line(guest_image_parse(file, bytes, &guest));
	assert_int_equal(guest.kind, GUEST_LINUX);
	assert_false(guest.relocatable);
	assert_int_equal(guest.segment[0].address, MIB(1));
	assert_true(guest.protocol >= 0x020a);
	assert_true(guest.init_bytes > guest.segment[0].file_bytes);
	assert_true(guest.segment[0].file_offset + guest.segment[0].file_bytes == bytes);
	assert_int_equal(guest.initrd_max, UINT32_MAX);
	assert_int_equal(guest.cmdline_max, 255);
	assert_line(guest_image_parse(file, bytes - 100, &guest), "cut short");
}

static void test_memtest_x64(void **unused)
{
	(void)unused;
	check_memtest("/boot/memtest86+x64.bin");
}

static void test_memtest_ia32(void **unused)
{
	(void)unused;
	check_memtest("/boot/memtest86+ia32.bin");
}

/* A multiboot 1 header at `offset`. */
static void multiboot(uint32_t offset, uint32_t flags)
{
	set_u32(image + offset, 0x1badb002);
	set_u32(image + offset + 4, flags);
	set_u32(image + offset + 8, 0u - 0x1badb002 - flags);
}

static void kludge(uint32_t offset, uint32_t header, uint32_t load, uint32_t load_end, uint32_t bss_end, uint32_t entry)
{
	memset(image, 0, sizeof(image));
	multiboot(offset, 0x10003);
	set_u32(image + offset + 12, header);
	set_u32(image + offset + 16, load);
	set_u32(image + offset + 20, load_end);
	set_u32(image + offset + 24, bss_end);
	set_u32(image + offset + 28, entry);
}

static void test_addresses(void **unused)
{
	(void)unused;
	kludge(0x1040, 0x100040, 0x100000, 0x104000, 0x110000, 0x100080);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.kind, GUEST_MULTIBOOT1);
	assert_int_equal(guest.multiboot_flags, 0x10003);
	assert_int_equal(guest.entry, 0x100080);
	assert_false(guest.relocatable);
	assert_int_equal(guest.segment_count, 1);
	assert_int_equal(guest.segment[0].file_offset, 0x1000);
	assert_int_equal(guest.segment[0].file_bytes, 0x4000);
	assert_int_equal(guest.segment[0].address, 0x100000);
	assert_int_equal(guest.segment[0].memory_bytes, 0x10000);

	kludge(0x1040, 0x100040, 0x100000, 0, 0, 0x100000); /* to the end of the file, no BSS */
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.segment[0].file_bytes, IMAGE_BYTES - 0x1000);
	assert_int_equal(guest.segment[0].memory_bytes, IMAGE_BYTES - 0x1000);
}

static void test_addresses_damaged(void **unused)
{
	(void)unused;
	kludge(0x40, 0x100000, 0x100040, 0, 0, 0x100040);
	assert_line(parse(IMAGE_BYTES), "load address");
	kludge(0x40, 0x100041, 0x100000, 0, 0, 0x100000);
	assert_line(parse(IMAGE_BYTES), "load address");
	kludge(0x40, 0xffffffff, 0, 0, 0, 0);
	assert_line(parse(IMAGE_BYTES), "load address");
	kludge(0x40, 0x100040, 0x100000, 0xfffff, 0, 0x100000);
	assert_line(parse(IMAGE_BYTES), "ends before");
	kludge(0x40, 0x100040, 0x100000, 0x100000 + IMAGE_BYTES + 1, 0, 0x100000);
	assert_line(parse(IMAGE_BYTES), "cut short");
	kludge(0x40, 0x100040, 0x100000, 0, 0, 0xfffff);
	assert_line(parse(IMAGE_BYTES), "entry point");
	kludge(0x40, 0x100040, 0x100000, 0x101000, 0, 0x101000);
	assert_line(parse(IMAGE_BYTES), "entry point");
	kludge(0x40, 0xfffff040, 0xfffff000, 0, 0, 0xfffff000);
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	kludge(0x40, 0x100040, 0x100000, 0, 0, 0x100000);
	assert_line(parse(0x5f), "within its header");
}

static void test_header_search(void **unused)
{
	(void)unused;
	kludge(8192 - 12, 0x100000 + 8192 - 12, 0x100000, 0, 0, 0x100000);
	assert_no_line(parse(IMAGE_BYTES));
	kludge(8192 - 8, 0x100000 + 8192 - 8, 0x100000, 0, 0, 0x100000);
	assert_line(parse(IMAGE_BYTES), "neither");
	kludge(0x42, 0x100042, 0x100000, 0, 0, 0x100000); /* not aligned */
	assert_line(parse(IMAGE_BYTES), "neither");
	kludge(0x40, 0x100040, 0x100000, 0, 0, 0x100000);
	set_u8(image + 0x48, (uint8_t)(image[0x48] + 1)); /* checksum */
	assert_line(parse(IMAGE_BYTES), "neither");
	for (uint32_t bit = 3; bit < 16; bit++) {
		kludge(0x40, 0x100040, 0x100000, 0, 0, 0x100000);
		multiboot(0x40, 0x10003 | 1u << bit);
		assert_line(parse(IMAGE_BYTES), "requires a feature");
	}
}

struct segment {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz;
};

static void elf32(uint32_t entry, const struct segment *segment, uint32_t count)
{
	memset(image, 0, sizeof(image));
	memcpy(image, "\177ELF\1\1\1", 7);
	set_u16(image + 16, 2);
	set_u16(image + 18, 3);
	set_u32(image + 24, entry);
	set_u32(image + 28, 52);
	set_u16(image + 42, 32);
	set_u16(image + 44, (uint16_t)count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = image + 52 + 32 * i;

		set_u32(at, segment[i].type);
		set_u32(at + 4, (uint32_t)segment[i].offset);
		set_u32(at + 8, (uint32_t)segment[i].vaddr);
		set_u32(at + 12, (uint32_t)segment[i].paddr);
		set_u32(at + 16, (uint32_t)segment[i].filesz);
		set_u32(at + 20, (uint32_t)segment[i].memsz);
	}
	multiboot(0x1000, 3);
}

static void elf64(uint64_t entry, const struct segment *segment, uint32_t count)
{
	memset(image, 0, sizeof(image));
	memcpy(image, "\177ELF\2\1\1", 7);
	set_u16(image + 16, 2);
	set_u16(image + 18, 62);
	set_u64(image + 24, entry);
	set_u64(image + 32, 64);
	set_u16(image + 54, 56);
	set_u16(image + 56, (uint16_t)count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = image + 64 + 56 * i;

		set_u32(at, segment[i].type);
		set_u64(at + 8, segment[i].offset);
		set_u64(at + 16, segment[i].vaddr);
		set_u64(at + 24, segment[i].paddr);
		set_u64(at + 32, segment[i].filesz);
		set_u64(at + 40, segment[i].memsz);
	}
	multiboot(0x1000, 3);
}

/* As gnumach is linked: virtual addresses in the upper half, physical from 1 MiB. */
static const struct segment two[] = {
	{ 1, 0x1000, 0xc0100000, 0x100000, 0x2000, 0x2000 },
	{ 4, 0, 0, 0, 0, 0 },
	{ 1, 0x3000, 0xc0110000, 0x110000, 0x800, 0x9000 },
	{ 1, 0x3000, 0xc0200000, 0x200000, 0, 0 },
};

static void assert_two(void)
{
	assert_int_equal(guest.kind, GUEST_MULTIBOOT1);
	assert_int_equal(guest.segment_count, 2);
	assert_int_equal(guest.entry, 0x110010);
	assert_int_equal(guest.segment[0].file_offset, 0x1000);
	assert_int_equal(guest.segment[0].address, 0x100000);
	assert_int_equal(guest.segment[1].file_bytes, 0x800);
	assert_int_equal(guest.segment[1].memory_bytes, 0x9000);
	assert_int_equal(guest.initrd_max, GIB(4) - 1);
}

static void test_elf(void **unused)
{
	(void)unused;
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	assert_no_line(parse(IMAGE_BYTES));
	assert_two();
	elf64(0xc0110010, two, ARRAY_SIZE(two));
	assert_no_line(parse(IMAGE_BYTES));
	assert_two();
}

static void elf_both_refused(const struct segment *segment, uint32_t count, uint64_t entry, const char *part)
{
	elf32((uint32_t)entry, segment, count);
	assert_line(parse(IMAGE_BYTES), part);
	elf64(entry, segment, count);
	assert_line(parse(IMAGE_BYTES), part);
}

static void test_elf_damaged(void **unused)
{
	static const struct segment beyond = { 1, IMAGE_BYTES - 10, 0x100000, 0x100000, 11, 11 };
	static const struct segment huge_offset = { 1, UINT32_MAX, 0x100000, 0x100000, 11, 11 };
	static const struct segment shrinking = { 1, 0x1000, 0x100000, 0x100000, 0x20, 0x10 };
	static const struct segment high = { 1, 0x1000, 0x100000, 0xfffffff8, 0x10, 0x10 };
	static const struct segment higher = { 1, 0x1000, 0x100000, GIB(4), 0x10, 0x10 };
	static const struct segment wrapping = { 1, 0x1000, 0x100000, UINT64_MAX - 7, 0x10, 0x10 };
	static const struct segment endless = { 1, 0x1000, 0x100000, 0x100000, 0x10, UINT64_MAX };
	static struct segment many[9];

	(void)unused;
	elf_both_refused(&beyond, 1, 0x100000, "cut short");
	elf_both_refused(&huge_offset, 1, 0x100000, "cut short");
	elf_both_refused(&shrinking, 1, 0x100000, "larger in the file");
	elf_both_refused(&high, 1, 0x100000, "above 4 GiB");
	elf64(0x100000, &higher, 1);
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	elf64(0x100000, &wrapping, 1);
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	elf64(0x100000, &endless, 1);
	assert_line(parse(IMAGE_BYTES), "above 4 GiB");
	elf_both_refused(two, ARRAY_SIZE(two), 0x110010, "entry point");
	elf_both_refused(two, 0, 0x110010, "entry point");
	for (uint32_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct segment){ 1, 0x1000, 0x100000 * (i + 1), 0x100000 * (i + 1), 16, 16 };
	elf_both_refused(many, 9, 0x100000, "more than 8");
	elf32(0x100000, many, 8);
	assert_no_line(parse(IMAGE_BYTES));
	assert_int_equal(guest.segment_count, 8);
}

static void test_elf_headers(void **unused)
{
	(void)unused;
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	set_u16(image + 18, 40); /* ARM */
	assert_line(parse(IMAGE_BYTES), "another processor");
	elf64(0xc0110010, two, ARRAY_SIZE(two));
	set_u16(image + 18, 3);
	assert_line(parse(IMAGE_BYTES), "another processor");
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	set_u8(image + 5, 2);
	assert_line(parse(IMAGE_BYTES), "no ELF file");
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	set_u16(image + 42, 31);
	assert_line(parse(IMAGE_BYTES), "wrong size");
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	set_u32(image + 28, IMAGE_BYTES - 127);
	assert_line(parse(IMAGE_BYTES), "outside the file");
	elf64(0xc0110010, two, ARRAY_SIZE(two));
	set_u64(image + 32, UINT64_MAX);
	assert_line(parse(IMAGE_BYTES), "outside the file");
	elf64(0xc0110010, two, ARRAY_SIZE(two));
	set_u16(image + 56, UINT16_MAX);
	assert_line(parse(IMAGE_BYTES), "outside the file");
	memset(image, 0, 0x1000);
	assert_line(parse(IMAGE_BYTES), "no ELF file");
}

static void test_elf_cut(void **unused)
{
	(void)unused;
	elf32(0xc0110010, two, ARRAY_SIZE(two));
	for (uint32_t bytes = 0; bytes < 0x3800; bytes += 13) {
		assert_line(parse(bytes), bytes < 0x100c ? "neither" : "cut short");
	}
	assert_no_line(parse(0x3800));
}

/* Whatever is accepted keeps its promises. */
static void assert_promises(uint64_t bytes)
{
	assert_true(guest.segment_count >= 1 && guest.segment_count <= GUEST_SEGMENTS_MAX);
	for (uint32_t i = 0; i < guest.segment_count; i++) {
		const struct guest_segment *segment = &guest.segment[i];

		assert_true(segment->file_offset <= bytes && segment->file_bytes <= bytes - segment->file_offset);
		assert_true(segment->file_bytes <= segment->memory_bytes);
		assert_true(segment->memory_bytes <= GIB(4));
	}
	assert_true(guest.alignment != 0 && (guest.alignment & (guest.alignment - 1)) == 0);
	assert_true(guest.entry < GIB(4));
}

static void test_damage(void **unused)
{
	struct random random = random_start("guest image damage");

	(void)unused;
	for (uint32_t round = 0; round < 4000; round++) {
		uint64_t bytes = round % 3 ? IMAGE_BYTES : random_below(&random, IMAGE_BYTES);
		const char *line;

		switch (random_below(&random, 4)) {
		case 0:
			bzimage((uint16_t)(0x0204 + random_below(&random, 12)));
			break;
		case 1:
			kludge(0x40, 0x100040, 0x100000, 0x104000, 0x110000, 0x100080);
			break;
		case 2:
			elf32(0xc0110010, two, ARRAY_SIZE(two));
			break;
		default:
			elf64(0xc0110010, two, ARRAY_SIZE(two));
		}
		for (uint32_t i = 0; i < 3; i++)
			image[random_below(&random, 0x280)] = (uint8_t)random_next(&random);
		line = parse(bytes);
		if (line == NULL)
			assert_promises(bytes);
		else
			assert_line(line, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_old),
		cmocka_unit_test(test_linux_default_setup),
		cmocka_unit_test(test_linux_damaged),
		cmocka_unit_test(test_linux_cut),
		cmocka_unit_test(test_memtest_x64),
		cmocka_unit_test(test_memtest_ia32),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_damaged),
		cmocka_unit_test(test_header_search),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_damaged),
		cmocka_unit_test(test_elf_headers),
		cmocka_unit_test(test_elf_cut),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
