/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request to Scrim, made by one CPU: what scrimctl never does is half a switch, and tests of what happens in the
 * middle of one need just that. Also tells whether a CPU is in Scrim at all: on one that is not, nobody answers.
 */
#include "guest_util.h"
#include "scrim_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

static const struct ask_op {
	const char *name;
	enum scrim_op op;
} ops[] = {
	{ "version", SCRIM_OP_VERSION },           { "info", SCRIM_OP_INFO },   { "cpu-info", SCRIM_OP_CPU_INFO },
	{ "virtualize", SCRIM_OP_VIRTUALIZE },     { "visit", SCRIM_OP_VISIT }, { "abort", SCRIM_OP_ABORT },
	{ "devirtualize", SCRIM_OP_DEVIRTUALIZE }, { "step", SCRIM_OP_STEP },   { "check", SCRIM_OP_CHECK },
	{ "translate", SCRIM_OP_TRANSLATE },       { "watch", SCRIM_OP_WATCH }, { "image-cpu", SCRIM_OP_IMAGE_CPU },
	{ "dirty", SCRIM_OP_DIRTY },
};

static void ask_usage(void)
{
	fputs("ask CPU OPERATION [ARGUMENT0 [ARGUMENT1]]\n"
	      "Prints status, result 0 and result 1 in hexadecimal. Exit status: 0 for SCRIM_OK, 1 for any other "
	      "answer, 3 if "
	      "nobody answers.\n",
	      stderr);
	exit(2);
}

static uint64_t ask_number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end == text || *end != '\0')
		ask_usage();
	return value;
}

int main(int argc, char **argv)
{
	const struct ask_op *op = NULL;
	struct scrim_reply reply;

	for (unsigned i = 0; argc >= 3 && argc <= 5 && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, argv[2]) == 0)
			op = &ops[i];
	if (op == NULL)
		ask_usage();
	if (!guest_pin((unsigned)ask_number(argv[1]))) {
		fprintf(stderr, "ask: cannot run on CPU %s\n", argv[1]);
		return 2;
	}
	if (ioperm(SCRIM_PORT, SCRIM_PORT_SPAN, 1) != 0) {
		perror("ask: ioperm");
		return 2;
	}
	reply = scrim_request(op->op, argc > 3 ? ask_number(argv[3]) : 0, argc > 4 ? ask_number(argv[4]) : 0);
	printf("%" PRIx32 " %" PRIx64 " %" PRIx64 "\n", reply.status, reply.result[0], reply.result[1]);
	return reply.status == SCRIM_OK ? 0 : reply.status == SCRIM_ABSENT ? 3 : 1;
}
