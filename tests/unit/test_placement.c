/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the plan of places: machines as they are, and random maps whose plans are checked against the rules of
 * placement.h by a checker that knows nothing of how places are found.
 */
#include "boot_bytes.h"
#include "boot/placement.h"

static struct range_list map;
static struct boot_info boot;
static struct guest_image guest;
static struct placement plan;
static uint64_t image_start, image_end, own_bytes;

static const char *run(void)
{
	memset(&plan, 0xee, sizeof(plan));
	return placement_plan(&map, &boot, &guest, own_bytes, image_start, image_end, &plan);
}

static void add(uint64_t start, uint64_t end, uint32_t type)
{
	assert_true(ranges_set_type(&map, start, end, type));
}

/* As QEMU's q35 lays it out: at most 2 GiB below the hole. */
static void machine(uint64_t bytes)
{
	uint64_t low = bytes < GIB(2) ? bytes : GIB(2);

	map.count = 0;
	add(0, 0x9fc00, RANGE_RAM);
	add(0x9fc00, 0xa0000, RANGE_RESERVED);
	add(0xf0000, MIB(1), RANGE_RESERVED);
	add(MIB(1), low - 0x21000, RANGE_RAM);
	add(low - 0x21000, low, RANGE_RESERVED);
	add(0xfffc0000, GIB(4), RANGE_RESERVED);
	if (bytes > low)
		add(GIB(4), GIB(4) + bytes - low, RANGE_RAM);
	memset(&boot, 0, sizeof(boot));
	image_start = MIB(2);
	image_end = MIB(3);
	own_bytes = MIB(8);
}

static void modules(uint64_t kernel, uint64_t kernel_bytes, uint64_t initrd, uint64_t initrd_bytes)
{
	boot.kernel.start = kernel;
	boot.kernel.end = kernel + kernel_bytes;
	boot.initrd.start = initrd;
	boot.initrd.end = initrd + initrd_bytes;
}

static void linux_guest(uint64_t bytes, uint64_t init_bytes)
{
	guest = (struct guest_image){
		.kind = GUEST_LINUX,
		.segment_count = 1,
		.segment = { { 0x4000, bytes, MIB(16), bytes } },
		.relocatable = true,
		.alignment = MIB(2),
		.init_bytes = init_bytes,
		.initrd_max = 0x7fffffff,
	};
}

struct part {
	const char *name;
	uint64_t start, end;
};

static void assert_apart(const struct part *a, const struct part *b)
{
	if (a->start < b->end && b->start < a->end)
		fail_msg("%s [%" PRIx64 ", %" PRIx64 ") overlaps %s [%" PRIx64 ", %" PRIx64 ")", a->name, a->start,
			 a->end, b->name, b->start, b->end);
}

static void assert_all_apart(const struct part *part, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++)
			assert_apart(&part[i], &part[k]);
	}
}

/* Byte ranges are looked up page by page here, not through ranges_contain. */
static bool page_is_ram(uint64_t page)
{
	for (uint32_t i = 0; i < map.count; i++) {
		if (map.entry[i].start <= page && map.entry[i].end >= page + PAGE_SIZE)
			return map.entry[i].type == RANGE_RAM;
	}
	return false;
}

static void assert_ram(const struct part *part)
{
	for (uint64_t page = align_down(part->start, PAGE_SIZE); page < part->end; page += PAGE_SIZE) {
		if (!page_is_ram(page))
			fail_msg("%s [%" PRIx64 ", %" PRIx64 "): %" PRIx64 " is not RAM", part->name, part->start,
				 part->end, page);
	}
}

