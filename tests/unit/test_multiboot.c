/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests both multiboot parsers: what loaders really give, and what none should. */
#include "boot_bytes.h"
#include "boot/boot_info.h"

static struct boot_info info;
static struct bytes tags;

/* A small machine memory for multiboot 1: the bytes from MEMORY_START on; nothing else can be read. */
#define MEMORY_START 0x9000u

static struct bytes memory;

static bool memory_read(void *context, uint64_t machine, void *to, uint32_t bytes)
{
	const struct bytes *from = context;

	if (machine < MEMORY_START || machine - MEMORY_START > from->used ||
	    bytes > from->used - (machine - MEMORY_START))
		return false;
	memcpy(to, from->at + (machine - MEMORY_START), bytes);
	return true;
}

static const char *parse1(uint32_t limit)
{
	return multiboot1_parse(memory.at, limit, memory_read, &memory, &info);
}

static uint32_t here(void)
{
	return MEMORY_START + memory.used;
}

static uint32_t put_string1(const char *string)
{
	uint32_t at = here();

	put(&memory, string, strlen(string) + 1);
	return at;
}

static void flag1(uint32_t bit)
{
	set_u32(memory.at, get(memory.at, 0, 4) | 1u << bit);
}

/* An information structure of 116 zero bytes at the start of memory. */
static void start1(void)
{
	memset(&memory, 0, sizeof(memory));
	memory.used = 116;
}

static void mmap1(const struct range *range, uint32_t count)
{
	flag1(6);
	set_u32(memory.at + 44, count * 24);
	set_u32(memory.at + 48, here());
	for (uint32_t i = 0; i < count; i++) {
		put_u32(&memory, 20);
		put_u64(&memory, range[i].start);
		put_u64(&memory, range[i].end - range[i].start);
		put_u32(&memory, range[i].type);
	}
}

/* What QEMU's q35 gives with 6 GiB: RAM on both sides of the hole. */
static const struct range six_gib[] = {
	{ 0, 0x9fc00, RANGE_RAM },
	{ 0x9fc00, 0xa0000, RANGE_RESERVED },
	{ 0xf0000, 0x100000, RANGE_RESERVED },
	{ 0x100000, 0x7ffdf000, RANGE_RAM },
	{ 0x7ffdf000, 0x80000000, RANGE_RESERVED },
	{ 0xb0000000, 0xc0000000, RANGE_RESERVED },
	{ 0xfffc0000, 0x100000000, RANGE_RESERVED },
	{ 0x100000000, 0x200000000, RANGE_RAM },
};

static void modules1(uint32_t said, uint32_t put_count, const char *const *string)
{
	uint32_t at[2] = { 0, 0 };

	for (uint32_t i = 0; i < put_count && i < 2; i++)
		at[i] = put_string1(string[i]);
	flag1(3);
	set_u32(memory.at + 20, said);
	set_u32(memory.at + 24, here());
	for (uint32_t i = 0; i < put_count; i++) {
		put_u32(&memory, 0x1000000 * (i + 1));
		put_u32(&memory, 0x1000000 * (i + 1) + 0x1234);
		put_u32(&memory, i < 2 ? at[i] : 0);
		put_u32(&memory, 0);
	}
}

static void string1(uint32_t bit, uint32_t offset, const char *string)
{
	flag1(bit);
	set_u32(memory.at + offset, put_string1(string));
}

static void qemu1(void)
{
	static const char *const strings[] = { "boot/vmlinuz root=/dev/sda1 quiet", "initrd.img" };

	start1();
	mmap1(six_gib, ARRAY_SIZE(six_gib));
	string1(2, 16, "out/scrim.elf console=serial reserve=8M");
	string1(9, 64, "qemu");
	modules1(2, 2, strings);
}

