/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzes multiboot2_parse, and with what it accepts the EFI part of what a guest is told. */
#include "fuzz.h"
#include "boot/linux_params.h"
#include "boot/placement.h"

static struct boot_info info;
static uint8_t block[PLACEMENT_PARAMS_BYTES];

static void fill_params(void)
{
	static const uint8_t kernel[4096] = { [0x201] = 0x6a };
	static const struct guest_image guest = { .protocol = 0x020f, .cmdline_max = 2047, .init_bytes = MIB(40) };
	const struct guest_handover handover = {
		.boot = &info,	       .image = &guest,		    .kernel_image = kernel, .kernel_bytes = sizeof(kernel),
		.kernel_start = MIB(16), .initrd_start = MIB(100),  .initrd_end = MIB(101), .memory = &info.memory,
		.own_start = MIB(128), .own_end = MIB(130),	    .startup_page = 0x8000, .params = MIB(64),
	};
	const char *line = linux_params_fill(block, sizeof(block), &handover);

	if (line != NULL)
		fuzz_check_line(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *line;
	uint8_t *copy;

	if (bytes < 9)
		return 0;
	/* The total length is right unless the last byte says otherwise: all else comes after that check. */
	copy = malloc(bytes);
	memcpy(copy, data, bytes);
	if (data[bytes - 1] != 0xff)
		memcpy(copy, &(uint32_t){ (uint32_t)bytes }, 4);
	line = multiboot2_parse(copy, (uint32_t)bytes, &info);
	free(copy);
	if (line != NULL) {
		fuzz_check_line(line);
	} else {
		fuzz_check_info(&info);
		fill_params();
	}
	return 0;
}