/* The rules of placement.h, one by one. */
static void assert_rules(void)
{
	const struct part own = { "own block", plan.own_start, plan.own_end };
	const struct part startup = { "start-up page", plan.startup_page, plan.startup_page + PAGE_SIZE };
	const struct part kernel = { "kernel", plan.kernel_start, plan.kernel_end };
	const struct part initrd = { "initrd", plan.initrd_start, plan.initrd_end };
	const struct part params = { "params", plan.params_start, plan.params_end };
	const struct part kernel_module = { "kernel's module", boot.kernel.start, boot.kernel.end };
	const struct part initrd_module = { "initrd's module", boot.initrd.start, boot.initrd.end };
	const struct part scrim = { "Scrim now", image_start, image_end };
	const struct part file = { "kernel's file", plan.kernel_file,
				   plan.kernel_file + boot.kernel.end - boot.kernel.start };
	const struct part new_places[] = { own, startup, kernel, initrd, params };
	const struct part for_own[] = { own, kernel_module, scrim };
	const struct part for_params[] = { params, kernel_module };
	const struct part for_initrd[] = { initrd, kernel_module };

	assert_all_apart(new_places, ARRAY_SIZE(new_places));
	assert_all_apart(for_own, ARRAY_SIZE(for_own));
	assert_apart(&own, &initrd_module);
	assert_all_apart(for_params, ARRAY_SIZE(for_params));
	assert_apart(&params, &initrd_module);
	assert_all_apart(for_initrd, ARRAY_SIZE(for_initrd));
	assert_apart(&startup, &kernel_module);
	assert_apart(&startup, &initrd_module);
	assert_apart(&startup, &scrim);

	for (size_t i = 0; i < ARRAY_SIZE(new_places); i++) {
		if (i != 2 || guest.kind == GUEST_LINUX)
			assert_ram(&new_places[i]);
	}
	assert_true(own.start >= MIB(1) && own.end <= GIB(4) && own.start % MIB(2) == 0 && own.end % MIB(2) == 0);
	assert_true(own.end - own.start >= own_bytes && own.end - own.start < own_bytes + MIB(2));
	assert_true(startup.start >= PAGE_SIZE && startup.end <= KIB(636) && startup.start % PAGE_SIZE == 0);
	assert_true(kernel.end <= GIB(4) && kernel.start % guest.alignment == 0);
	assert_int_equal(initrd.end - initrd.start, boot.initrd.end - boot.initrd.start);
	assert_true(initrd.start % PAGE_SIZE == 0);
	assert_true(initrd.end == initrd.start || initrd.end - 1 <= guest.initrd_max);
	assert_true(params.start % PAGE_SIZE == 0 && params.end <= GIB(4));
	assert_int_equal(params.end - params.start, PLACEMENT_PARAMS_BYTES);

	if (guest.kind == GUEST_LINUX) {
		assert_true(kernel.end - kernel.start >= guest.init_bytes);
		assert_true(kernel.start >= guest.segment[0].address);
		assert_true(guest.relocatable || kernel.start == guest.segment[0].address);
	}
	if (guest.segment_count > 1 && file.start == boot.kernel.start)
		assert_apart(&file, &kernel);
	if (file.start != boot.kernel.start) {
		for (size_t i = 0; i < ARRAY_SIZE(new_places); i++)
			assert_apart(&file, &new_places[i]);
		assert_ram(&file);
	}
}

static void test_common_machines(void **unused)
{
	static const uint64_t sizes[] = { MIB(128), MIB(256), MIB(512), GIB(1), GIB(2), GIB(6) };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		machine(sizes[i]);
		modules(MIB(4), MIB(8), MIB(12), MIB(20));
		linux_guest(MIB(8), MIB(47));
		assert_no_line(run());
		assert_rules();
		assert_int_equal(plan.kernel_start, MIB(16));
		assert_int_equal(plan.startup_page, KIB(632));
		/* Highest below 4 GiB: nothing but the reserved top and alignment above it. */
		assert_int_equal(plan.own_end, align_down((sizes[i] < GIB(2) ? sizes[i] : GIB(2)) - 0x21000, MIB(2)));
		assert_int_equal(plan.kernel_file, MIB(4));
	}
}

static void test_no_initrd(void **unused)
{
	(void)unused;
	machine(MIB(256));
	modules(MIB(4), MIB(8), 0, 0);
	linux_guest(MIB(8), MIB(47));
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.initrd_start, plan.initrd_end);
}