static void test_mb1_qemu(void **unused)
{
	(void)unused;
	qemu1();
	assert_no_line(parse1(memory.used));
	assert_string_equal(info.cmdline, "console=serial reserve=8M");
	assert_string_equal(info.kernel.cmdline, "root=/dev/sda1 quiet");
	assert_string_equal(info.initrd.cmdline, "");
	assert_int_equal(info.module_count, 2);
	assert_int_equal(info.kernel.start, 0x1000000);
	assert_int_equal(info.kernel.end, 0x1001234);
	assert_int_equal(info.initrd.start, 0x2000000);
	assert_int_equal(info.memory.count, ARRAY_SIZE(six_gib));
	assert_true(ranges_contain(&info.memory, GIB(4), GIB(8), RANGE_RAM));
	assert_int_equal(info.framebuffer.address, 0);
	assert_int_equal(info.efi.system_table, 0);
	assert_int_equal(info.rsdp_bytes, 0);
}

struct name_case {
	const char *loader, *given, *kept_of_program, *kept_of_module;
};

/* Which first words are names of files; see string_strip_name. */
static const struct name_case name_cases[] = {
	{ "qemu", "vmlinuz a=b", "a=b", "a=b" },
	{ "qemu", "vmlinuz", "", "" },
	{ "qemu", "weird=/vmlinuz  a", "a", "a" },
	{ "qemu", "", "", "" },
	{ "GRUB 2.06-13", "root=/dev/sda1 quiet", "root=/dev/sda1 quiet", "root=/dev/sda1 quiet" },
	{ "GRUB 2.06-13", "quiet", "quiet", "quiet" },
	{ "GRUB 2.06-13", "quiet init=/bin/sh", "quiet init=/bin/sh", "quiet init=/bin/sh" },
	{ "GRUB 2.06-13", "/boot/x a", "a", "a" },
	{ "GRUB 2.06-13", "(hd0,1)/x a", "a", "a" },
	{ "GRUB 2.06-13", "scrim.elf a", "a", "scrim.elf a" },
	{ "GRUB 2.06-13", "  a  b ", "a  b ", "a  b " },
	{ "a name that is longer than any that matters", "a b", "a b", "a b" },
	{ "qemuish", "a b", "a b", "a b" },
};

static void test_mb1_names(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++) {
		const char *strings[] = { name_cases[i].given, name_cases[i].given };

		start1();
		mmap1(six_gib, ARRAY_SIZE(six_gib));
		string1(2, 16, name_cases[i].given);
		string1(9, 64, name_cases[i].loader);
		modules1(2, 2, strings);
		assert_no_line(parse1(memory.used));
		assert_string_equal(info.cmdline, name_cases[i].kept_of_program);
		assert_string_equal(info.kernel.cmdline, name_cases[i].kept_of_module);
		assert_string_equal(info.initrd.cmdline, name_cases[i].kept_of_module);
	}
}

static void test_mb1_counts_only(void **unused)
{
	(void)unused;
	start1();
	flag1(0);
	set_u32(memory.at + 4, 639);
	set_u32(memory.at + 8, 63 * 1024);
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.memory.count, 2);
	assert_true(ranges_contain(&info.memory, 0, KIB(639), RANGE_RAM));
	assert_true(ranges_contain(&info.memory, MIB(1), MIB(64), RANGE_RAM));
	assert_int_equal(info.module_count, 0);

	set_u32(memory.at + 4, UINT32_MAX);
	set_u32(memory.at + 8, UINT32_MAX);
	assert_no_line(parse1(memory.used));
	assert_false(ranges_overlap(&info.memory, KIB(640), MIB(1)));
}

static void test_mb1_short_structures(void **unused)
{
	(void)unused;
	for (uint32_t limit = 0; limit < 68; limit++) {
		qemu1();
		assert_line(parse1(limit), "multiboot information");
	}
	qemu1();
	flag1(12);
	for (uint32_t limit = 68; limit < 116; limit++)
		assert_line(parse1(limit), "cut short");
	assert_no_line(parse1(116));
}

static void test_mb1_nothing_given(void **unused)
{
	(void)unused;
	start1();
	assert_line(parse1(memory.used), "no memory map");
	mmap1(six_gib, 0);
	assert_line(parse1(memory.used), "no memory map");
}

