/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl snapshot`: its options. The taking of an image is in snapshot.c. */
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "request.h"
#include "snapshot.h"
#include "verbs.h"
#include "watching.h"

static const char *const compress_words[] = { "zstd", NULL };

static bool parse_words(const struct session *session, const char *path, const char *compress, bool cancel,
			struct snapshot_options *options)
{
	size_t word;

	if (cancel && (path != NULL || compress != NULL || options->paused)) {
		complain(session, "--cancel goes with no other option; see scrimctl snapshot --help");
		return false;
	}
	if (!cancel && path == NULL) {
		complain(session, "snapshot needs -o FILE, or -o - for a pipe; see scrimctl snapshot --help");
		return false;
	}
	if (compress != NULL && !options_word(session, "--compress", compress, compress_words, &word))
		return false;
	options->compress = compress != NULL;
	options->path = path == NULL || strcmp(path, "-") == 0 ? NULL : path;
	if (!cancel && options->path == NULL && isatty(fileno(session->out)) == 1) {
		complain(session, "an image is nothing for a terminal; send it on with a pipe or >, or give -o FILE");
		return false;
	}
	return true;
}

static enum exit_code run_snapshot(const struct session *session, int argc, char **argv)
{
	const char *path = NULL, *compress = NULL;
	struct snapshot_options options = { 0 };
	bool cancel = false;
	const struct option_spec specs[] = {
		{ .name = "-o", .value = &path },
		{ .name = "--compress", .value = &compress },
		{ .name = "--paused", .flag = &options.paused },
		{ .name = "--cancel", .flag = &cancel },
		{ .name = NULL },
	};
	int operands = options_parse(session, argc, argv, specs);
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "snapshot", operands, argv) ||
	    !parse_words(session, path, compress, cancel, &options))
		return EXIT_USAGE;
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	return cancel ? watching_cancel(session) : snapshot_take(session, &options);
}

const struct verb verb_snapshot = {
	.name = "snapshot",
	.arguments = "-o FILE|- | --cancel",
	.summary = "Write an image of all RAM as of one instant",
	.help = "An ELF64 core of all RAM and of every CPU's registers as they were at one instant, for crash, gdb and drgn, "
		"taken\n"
		"while the OS runs on: RAM is write-protected, and a page that is about to be written is copied to a free "
		"frame\n"
		"first. Where memory is not virtualized it is for this time, and not afterwards. How much may be written "
		"meanwhile\n"
		"is printed first; where it is more the image is given up, and the machine runs on. Nothing that moves "
		"pages is\n"
		"done meanwhile. What devices write is not held off. On SIGINT, SIGTERM or SIGHUP, and on every error, no "
		"file is\n"
		"left and the exit status is 1.\n"
		"\n"
		"  -o FILE          where to; the file has this name once it is complete. Only root may read it\n"
		"  -o -             to the standard output; words go to the standard error then\n"
		"  --compress zstd  a zstd stream of it\n"
		"  --paused         where frames get short, what writes to memory waits for the image: slower, with few frames\n"
		"  --cancel         end what a killed snapshot or dirty has left: nothing is read-only any more\n"
		"\n"
		"Example: scrimctl snapshot -o - --compress zstd | ssh host 'cat > image.zst'\n",
	.run = run_snapshot,
};