/* 64 MiB: a kernel that needs 40 MiB at 16 leaves little on both sides. */
static void test_small_machine(void **unused)
{
	(void)unused;
	machine(MIB(64));
	modules(MIB(4), MIB(7), MIB(11), MIB(2));
	linux_guest(MIB(7), MIB(36));
	own_bytes = MIB(6);
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.kernel_start, MIB(16));
	linux_guest(MIB(7), MIB(50));
	assert_line(run(), "more memory");
	own_bytes = MIB(64);
	assert_line(run(), "own block");
	own_bytes = GIB(4);
	assert_line(run(), "own block");
	own_bytes = UINT64_MAX;
	assert_line(run(), "own block");
}

/* The kernel's wish gives way when Scrim's block fits nowhere else. */
static void test_wish_given_up(void **unused)
{
	(void)unused;
	machine(GIB(1));
	map.count = 0;
	add(0, 0x9fc00, RANGE_RAM);
	add(MIB(1), MIB(32), RANGE_RAM);
	add(MIB(33), MIB(63), RANGE_RAM);
	modules(MIB(33), MIB(2), MIB(36), MIB(1));
	linux_guest(MIB(2), MIB(14));
	own_bytes = MIB(16);
	image_start = MIB(2);
	image_end = MIB(3);
	assert_no_line(run());
	assert_rules();
	own_bytes = MIB(26); /* only [38, 62) is left otherwise */
	image_start = MIB(1);
	image_end = MIB(2);
	assert_no_line(run());
	assert_rules();
	assert_true(plan.kernel_start > MIB(16));
}

/* memtest86+: fixed at 1 MiB, where QEMU puts Scrim or the modules. */
static void test_fixed_kernel(void **unused)
{
	(void)unused;
	machine(MIB(64));
	image_start = MIB(1);
	image_end = MIB(2);
	modules(MIB(2), KIB(141), 0, 0);
	linux_guest(KIB(139), KIB(427));
	guest.relocatable = false;
	guest.alignment = PAGE_SIZE;
	guest.segment[0].address = MIB(1);
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.kernel_start, MIB(1));
	image_start = MIB(8);
	image_end = MIB(9);
	modules(MIB(1) + 0x333, KIB(141), MIB(1) + KIB(200), MIB(1)); /* the modules lie in its place */
	assert_no_line(run());
	assert_rules();
	add(MIB(1), MIB(1) + PAGE_SIZE, RANGE_RESERVED);
	assert_line(run(), "cannot be moved");
}

static void multiboot_guest(uint64_t first, uint64_t second)
{
	guest = (struct guest_image){
		.kind = GUEST_MULTIBOOT1,
		.segment_count = 2,
		.segment = { { 0x1000, 0x2000, first, 0x2000 }, { 0x3000, 0x800, second, 0x9000 } },
		.alignment = 1,
		.initrd_max = GIB(4) - 1,
	};
}

static void test_multiboot_kernel(void **unused)
{
	(void)unused;
	machine(GIB(6));
	modules(MIB(4), KIB(16), MIB(5), MIB(3));
	multiboot_guest(MIB(1), MIB(1) + 0x10000);
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.kernel_start, MIB(1));
	assert_int_equal(plan.kernel_end, MIB(1) + 0x19000);
	assert_int_equal(plan.kernel_file, MIB(4));
	assert_true(plan.initrd_end <= GIB(4));

	modules(MIB(1) + 0x8000, KIB(16), MIB(5), MIB(3)); /* its file lies between its segments */
	assert_no_line(run());
	assert_rules();
	assert_int_not_equal(plan.kernel_file, MIB(1) + 0x8000);

	multiboot_guest(0x8000, MIB(1)); /* segments on both sides of the BIOS's hole */
	modules(MIB(4), KIB(16), MIB(5), MIB(3));
	assert_no_line(run());
	assert_int_equal(plan.kernel_start, 0x8000);
	assert_true(plan.startup_page < 0x8000);
	multiboot_guest(0x9f000, MIB(1));
	assert_line(run(), "cannot be moved");
	multiboot_guest(MIB(1), GIB(3));
	assert_line(run(), "cannot be moved");
}

