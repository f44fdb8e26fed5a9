/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the file that an image goes to: written once from front to end, complete or not there. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "session.h"

struct image_file {
	const struct session *session;
	const char *path; /* NULL: to `stream` */
	FILE *stream;
	char *partial; /* the name until it is complete; NULL: it needs none */
	int fd;
	bool direct; /* past the page cache */
	ZSTD_CCtx *zstd; /* NULL: as it is */
	uint8_t *staging;
	size_t staged;
	uint64_t bytes; /* in the file so far, without what is staged */
};

/*
 * Begins the file `path` without a name, or where the file system has no such files under a temporary one beside it, or, where `path` is NULL, writes to session->out. To be
 * ended by image_file_finish() or image_file_abandon(). False after a complaint; then there is nothing to end.
 */
bool image_file_begin(const struct session *session, const char *path, bool compress,
		      struct image_file *file) MUST_CHECK;

/* False after a complaint, or, without one, where a signal has come. */
bool image_file_write(struct image_file *file, const void *data, size_t size) MUST_CHECK;

/* All of it is on the disk, under its name. False as above; the file is gone then. */
bool image_file_finish(struct image_file *file) MUST_CHECK;

void image_file_abandon(struct image_file *file);