static void test_mb1_bad_map(void **unused)
{
	uint32_t at;

	(void)unused;
	qemu1();
	set_u32(memory.at + 44, 65537);
	assert_line(parse1(memory.used), "longer than 64 KiB");
	qemu1();
	set_u32(memory.at + 48, 0xfffffff0);
	assert_line(parse1(memory.used), "does not lie in memory");

	for (uint32_t size = 0; size < 20; size++) {
		qemu1();
		at = get(memory.at, 48, 4) - MEMORY_START;
		set_u32(memory.at + at, size);
		assert_line(parse1(memory.used), "wrong size");
	}
	qemu1();
	set_u32(memory.at + get(memory.at, 48, 4) - MEMORY_START, UINT32_MAX);
	assert_line(parse1(memory.used), "wrong size");
	qemu1(); /* the last one, one byte over the end; then all in one */
	at = get(memory.at, 48, 4) - MEMORY_START;
	set_u32(memory.at + at + 24 * (ARRAY_SIZE(six_gib) - 1), 21);
	assert_line(parse1(memory.used), "wrong size");
	qemu1();
	set_u32(memory.at + at, 24 * ARRAY_SIZE(six_gib) - 4);
	set_u32(memory.at + 20, 0); /* no module: only the first entry's RAM is left */
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.memory.count, 1);
}

static void test_mb1_map_overflowing_addresses(void **unused)
{
	const struct range ranges[] = {
		{ 0, MIB(64), RANGE_RAM },
		{ UINT64_MAX - 5, UINT64_MAX + 10, RANGE_RESERVED }, /* wraps: length is 15 */
	};

	(void)unused;
	start1();
	mmap1(ranges, 2);
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.memory.count, 2);
	assert_int_equal(info.memory.entry[1].end, UINT64_MAX);
}

/* More entries than a list has, but few when joined; and more that cannot be joined. */
static void test_mb1_long_map(void **unused)
{
	static struct range ranges[1000];

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++)
		ranges[i] = (struct range){ i * PAGE_SIZE, (i + 1) * PAGE_SIZE, RANGE_RAM };
	start1();
	mmap1(ranges, ARRAY_SIZE(ranges));
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.memory.count, 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++)
		ranges[i].type = 1 + i % 2;
	start1();
	mmap1(ranges, ARRAY_SIZE(ranges));
	assert_line(parse1(memory.used), "256 pieces");
}

static void test_mb1_bad_modules(void **unused)
{
	static const char *const strings[] = { "k", "i" };
	uint32_t list;

	(void)unused;
	qemu1();
	set_u32(memory.at + 24, here() - 8);
	assert_line(parse1(memory.used), "module list");

	qemu1();
	list = get(memory.at, 24, 4) - MEMORY_START;
	set_u32(memory.at + list + 4, 0xfff); /* ends below its start */
	assert_line(parse1(memory.used), "not RAM");
	set_u32(memory.at + list, 0xc0000000);
	set_u32(memory.at + list + 4, 0xc0001000);
	assert_line(parse1(memory.used), "not RAM");

	start1();
	mmap1(six_gib, ARRAY_SIZE(six_gib));
	modules1(UINT32_MAX, 2, strings);
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.module_count, UINT32_MAX);
}

static void test_mb1_long_strings(void **unused)
{
	static char text[BOOT_CMDLINE_MAX + 1];
	const char *const strings[] = { text, "i" };

	(void)unused;
	memset(text, 'a', BOOT_CMDLINE_MAX);
	for (uint32_t length = BOOT_CMDLINE_MAX - 1; length <= BOOT_CMDLINE_MAX; length++) {
		text[length] = '\0';
		start1();
		mmap1(six_gib, ARRAY_SIZE(six_gib));
		string1(2, 16, text);
		if (length < BOOT_CMDLINE_MAX)
			assert_no_line(parse1(memory.used));
		else
			assert_line(parse1(memory.used), "longer than 2047");
		start1();
		mmap1(six_gib, ARRAY_SIZE(six_gib));
		modules1(1, 1, strings);
		if (length < BOOT_CMDLINE_MAX)
			assert_no_line(parse1(memory.used));
		else
			assert_line(parse1(memory.used), "longer than 2047");
		text[length] = 'a';
	}
	/* A string that runs out of memory before it ends. */
	qemu1();
	set_u32(memory.at + 16, here());
	put_u8(&memory, 'x');
	assert_line(parse1(memory.used), "not in memory");
}

