/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides a trace as a file in the Trace Event Format, which Perfetto and Chrome open. */
#pragma once

#include "request.h"

struct trace_file {
	FILE *out;
	uint64_t tsc_hz;
	uint64_t events[SCRIM_TRACE_KIND_COUNT];
	bool begun; /* an event stands before the next one */
};

/* One process, Scrim, with a thread for each CPU. */
void trace_file_begin(struct trace_file *file, uint32_t version, uint64_t cpus);

/* An event of that CPU's, in the two words of the ABI. */
void trace_file_add(struct trace_file *file, uint64_t cpu, uint64_t start_tsc, uint64_t what);

/* Ends the text, with what got lost. Errors stay in the stream, for its owner to ask. */
void trace_file_end(struct trace_file *file, uint64_t lost);
