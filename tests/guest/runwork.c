/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed work that programs do: runs a shell command as one load, timed as `work` times its sections, and prints the same line of
 * JSON. What the command prints is folded into the checksum, so it has to be the same everywhere; a command that fails ends the run.
 */
#include "guest_util.h"
#include "work_around.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct runwork {
	const char *name, *command, *around;
	uint64_t operations; /* that the command is, as the caller counts them */
};

static uint64_t runwork_run(const char *command)
{
	uint64_t checksum = 0;
	FILE *output = popen(command, "r");
	int byte;

	work_require(output != NULL, "popen");
	while ((byte = getc(output)) != EOF)
		checksum = guest_mix(checksum ^ (uint64_t)byte);
	work_require(pclose(output) == 0, command);
	return checksum;
}

static void runwork_usage(int status)
{
	fputs("runwork --name NAME [--operations N] [--around COMMAND] --command COMMAND\n"
	      "Runs a shell command and prints the TSC ticks that it took, and a checksum of what it printed.\n",
	      status == 0 ? stdout : stderr);
	exit(status);
}

static void runwork_parse(int argc, char **argv, struct runwork *run)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0)
			runwork_usage(0);
		else if (strcmp(argv[i], "--operations") == 0)
			run->operations = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--name") == 0 && i + 1 < argc)
			run->name = argv[++i];
		else if (strcmp(argv[i], "--around") == 0 && i + 1 < argc)
			run->around = argv[++i];
		else if (strcmp(argv[i], "--command") == 0 && i + 1 < argc)
			run->command = argv[++i];
		else
			runwork_usage(2);
	}
	if (run->name == NULL || run->command == NULL)
		runwork_usage(2);
}

int main(int argc, char **argv)
{
	struct runwork run = { .operations = 1 };
	uint64_t start, ticks, checksum;
	bool fixed = work_fix_addresses(argv);

	runwork_parse(argc, argv, &run);
	work_require(guest_pin_near(0, guest_cpu_limit()) < guest_cpu_limit(), "pinning to a CPU");
	work_look(run.around);
	work_look(run.around);
	work_settle();
	start = guest_tsc();
	checksum = runwork_run(run.command);
	ticks = guest_tsc() - start;
	work_look(run.around);
	printf("{\"tool\": \"runwork\", \"fixed_addresses\": %s, \"sections\": {\"%s\": %" PRIu64
	       "}, \"operations\": {\"%s\": %" PRIu64 "}, \"total\": %" PRIu64 ", \"checksum\": \"%016" PRIx64 "\"}\n",
	       fixed ? "true" : "false", run.name, ticks, run.name, run.operations, ticks, checksum);
	return 0;
}