static void test_mb1_framebuffer(void **unused)
{
	static const uint8_t colors[6] = { 16, 8, 8, 7, 0, 6 };

	(void)unused;
	qemu1();
	flag1(12);
	set_u64(memory.at + 88, 0x4080000000);
	set_u32(memory.at + 96, 5120);
	set_u32(memory.at + 100, 1280);
	set_u32(memory.at + 104, 800);
	set_u8(memory.at + 108, 32);
	set_u8(memory.at + 109, 1);
	memcpy(memory.at + 110, colors, 6);
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.framebuffer.address, 0x4080000000);
	assert_int_equal(info.framebuffer.pitch, 5120);
	assert_int_equal(info.framebuffer.width, 1280);
	assert_int_equal(info.framebuffer.height, 800);
	assert_int_equal(info.framebuffer.bpp, 32);
	assert_int_equal(info.framebuffer.red_position, 16);
	assert_int_equal(info.framebuffer.green_size, 7);
	assert_int_equal(info.framebuffer.blue_size, 6);
	set_u8(memory.at + 109, 0); /* indexed: the colour bytes are a palette's address */
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.framebuffer.red_position, 0);
}

static void put_vbe(struct bytes *to, uint16_t attributes, uint8_t model)
{
	uint8_t mode[256] = { 0 };

	set_u16(mode, attributes);
	set_u16(mode + 0x10, 2048);
	set_u16(mode + 0x12, 1024);
	set_u16(mode + 0x14, 768);
	set_u8(mode + 0x19, 16);
	set_u8(mode + 0x1b, model);
	set_u8(mode + 0x1f, 5);
	set_u8(mode + 0x20, 11);
	set_u8(mode + 0x21, 6);
	set_u8(mode + 0x22, 5);
	set_u8(mode + 0x23, 5);
	set_u32(mode + 0x28, 0xfd000000);
	put(to, mode, sizeof(mode));
}

static void assert_vbe_taken(void)
{
	assert_int_equal(info.framebuffer.address, 0xfd000000);
	assert_int_equal(info.framebuffer.pitch, 2048);
	assert_int_equal(info.framebuffer.width, 1024);
	assert_int_equal(info.framebuffer.height, 768);
	assert_int_equal(info.framebuffer.bpp, 16);
	assert_int_equal(info.framebuffer.type, 1);
	assert_int_equal(info.framebuffer.red_position, 11);
	assert_int_equal(info.framebuffer.red_size, 5);
	assert_int_equal(info.framebuffer.green_position, 5);
	assert_int_equal(info.framebuffer.green_size, 6);
}

static void test_mb1_vbe(void **unused)
{
	(void)unused;
	qemu1();
	flag1(11);
	set_u32(memory.at + 76, here());
	put_vbe(&memory, 0x9b, 6);
	assert_no_line(parse1(88));
	assert_vbe_taken();
	qemu1();
	flag1(11);
	set_u32(memory.at + 76, here());
	put_vbe(&memory, 0x0f, 0); /* a text mode */
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.framebuffer.address, 0);
	set_u32(memory.at + 76, 3); /* unreadable: no framebuffer, no error */
	assert_no_line(parse1(memory.used));
	assert_int_equal(info.framebuffer.address, 0);
}

/* Multiboot 2 */

static void start2(void)
{
	memset(&tags, 0, sizeof(tags));
	tags.used = 8;
}

static void tag2(uint32_t type, const void *payload, uint32_t bytes)
{
	static const uint8_t zeros[8];

	put_u32(&tags, type);
	put_u32(&tags, bytes + 8);
	put(&tags, payload, bytes);
	put(&tags, zeros, (8 - tags.used % 8) % 8);
}

