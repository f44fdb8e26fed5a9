/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzes boot_options_parse: any text, and a line of any size for the error. */
#include "fuzz.h"
#include "boot/boot_options.h"

static struct boot_options options;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	size_t line_size = bytes > 0 ? 1 + data[0] : 1;
	char *line = malloc(line_size);
	char *text = calloc(bytes + 1, 1);
	const char *given;

	if (bytes > 0)
		memcpy(text, data + 1, bytes - 1);
	given = boot_options_parse(text, &options, line, line_size);
	if (given != NULL) {
		fuzz_check_line(given);
		FUZZ_CHECK(strlen(given) < line_size);
	}
	fuzz_check_ranges(&options.dma_free);
	FUZZ_CHECK((options.reserve_bytes & PAGE_MASK) == 0 || given != NULL);
	free(text);
	free(line);
	return 0;
}
