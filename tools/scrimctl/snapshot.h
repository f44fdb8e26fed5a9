/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the taking of an image: all RAM of the OS's as of one instant, as an ELF64 core. */
#pragma once

#include "session.h"

struct snapshot_options {
	const char *path; /* NULL: session->out, and all words go to session->err */
	bool compress;
	bool paused; /* writes wait for the reader where frames are short */
};

enum exit_code snapshot_take(const struct session *session, const struct snapshot_options *options) MUST_CHECK;