/* What lies at the top of RAM now, in each order, just where the highest places would be. */
static void test_top_taken(void **unused)
{
	static const uint64_t top = MIB(250);

	(void)unused;
	for (uint32_t first = 0; first < 3; first++) {
		uint64_t slot[3];

		machine(MIB(256));
		linux_guest(MIB(2), MIB(20));
		for (uint32_t i = 0; i < 3; i++)
			slot[i] = top - MIB(2) * ((i + first) % 3) - 0x1000;
		image_start = slot[0];
		image_end = slot[0] + MIB(1);
		modules(slot[1], MIB(2), slot[2], MIB(1));
		own_bytes = MIB(2);
		assert_no_line(run());
		assert_rules();
	}
	/* And with Scrim alone up there, then one module alone. */
	machine(MIB(256));
	linux_guest(MIB(2), MIB(20));
	modules(MIB(4), MIB(2), MIB(40), MIB(1));
	image_start = MIB(252);
	image_end = MIB(254);
	own_bytes = MIB(2);
	assert_no_line(run());
	assert_rules();
	assert_true(plan.own_end <= MIB(252));
	image_start = image_end = MIB(2);
	modules(MIB(240), MIB(15), MIB(40), MIB(1));
	assert_no_line(run());
	assert_rules();
	modules(MIB(4), MIB(2), MIB(240), MIB(15));
	assert_no_line(run());
	assert_rules();
}

static void test_no_startup_page(void **unused)
{
	(void)unused;
	machine(MIB(256));
	modules(MIB(4), MIB(8), 0, 0);
	linux_guest(MIB(8), MIB(47));
	add(0x2000, 0xa0000, RANGE_RESERVED);
	assert_no_line(run());
	assert_int_equal(plan.startup_page, 0x1000);
	add(0x1000, 0x2000, RANGE_RESERVED);
	assert_line(run(), "636 KiB");
}

/* The block of parameters may lie below 1 MiB when nothing is left above. */
static void test_params_low(void **unused)
{
	(void)unused;
	machine(MIB(64));
	map.count = 0;
	add(0, 0x9fc00, RANGE_RAM);
	add(MIB(2), MIB(6), RANGE_RAM);
	modules(MIB(3), MIB(1), 0, 0);
	image_start = image_end = 0;
	linux_guest(KIB(900), MIB(2));
	guest.relocatable = false;
	guest.segment[0].address = MIB(2);
	own_bytes = MIB(2);
	assert_no_line(run());
	assert_rules();
	assert_true(plan.params_end <= KIB(636));
}

static void efi(uint32_t index, uint32_t type, uint64_t start, uint64_t end)
{
	uint8_t *at = boot.efi.map + index * 48;

	boot.efi.descriptor_bytes = 48;
	boot.efi.map_bytes = (index + 1) * 48;
	boot.efi.system_table = 1;
	set_u32(at, type);
	set_u64(at + 8, start);
	set_u64(at + 24, (end - start) >> PAGE_SHIFT);
}

static void test_boot_services(void **unused)
{
	(void)unused;
	machine(MIB(512));
	modules(MIB(64), MIB(8), MIB(80), MIB(20));
	linux_guest(MIB(8), MIB(47));
	efi(0, 7, MIB(1), MIB(400));
	efi(1, 4, MIB(400), MIB(480));
	efi(2, 3, MIB(480), MIB(512));
	efi(3, 4, 0x80000, 0xa0000);
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.own_end, MIB(400));
	assert_int_equal(plan.startup_page, 0x7f000);
	assert_int_equal(plan.kernel_start, MIB(16));
	efi(4, 4, MIB(16), MIB(20)); /* the wish too */
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.kernel_start, MIB(20));
	efi(0, 3, 0, MIB(400)); /* nowhere else: taken all the same */
	assert_no_line(run());
	assert_rules();
	assert_int_equal(plan.kernel_start, MIB(16));
	efi(0, 4, UINT64_MAX - 5, UINT64_MAX); /* damage */
	set_u64(boot.efi.map + 24, UINT64_MAX);
	assert_no_line(run());
	boot.efi.descriptor_bytes = UINT32_MAX;
	assert_no_line(run());
}

