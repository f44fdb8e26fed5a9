/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the control port, and all of src/virt behind it, with the scripts of tests/unit/virt_requests. `--seeds=DIR` writes a few
 * there that go the whole way.
 */
#include "fuzz.h"

#include <stdio.h>

#include "script.h"
#include "seeds.h"
#include "sim.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void write_seed(const char *directory, uint32_t i)
{
	char name[4096];
	uint8_t bytes[SEED_BYTES_MAX];
	size_t length = seed_make(i, bytes);

	snprintf(name, sizeof(name), "%s/seed-%u", directory, i);
	FILE *file = fopen(name, "wb");
	FUZZ_CHECK(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char option[] = "--seeds=";

	if (!sim_map_memory()) {
		fprintf(stderr, "this host does not give the addresses from 64 KiB to 16 MiB\n");
		exit(1);
	}
	for (int i = 1; i < *argc; i++)
		if (!strncmp((*argv)[i], option, strlen(option)))
			for (uint32_t seed = 0; seed < SEEDS; seed++)
				write_seed((*argv)[i] + strlen(option), seed);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	script_run(data, bytes);
	return 0;
}
