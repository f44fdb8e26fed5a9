/* SPDX-License-Identifier: BSD-2-Clause */
/* scrimctl on the real machine: its streams, its signals, its port and its CPUs. The program itself is in verbs.c. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "blocks.h"
#include "kernel_map.h"
#include "request.h"
#include "verbs.h"
#include "visit.h"

static volatile sig_atomic_t interrupted;

static void note_signal(int signal_number)
{
	interrupted = signal_number;
}

/* A request is one instruction and cannot be cut; between two, the verbs look at the flag and leave a valid state. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = note_signal };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		/* nohup's choice is kept. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

/* https://no-color.org: set and not empty. */
static void measure_terminal(struct session *session)
{
	const char *no_colour = getenv("NO_COLOR");
	struct winsize size;

	session->columns = 80;
	session->lines = 24;
	if (isatty(STDOUT_FILENO) != 1)
		return;
	session->redraws = true;
	session->colour = no_colour == NULL || no_colour[0] == '\0';
	/* A serial line may not know. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 && size.ws_row != 0) {
		session->columns = size.ws_col;
		session->lines = size.ws_row;
	}
}

int main(int argc, char **argv)
{
	struct session session = {
		.port = &linux_port,
		.cpus = &linux_cpus,
		.blocks = &linux_blocks,
		.files = &linux_files,
		.out = stdout,
		.err = stderr,
		.show_progress = isatty(STDERR_FILENO) == 1,
		.interrupted = &interrupted,
	};
	enum exit_code code;

	catch_signals();
	measure_terminal(&session);
	code = scrimctl_run(&session, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain(&session,
			 "the output cannot be written (%s); what was asked for has been done or refused all the same",
			 strerror(errno));
		return (int)(code == EXIT_DONE ? EXIT_REFUSED : code);
	}
	return (int)code;
}