static void end2(void)
{
	tag2(0, "", 0);
	set_u32(tags.at, tags.used);
}

/* Exactly the bytes, in an allocation of their own, so that a read behind them is seen. */
static const char *parse2(uint32_t limit)
{
	uint8_t *copy = malloc(limit > 0 ? limit : 1);
	const char *line;

	memcpy(copy, tags.at, limit);
	line = multiboot2_parse(copy, limit, &info);
	free(copy);
	return line;
}

static void map2(const struct range *range, uint32_t count, uint32_t entry_bytes)
{
	static struct bytes payload;

	payload.used = 0;
	put_u32(&payload, entry_bytes);
	put_u32(&payload, 0);
	for (uint32_t i = 0; i < count; i++) {
		put_u64(&payload, range[i].start);
		put_u64(&payload, range[i].end - range[i].start);
		put_u32(&payload, range[i].type);
		for (uint32_t k = 20; k < entry_bytes; k++)
			put_u8(&payload, 0xee);
	}
	tag2(6, payload.at, payload.used);
}

static void module2(uint32_t start, uint32_t end, const char *string)
{
	static struct bytes payload;

	payload.used = 0;
	put_u32(&payload, start);
	put_u32(&payload, end);
	put(&payload, string, strlen(string) + 1);
	tag2(3, payload.at, payload.used);
}

static void efi_map2(uint32_t descriptors, uint32_t step)
{
	static struct bytes payload;

	payload.used = 0;
	put_u32(&payload, step);
	put_u32(&payload, 1);
	for (uint32_t i = 0; i < descriptors * step; i++)
		put_u8(&payload, (uint8_t)i);
	tag2(17, payload.at, payload.used);
}

static void grub2(void)
{
	const uint64_t table = 0x7f00000018;
	uint8_t framebuffer[30] = { 0 };
	uint8_t rsdp[36] = "RSD PTR old";

	start2();
	tag2(1, "map=late", 9);
	tag2(2, "GRUB 2.06-13+deb12u1", 21);
	module2(0x1000000, 0x1001000, "root=/dev/vda ro");
	module2(0x2000000, 0x2001000, "");
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	set_u64(framebuffer, 0x80000000);
	set_u32(framebuffer + 8, 4096);
	set_u32(framebuffer + 12, 1024);
	set_u32(framebuffer + 16, 768);
	set_u8(framebuffer + 20, 32);
	set_u8(framebuffer + 21, 1);
	set_u8(framebuffer + 24, 16);
	set_u8(framebuffer + 25, 8);
	tag2(8, framebuffer, sizeof(framebuffer));
	tag2(12, &table, 8);
	tag2(14, rsdp, 20);
	rsdp[8] = 'n';
	tag2(15, rsdp, 36);
	rsdp[8] = 'o';
	tag2(14, rsdp, 20);
	efi_map2(30, 48);
	end2();
}

static void test_mb2_grub(void **unused)
{
	(void)unused;
	grub2();
	assert_no_line(parse2(tags.used));
	assert_string_equal(info.cmdline, "map=late");
	assert_string_equal(info.kernel.cmdline, "root=/dev/vda ro");
	assert_int_equal(info.module_count, 2);
	assert_int_equal(info.kernel.start, 0x1000000);
	assert_int_equal(info.initrd.end, 0x2001000);
	assert_int_equal(info.memory.count, ARRAY_SIZE(six_gib));
	assert_int_equal(info.framebuffer.address, 0x80000000);
	assert_int_equal(info.framebuffer.width, 1024);
	assert_int_equal(info.framebuffer.red_position, 16);
	assert_int_equal(info.framebuffer.red_size, 8);
	assert_true(info.efi.is_64bit);
	assert_int_equal(info.efi.system_table, 0x7f00000018);
	assert_int_equal(info.efi.map_bytes, 30 * 48);
	assert_int_equal(info.efi.descriptor_bytes, 48);
	assert_int_equal(info.efi.descriptor_version, 1);
	assert_int_equal(info.efi.map[200], 200);
	assert_int_equal(info.rsdp_bytes, 36);
	assert_memory_equal(info.rsdp, "RSD PTR nld", 11);
}

