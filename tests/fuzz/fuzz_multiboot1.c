/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzes multiboot1_parse: the input is all of the memory there is, with the information structure at its start. */
#include "fuzz.h"

/* Low, so that an input's small numbers point into it. */
#define MEMORY_START 0x100u

struct input {
	const uint8_t *data;
	size_t bytes;
};

static struct boot_info info;

static bool input_read(void *context, uint64_t machine, void *to, uint32_t bytes)
{
	const struct input *input = context;

	if (machine < MEMORY_START || machine - MEMORY_START > input->bytes ||
	    bytes > input->bytes - (machine - MEMORY_START))
		return false;
	memcpy(to, input->data + (machine - MEMORY_START), bytes);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = { data, bytes };
	const char *line = multiboot1_parse(data, (uint32_t)bytes, input_read, &input, &info);

	if (line != NULL)
		fuzz_check_line(line);
	else
		fuzz_check_info(&info);
	return 0;
}
