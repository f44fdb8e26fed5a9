/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes guest_image_parse, and with what it accepts the plan of places. The first byte chooses which magic numbers are
 * written into the rest, since a checksum is not found by chance.
 */
#include "fuzz.h"
#include "boot/guest_image.h"
#include "boot/placement.h"

static struct guest_image guest;
static struct boot_info info;

static void set_u32(uint8_t *image, size_t bytes, size_t offset, uint32_t value)
{
	if (offset + sizeof(value) <= bytes)
		memcpy(image + offset, &value, sizeof(value));
}

static void set_magic(uint8_t *image, size_t bytes, uint8_t choice)
{
	const size_t header = 0x80;
	uint32_t flags = choice & 4 ? 0x10003 : 3;

	if (choice & 1)
		memcpy(image, (choice & 8) ? "\177ELF\2\1" : "\177ELF\1\1", bytes < 6 ? bytes : 6);
	if (choice & 2) {
		set_u32(image, bytes, header, 0x1badb002);
		set_u32(image, bytes, header + 4, flags);
		set_u32(image, bytes, header + 8, 0u - 0x1badb002 - flags);
	}
	if (choice & 16) {
		set_u32(image, bytes, 0x1fe, 0x66ebaa55);
		set_u32(image, bytes, 0x202, 0x53726448);
	}
}

static void check_segments(size_t bytes)
{
	FUZZ_CHECK(guest.segment_count >= 1 && guest.segment_count <= GUEST_SEGMENTS_MAX);
	for (uint32_t i = 0; i < guest.segment_count; i++) {
		const struct guest_segment *segment = &guest.segment[i];

		FUZZ_CHECK(segment->file_offset <= bytes && segment->file_bytes <= bytes - segment->file_offset);
		FUZZ_CHECK(segment->file_bytes <= segment->memory_bytes);
		FUZZ_CHECK(guest.kind == GUEST_LINUX || segment->address + segment->memory_bytes <= GIB(4));
	}
	FUZZ_CHECK(guest.alignment != 0 && (guest.alignment & (guest.alignment - 1)) == 0);
	FUZZ_CHECK(guest.init_bytes < GIB(4) && guest.entry < GIB(4));
}

static void check_placement(size_t bytes)
{
	static const struct range_list memory = {
		3, { { 0, 0x9f000, RANGE_RAM }, { MIB(1), MIB(512), RANGE_RAM }, { GIB(4), GIB(6), RANGE_RAM } }
	};
	struct placement plan;
	const char *line;

	info.kernel.start = MIB(8);
	info.kernel.end = MIB(8) + bytes;
	info.initrd.start = MIB(20);
	info.initrd.end = MIB(21);
	line = placement_plan(&memory, &info, &guest, MIB(6), MIB(4), MIB(5), &plan);
	if (line != NULL) {
		fuzz_check_line(line);
		return;
	}
	FUZZ_CHECK(plan.own_end <= plan.kernel_start || plan.kernel_end <= plan.own_start);
	FUZZ_CHECK(plan.initrd_end <= plan.kernel_start || plan.kernel_end <= plan.initrd_start);
	FUZZ_CHECK(plan.params_end <= plan.kernel_start || plan.kernel_end <= plan.params_start);
	FUZZ_CHECK(plan.kernel_end <= GIB(4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *line;
	uint8_t *image;

	if (bytes < 2)
		return 0;
	bytes--;
	image = malloc(bytes);
	memcpy(image, data + 1, bytes);
	set_magic(image, bytes, data[0]);
	line = guest_image_parse(image, bytes, &guest);
	free(image);
	if (line != NULL) {
		fuzz_check_line(line);
	} else {
		check_segments(bytes);
		check_placement(bytes);
	}
	return 0;
}