static void test_mb2_each_truncation(void **unused)
{
	(void)unused;
	grub2();
	for (uint32_t limit = 0; limit < tags.used; limit++) {
		uint32_t whole = get(tags.at, 0, 4);

		assert_line(parse2(limit), "multiboot 2");
		if (limit < 8)
			continue;
		set_u32(tags.at, limit); /* the same with a total that is wrong in itself */
		assert_line(parse2(limit), "use GRUB 2");
		set_u32(tags.at, whole);
	}
}

static void test_mb2_bad_tags(void **unused)
{
	const uint32_t sizes[] = { 0, 1, 7, 0x10000, 0x7fffffff, 0xfffffff8, 0xfffffff9, 0xffffffff };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		grub2();
		set_u32(tags.at + 12, sizes[i]);
		assert_line(parse2(tags.used), "do not end");
	}
	grub2();
	set_u32(tags.at, 7);
	assert_line(parse2(tags.used), "wrong length");
	grub2();
	set_u32(tags.at, tags.used + 1);
	assert_line(parse2(tags.used), "wrong length");
}

static void test_mb2_map_entries(void **unused)
{
	const uint32_t sizes[] = { 0, 8, 23, 1 };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		start2();
		map2(six_gib, ARRAY_SIZE(six_gib), 24);
		set_u32(tags.at + 16, sizes[i]);
		end2();
		assert_line(parse2(tags.used), "wrong size");
	}
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 40);
	end2();
	assert_no_line(parse2(tags.used));
	assert_int_equal(info.memory.count, ARRAY_SIZE(six_gib));
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	set_u32(tags.at + 16, UINT32_MAX); /* larger than the tag: no entry at all */
	end2();
	assert_line(parse2(tags.used), "no memory map");
}

static void test_mb2_counts(void **unused)
{
	const uint32_t counts[] = { 640, 1024 };

	(void)unused;
	start2();
	tag2(4, counts, sizeof(counts));
	end2();
	assert_no_line(parse2(tags.used));
	assert_int_equal(ranges_pages(&info.memory, RANGE_RAM), 160 + 256);
	start2();
	tag2(4, counts, 4); /* too short to be used */
	end2();
	assert_line(parse2(tags.used), "no memory map");
}

static void test_mb2_strings(void **unused)
{
	static char text[BOOT_CMDLINE_MAX + 1];

	(void)unused;
	memset(text, 'b', sizeof(text));
	for (uint32_t length = BOOT_CMDLINE_MAX - 1; length <= BOOT_CMDLINE_MAX; length++) {
		start2();
		map2(six_gib, ARRAY_SIZE(six_gib), 24);
		tag2(1, text, length); /* no zero at its end */
		end2();
		if (length < BOOT_CMDLINE_MAX) {
			assert_no_line(parse2(tags.used));
			assert_int_equal(strlen(info.cmdline), length);
		} else {
			assert_line(parse2(tags.used), "longer than 2047");
		}
	}
	text[BOOT_CMDLINE_MAX] = '\0';
	start2();
	module2(0, 0, text);
	end2();
	assert_line(parse2(tags.used), "module's command line");
}

static void test_mb2_modules(void **unused)
{
	(void)unused;
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	for (uint32_t i = 0; i < 5; i++)
		module2(0x1000000 + i, 0x1000000 + i + 1, "x");
	end2();
	assert_no_line(parse2(tags.used));
	assert_int_equal(info.module_count, 5);
	assert_int_equal(info.initrd.start, 0x1000001);
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	tag2(3, "1234567", 7);
	end2();
	assert_line(parse2(tags.used), "cut short");
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	module2(0x9f000, 0xa0000, ""); /* partly the EBDA */
	end2();
	assert_line(parse2(tags.used), "not RAM");
}

