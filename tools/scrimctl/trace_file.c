/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace Event Format, JSON object form: complete events ("X") with a beginning and a duration in microseconds, in any order, and metadata ("M") that
 * names the process and its threads. No text in it has a character that JSON would want escaped.
 */
#include "trace_file.h"

#include <inttypes.h>

#include "names.h"

#define PROCESS 1

static const char *const categories[] = {
	[SCRIM_TRACE_NONE] = "unknown", [SCRIM_TRACE_EXIT] = "exit",   [SCRIM_TRACE_SWITCH] = "switch",
	[SCRIM_TRACE_BATCH] = "batch",  [SCRIM_TRACE_STALL] = "stall",
};
_Static_assert(sizeof(categories) / sizeof(categories[0]) == SCRIM_TRACE_KIND_COUNT, "a word for each kind of event");

static void separate(struct trace_file *file)
{
	fputs(file->begun ? ",\n" : "\n", file->out);
	file->begun = true;
}

/* On i386 too with more bits than a double has: a TSC that has run for months is read to the nanosecond. */
static long double us_of(const struct trace_file *file, uint64_t ticks)
{
	return (long double)ticks * 1e6L / (long double)file->tsc_hz;
}

void trace_file_begin(struct trace_file *file, uint32_t version, uint64_t cpus)
{
	fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", file->out);
	separate(file);
	fprintf(file->out, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"tid\":0,\"args\":{\"name\":\"Scrim %u.%u.%u\"}}",
		PROCESS, version >> 16, version >> 8 & 0xff, version & 0xff);
	for (uint64_t i = 0; i < cpus; i++) {
		separate(file);
		fprintf(file->out,
			"{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%" PRIu64 ",\"args\":{\"name\":\"CPU %" PRIu64 "\"}}",
			PROCESS, i, i);
	}
}

static void print_what(const struct trace_file *file, enum scrim_trace_kind kind, uint64_t number)
{
	switch (kind) {
	case SCRIM_TRACE_EXIT:
		fprintf(file->out, "\"name\":\"%s\",\"args\":{}", name_of_exit(number));
		break;
	case SCRIM_TRACE_SWITCH:
		fprintf(file->out, "\"name\":\"switch to %s\",\"args\":{}", name_of_backend(number));
		break;
	case SCRIM_TRACE_BATCH:
		fprintf(file->out, "\"name\":\"batch\",\"args\":{\"pages\":%" PRIu64 "}", number);
		break;
	default:
		fprintf(file->out, "\"name\":\"stall\",\"args\":{\"write\":%s}", number != 0 ? "true" : "false");
		break;
	}
}

void trace_file_add(struct trace_file *file, uint64_t cpu, uint64_t start_tsc, uint64_t what)
{
	uint64_t kind = what >> SCRIM_TRACE_KIND_SHIFT;

	if (kind == SCRIM_TRACE_NONE || kind >= SCRIM_TRACE_KIND_COUNT)
		return;
	file->events[kind]++;
	separate(file);
	fprintf(file->out, "{\"ph\":\"X\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%" PRIu64 ",\"ts\":%.3Lf,\"dur\":%.3Lf,", categories[kind],
		PROCESS, cpu, us_of(file, start_tsc), us_of(file, what & SCRIM_TRACE_TICKS_MAX));
	print_what(file, (enum scrim_trace_kind)kind, what >> SCRIM_TRACE_NUMBER_SHIFT & SCRIM_TRACE_NUMBER_MAX);
	fputc('}', file->out);
}

void trace_file_end(struct trace_file *file, uint64_t lost)
{
	fprintf(file->out, "\n],\"otherData\":{\"lost_events\":%" PRIu64 ",\"tsc_hz\":%" PRIu64 "}}\n", lost, file->tsc_hz);
}