static void random_machine(struct random *random)
{
	uint64_t at = random_below(random, 4) ? 0 : 0x1000;

	map.count = 0;
	memset(&boot, 0, sizeof(boot));
	add(at, 0x9f000 - random_below(random, 3) * 0x8000, RANGE_RAM);
	at = MIB(1);
	while (at < GIB(5) && map.count < 20) {
		uint64_t bytes = (1 + random_below(random, random_below(random, 3) ? MIB(64) : GIB(1))) & ~7ull;

		add(at, at + bytes, random_below(random, 3) ? RANGE_RAM : RANGE_RESERVED);
		at += bytes;
	}
}

/* Bytes that lie in RAM now, apart from what was put before. */
static bool random_part(struct random *random, uint64_t bytes, struct part *part, size_t count)
{
	for (uint32_t attempt = 0; attempt < 60; attempt++) {
		const struct range *entry = &map.entry[random_below(random, map.count)];
		uint64_t start = MIB(1) + random_below(random, attempt % 2 ? MIB(100) : GIB(2));

		if (attempt % 3 == 0 && entry->end <= GIB(4)) /* close to where the highest places are */
			start = entry->end - bytes - random_below(random, MIB(4));

		bool good = start >= MIB(1) && start < GIB(4) && ranges_contain(&map, start, start + bytes, RANGE_RAM);

		for (size_t i = 0; i < count; i++)
			good &= start + bytes <= part[i].start || start >= part[i].end;
		if (good) {
			part[count].start = start;
			part[count].end = start + bytes;
			return true;
		}
	}
	return false;
}

static void random_guest(struct random *random)
{
	linux_guest(MIB(1), MIB(1) + random_below(random, MIB(60)));
	guest.segment[0].address = MIB(2) * (1 + random_below(random, 20));
	guest.relocatable = random_below(random, 4) != 0;
	guest.initrd_max = random_below(random, 2) ? 0x37ffffff : UINT32_MAX;
	if (random_below(random, 3) == 0)
		multiboot_guest(MIB(1) + random_below(random, MIB(8)), MIB(16) + random_below(random, MIB(64)));
}

static void random_efi(struct random *random)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < 12; i++) {
		uint64_t bytes = random_below(random, MIB(200)) & ~PAGE_MASK;

		efi(i, (uint32_t)random_below(random, 8), at, at + bytes);
		at += bytes;
	}
}

/*
 * A plan that is refused might be a fault too: whenever there is plenty of room at the top of a large stretch of RAM
 * around the kernel's wish, there must be a plan.
 */
static bool is_roomy(void)
{
	return map.entry[0].end > 0x80000 && guest.kind == GUEST_LINUX && guest.relocatable &&
	       ranges_contain(&map, guest.segment[0].address, guest.segment[0].address + MIB(700), RANGE_RAM) &&
	       guest.segment[0].address + MIB(700) < guest.initrd_max;
}

static void test_random(void **unused)
{
	struct random random = random_start("placement");
	uint32_t planned = 0, roomy = 0;

	(void)unused;
	for (uint32_t round = 0; round < 3000; round++) {
		struct part part[3];

		random_machine(&random);
		random_guest(&random);
		own_bytes = 1 + random_below(&random, MIB(32));
		if (!random_part(&random, MIB(1), part, 0) || !random_part(&random, MIB(1) + 0x4000, part, 1) ||
		    !random_part(&random, 1 + random_below(&random, MIB(40)), part, 2))
			continue;
		image_start = part[0].start;
		image_end = part[0].end;
		modules(part[1].start, part[1].end - part[1].start, part[2].start, part[2].end - part[2].start);
		if (round % 2)
			random_efi(&random);
		if (run() == NULL) {
			assert_rules();
			planned++;
		} else if (is_roomy()) {
			fail_msg("round %u: no plan though there is room", round);
		}
		roomy += is_roomy();
	}
	printf("placement: %u planned, %u with much room\n", planned, roomy);
	assert_true(planned > 300);
	assert_true(roomy > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common_machines),
		cmocka_unit_test(test_no_initrd),
		cmocka_unit_test(test_small_machine),
		cmocka_unit_test(test_wish_given_up),
		cmocka_unit_test(test_fixed_kernel),
		cmocka_unit_test(test_multiboot_kernel),
		cmocka_unit_test(test_top_taken),
		cmocka_unit_test(test_no_startup_page),
		cmocka_unit_test(test_params_low),
		cmocka_unit_test(test_boot_services),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