static void test_mb2_efi(void **unused)
{
	const uint64_t table = 0x1234;
	const uint32_t table32 = 0x5678;

	(void)unused;
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	tag2(11, &table32, 4);
	efi_map2(682, 48);
	end2();
	assert_no_line(parse2(tags.used));
	assert_int_equal(info.efi.system_table, 0x5678);
	assert_false(info.efi.is_64bit);
	assert_int_equal(info.efi.map_bytes, 682 * 48);

	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	tag2(12, &table, 8);
	tag2(11, &table32, 4);
	end2();
	assert_no_line(parse2(tags.used)); /* no map: as if not UEFI */
	assert_int_equal(info.efi.system_table, 0);

	start2();
	efi_map2(683, 48);
	end2();
	assert_line(parse2(tags.used), "longer than 32 KiB");
	start2();
	efi_map2(10, 39);
	end2();
	assert_line(parse2(tags.used), "wrong size");
	start2();
	tag2(18, "", 0);
	end2();
	assert_line(parse2(tags.used), "boot services");
}

static void test_mb2_vbe(void **unused)
{
	static struct bytes payload;

	(void)unused;
	payload.used = 520;
	put_vbe(&payload, 0x9b, 6);
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	tag2(7, payload.at, payload.used);
	end2();
	assert_no_line(parse2(tags.used));
	assert_vbe_taken();
	start2();
	map2(six_gib, ARRAY_SIZE(six_gib), 24);
	tag2(7, payload.at, 530);
	end2();
	assert_no_line(parse2(tags.used));
	assert_int_equal(info.framebuffer.address, 0);
}

/* Damage at random: any outcome but a crash, an unended string or a map that is not normal. */
static void assert_sane(const char *line)
{
	if (line != NULL) {
		assert_line(line, "");
		return;
	}
	assert_non_null(memchr(info.cmdline, 0, sizeof(info.cmdline)));
	assert_non_null(memchr(info.kernel.cmdline, 0, sizeof(info.kernel.cmdline)));
	assert_true(info.kernel.start <= info.kernel.end);
	assert_true(info.efi.map_bytes <= BOOT_EFI_MAP_MAX);
	for (uint32_t i = 1; i < info.memory.count; i++)
		assert_true(info.memory.entry[i - 1].end <= info.memory.entry[i].start);
}

static void test_damage(void **unused)
{
	struct random random = random_start("multiboot damage");

	(void)unused;
	for (uint32_t round = 0; round < 3000; round++) {
		grub2();
		qemu1();
		for (uint32_t i = 0; i < 1 + round % 4; i++) {
			tags.at[random_below(&random, tags.used)] = (uint8_t)random_next(&random);
			memory.at[random_below(&random, memory.used)] = (uint8_t)random_next(&random);
		}
		assert_sane(parse2(tags.used));
		assert_sane(parse1(memory.used));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mb1_qemu),
		cmocka_unit_test(test_mb1_names),
		cmocka_unit_test(test_mb1_counts_only),
		cmocka_unit_test(test_mb1_short_structures),
		cmocka_unit_test(test_mb1_nothing_given),
		cmocka_unit_test(test_mb1_bad_map),
		cmocka_unit_test(test_mb1_map_overflowing_addresses),
		cmocka_unit_test(test_mb1_long_map),
		cmocka_unit_test(test_mb1_bad_modules),
		cmocka_unit_test(test_mb1_long_strings),
		cmocka_unit_test(test_mb1_framebuffer),
		cmocka_unit_test(test_mb1_vbe),
		cmocka_unit_test(test_mb2_grub),
		cmocka_unit_test(test_mb2_each_truncation),
		cmocka_unit_test(test_mb2_bad_tags),
		cmocka_unit_test(test_mb2_map_entries),
		cmocka_unit_test(test_mb2_counts),
		cmocka_unit_test(test_mb2_strings),
		cmocka_unit_test(test_mb2_modules),
		cmocka_unit_test(test_mb2_efi),
		cmocka_unit_test(test_mb2_vbe),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
