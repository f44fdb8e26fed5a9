/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl trace`: takes events out of Scrim's rings while a command runs, or for a time, into a file. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explain.h"
#include "live.h"
#include "options.h"
#include "trace_file.h"
#include "verbs.h"
#include "visit.h"

#define PAUSE_MS   1  /* between two rounds that found little */
#define ROUND_FULL 64 /* events: more than that, and the next round follows at once */
#define CANNOT_RUN 127

struct tracing {
	const char *path;
	uint64_t end_us; /* 0: when `child` ends */
	pid_t child;     /* 0: none */
	int child_status;
	uint64_t cpus, ring; /* how many, and events that each can keep */
	struct trace_file file;
};

/* As many as there are, but no more than there can have been: others come in meanwhile. False after a complaint. */
static bool drain_cpu(const struct session *session, struct tracing *tracing, uint64_t cpu, uint64_t *taken)
{
	for (uint64_t i = 0; i < tracing->ring; i++, ++*taken) {
		struct reply reply = request(session, SCRIM_OP_TRACE_READ, cpu, 0);

		if (reply.status != SCRIM_OK) {
			explain(session, "reading the trace", SCRIM_OP_TRACE_READ, &reply);
			return false;
		}
		if (reply.result1 == 0)
			break;
		trace_file_add(&tracing->file, cpu, reply.result0, reply.result1);
	}
	return true;
}

static bool drain(const struct session *session, struct tracing *tracing, uint64_t *taken)
{
	*taken = 0;
	for (uint64_t cpu = 0; cpu < tracing->cpus; cpu++)
		if (!drain_cpu(session, tracing, cpu, taken))
			return false;
	return true;
}

static bool is_over(const struct session *session, struct tracing *tracing)
{
	if (tracing->child != 0)
		return waitpid(tracing->child, &tracing->child_status, WNOHANG) == tracing->child;
	return *session->interrupted != 0 || (tracing->end_us != 0 && live_now_us() >= tracing->end_us);
}

static bool drain_until_over(const struct session *session, struct tracing *tracing)
{
	bool told = false;

	while (!is_over(session, tracing)) {
		uint64_t taken;

		if (!drain(session, tracing, &taken))
			return false;
		/* The command has the terminal's signals itself; what is sent to this program alone is passed on, once. */
		if (tracing->child != 0 && *session->interrupted != 0 && !told) {
			kill(tracing->child, SIGTERM);
			told = true;
		}
		if (taken < ROUND_FULL)
			session->cpus->pause_ms(session->context, PAUSE_MS);
	}
	tracing->child = 0;
	return true;
}

static bool order(const struct session *session, struct tracing *tracing, enum scrim_trace_order order)
{
	struct reply reply = request(session, SCRIM_OP_TRACE, order, 0);

	tracing->ring = reply.result0;
	if (reply.status == SCRIM_OK)
		return true;
	explain(session, "trace refused", SCRIM_OP_TRACE, &reply);
	return false;
}

static bool sum_lost(const struct session *session, const struct tracing *tracing, uint64_t *lost)
{
	*lost = 0;
	for (uint64_t cpu = 0; cpu < tracing->cpus; cpu++) {
		struct reply reply = request(session, SCRIM_OP_CPU_INFO, cpu, SCRIM_CPU_TRACE_LOST);

		if (reply.status != SCRIM_OK) {
			explain(session, "reading the trace", SCRIM_OP_CPU_INFO, &reply);
			return false;
		}
		*lost += reply.result0;
	}
	return true;
}

/* Behind START, so that nothing of the command is missed. False after a complaint. */
static bool start_command(const struct session *session, struct tracing *tracing, char **command)
{
	if (command[0] == NULL)
		return true;
	fflush(session->out);
	fflush(tracing->file.out);
	tracing->child = fork();
	if (tracing->child == 0) {
		execvp(command[0], command);
		complain(session, "%s cannot be run (%s); give a command that there is", command[0], strerror(errno));
		fflush(session->err);
		_exit(CANNOT_RUN);
	}
	if (tracing->child > 0)
		return true;
	tracing->child = 0;
	complain(session, "no process for %s (%s); end some and try again", command[0], strerror(errno));
	return false;
}

/* Between START and STOP. */
static bool record(const struct session *session, struct tracing *tracing, char **command)
{
	bool done = start_command(session, tracing, command) && drain_until_over(session, tracing);
	uint64_t taken;

	if (tracing->child != 0)
		waitpid(tracing->child, &tracing->child_status, 0);
	return order(session, tracing, SCRIM_TRACE_STOP) && done && drain(session, tracing, &taken);
}

static void report(const struct session *session, const struct tracing *tracing, uint64_t lost)
{
	const uint64_t *events = tracing->file.events;

	fprintf(session->out,
		"%s: %" PRIu64 " exits, %" PRIu64 " switches of a CPU, %" PRIu64 " batches, %" PRIu64 " stalls; %" PRIu64 " lost%s\n",
		tracing->path, events[SCRIM_TRACE_EXIT], events[SCRIM_TRACE_SWITCH], events[SCRIM_TRACE_BATCH],
		events[SCRIM_TRACE_STALL], lost, lost == 0 ? "" : ": the rings were full; boot with a larger trace=");
}

static bool command_failed(const struct session *session, const struct tracing *tracing, const char *command)
{
	int status = tracing->child_status;

	if (command == NULL || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return false;
	complain(session, "%s ended by %s %d; what it did until then is in %s", command, WIFEXITED(status) ? "exit status" : "signal",
		 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), tracing->path);
	return true;
}

static bool write_trace(const struct session *session, struct tracing *tracing, uint32_t version, char **command)
{
	uint64_t lost;

	if (!order(session, tracing, SCRIM_TRACE_START))
		return false;
	trace_file_begin(&tracing->file, version, tracing->cpus);
	if (!record(session, tracing, command) || !sum_lost(session, tracing, &lost))
		return false;
	trace_file_end(&tracing->file, lost);
	if (fflush(tracing->file.out) != 0 || ferror(tracing->file.out)) {
		complain(session, "%s cannot be written (%s); give another file", tracing->path, strerror(errno));
		return false;
	}
	report(session, tracing, lost);
	return true;
}

static enum exit_code trace(const struct session *session, struct tracing *tracing, char **command)
{
	enum exit_code code = EXIT_REFUSED;
	uint32_t version;

	if (!request_connect(session, &version) || !request_info(session, SCRIM_INFO_CPUS, &tracing->cpus) ||
	    !request_info(session, SCRIM_INFO_TSC_HZ, &tracing->file.tsc_hz))
		return EXIT_REFUSED;
	if (tracing->file.tsc_hz == 0) {
		complain(session, "Scrim could not measure how fast the time stamp counter runs, so that events have no times; use scrimctl top");
		return EXIT_REFUSED;
	}
	tracing->file.out = fopen(tracing->path, "we");
	if (tracing->file.out == NULL) {
		complain(session, "%s cannot be written (%s); give another file", tracing->path, strerror(errno));
		return EXIT_REFUSED;
	}
	if (write_trace(session, tracing, version, command) && !command_failed(session, tracing, command[0]))
		code = EXIT_DONE;
	fclose(tracing->file.out);
	return code;
}

static enum exit_code run_trace(const struct session *session, int argc, char **argv)
{
	const char *seconds = NULL;
	struct tracing tracing = { 0 };
	const struct option_spec specs[] = { { .name = "-o", .value = &tracing.path },
					     { .name = "--seconds", .value = &seconds },
					     { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	uint64_t ms = 0;

	if (operands == OPTIONS_BAD)
		return EXIT_USAGE;
	if (tracing.path == NULL || (seconds != NULL && operands != 0)) {
		complain(session, "trace needs -o FILE, and --seconds or a command, not both; see scrimctl trace --help");
		return EXIT_USAGE;
	}
	if (seconds != NULL && !live_seconds(seconds, &ms)) {
		complain(session, "--seconds %s is no time; give 0.01 to 86400", seconds);
		return EXIT_USAGE;
	}
	tracing.end_us = seconds == NULL ? 0 : live_now_us() + ms * 1000;
	argv[operands + 1] = NULL; /* what stood behind were options, which are taken */
	return trace(session, &tracing, argv + 1);
}

const struct verb verb_trace = {
	.name = "trace",
	.arguments = "-o FILE [--seconds N | -- COMMAND [ARG]...]",
	.summary = "Record exits, switches, batches, stalls",
	.help = "Records when each CPU was in Scrim and why, when it switched, which pages were moved in a batch, and when it waited for one,\n"
		"while the command runs, or for a time, or until a signal comes. FILE can be opened in ui.perfetto.dev and chrome://tracing.\n"
		"Each CPU keeps its events in a ring of fixed size (boot option trace=) until this program has taken them out; what does not\n"
		"fit is lost, and counted. One trace at a time: another one takes the events away.\n"
		"\n"
		"  -o FILE          where to\n"
		"  --seconds N      for so long\n"
		"  -- COMMAND ...   while it runs; exit status 1 if its own is not 0\n"
		"\n"
		"Example: scrimctl trace -o home.json -- scrimctl devirtualize\n",
	.run = run_trace,
};
