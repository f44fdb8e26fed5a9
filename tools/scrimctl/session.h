/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what every verb works with: the ways to Scrim, to the OS's CPUs and memory, and where its words go. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#define SCRIMCTL_VERSION "0.1.0"

#define MUST_CHECK       __attribute__((warn_unused_result))

enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* refused or failed; the machine is as before unless the message says otherwise */
	EXIT_USAGE = 2
};

struct port_ops;
struct cpu_ops;
struct block_ops;
struct kernel_files;

struct session {
	const struct port_ops *port;
	const struct cpu_ops *cpus;
	const struct block_ops *blocks;
	const struct kernel_files *files;
	void *context; /* handed to the three ops; the tests' fake machine */
	FILE *out;
	FILE *err;
	bool show_progress;                       /* err is a terminal */
	bool colour;                              /* out may be coloured */
	bool redraws;                             /* out is a terminal: what is shown again is written over */
	unsigned columns, lines;                  /* of it, or of a page where it is none */
	const volatile sig_atomic_t *interrupted; /* not 0: finish the request at hand, leave a valid state, stop */
};

/* One line on the error stream: "scrimctl: ...". The caller writes "what, why; what to do instead". */
void complain(const struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
