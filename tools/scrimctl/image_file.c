/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of an image. A regular file is written past the page cache where its file system can (O_DIRECT): each page of
 * the cache that the image itself dirtied would be one more page that is written while the image is taken, and would
 * cost a frame. For that all but the last write is of whole, aligned pages.
 *
 * A pipe gets copies: its reader may hand pages on by splice(2), and nobody tells who lends his own (vmsplice(2)) when they may be written again.
 */
#include "image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGING_BYTES 65536u
#define ALIGNMENT     4096u
#define PIPE_BYTES    262144 /* a reader gets more at a time, and this program waits for it less often */
#define SUFFIX        ".XXXXXX"
#define ZSTD_LEVEL    1 /* the sooner a page has been read, the fewer are written before */

/* False without a complaint where a signal has cut the write: the caller of all this looks at the flag. */
static bool complain_write(const struct image_file *file, int error)
{
	if (error != EINTR)
		complain(file->session, "snapshot failed: %s cannot be written (%s); free space there, or name another file",
			 file->path == NULL ? "the output" : file->path, strerror(error));
	return false;
}

static bool write_out(struct image_file *file, const uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count = file->path == NULL ? (ssize_t)fwrite(data, 1, size, file->stream) :
						     write(file->fd, data + done, size - done);

		if (count < 0 || (file->path == NULL && (size_t)count < size))
			return complain_write(file, errno);
		done += (size_t)count;
	}
	file->bytes += done;
	return true;
}

static bool write_staged(struct image_file *file)
{
	size_t size = file->staged;

	file->staged = 0;
	return write_out(file, file->staging, size);
}

/* Pages of the image are not copied once more where they can be written as they lie. */
static bool is_aligned(const struct image_file *file, const uint8_t *data, size_t size)
{
	return file->staged % ALIGNMENT == 0 && size % ALIGNMENT == 0 && (uintptr_t)data % ALIGNMENT == 0;
}

static bool stage(struct image_file *file, const uint8_t *data, size_t size)
{
	if (is_aligned(file, data, size))
		return write_staged(file) && write_out(file, data, size);
	while (size != 0) {
		size_t room = STAGING_BYTES - file->staged, part = size < room ? size : room;

		memcpy(file->staging + file->staged, data, part);
		file->staged += part;
		data += part;
		size -= part;
		if (file->staged == STAGING_BYTES && !write_staged(file))
			return false;
	}
	return true;
}

/* Compresses into the staging buffer. */
static bool compress(struct image_file *file, const void *data, size_t size, ZSTD_EndDirective directive)
{
	ZSTD_inBuffer in = { data, size, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { file->staging, STAGING_BYTES, file->staged };

		left = ZSTD_compressStream2(file->zstd, &out, &in, directive);
		file->staged = out.pos;
		if (ZSTD_isError(left)) {
			complain(file->session, "snapshot failed: zstd cannot compress it (%s); leave --compress out",
				 ZSTD_getErrorName(left));
			return false;
		}
		if (file->staged == STAGING_BYTES && !write_staged(file))
			return false;
	} while (directive == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return true;
}

static bool begin_zstd(struct image_file *file)
{
	file->zstd = ZSTD_createCCtx();
	return file->zstd != NULL &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_checksumFlag, 1));
}

static void release(struct image_file *file)
{
	ZSTD_freeCCtx(file->zstd);
	free(file->staging);
	free(file->partial);
	*file = (struct image_file){ .fd = -1, .bytes = file->bytes };
}

/* A device or a pipe would be replaced by the rename. */
static bool is_replaceable(const struct session *session, const char *path)
{
	struct stat found;

	if (stat(path, &found) != 0 || S_ISREG(found.st_mode))
		return true;
	complain(session, "snapshot refused, %s is there and no regular file; write to it with -o - and the shell's >", path);
	return false;
}

/* A new file under a name beside it: a descriptor, or -1. For root alone: memory holds secrets. */
static int make_partial(struct image_file *file)
{
	size_t size = strlen(file->path) + sizeof(SUFFIX);

	file->partial = malloc(size);
	if (file->partial == NULL) {
		errno = ENOMEM;
		return -1;
	}
	snprintf(file->partial, size, "%s%s", file->path, SUFFIX);
	int fd = mkostemp(file->partial, O_CLOEXEC);

	if (fd < 0) {
		free(file->partial);
		file->partial = NULL;
	}
	return fd;
}

/* A new file without a name, of which a killed run leaves nothing: a descriptor, or -1 where the file system has none. */
static int make_nameless(const struct image_file *file)
{
	char *copy = strdup(file->path);
	int fd = copy == NULL ? -1 : open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);

	free(copy);
	return fd;
}

static bool open_partial(struct image_file *file)
{
	int flags;

	file->fd = make_nameless(file);
	if (file->fd < 0)
		file->fd = make_partial(file);
	if (file->fd < 0)
		return false;
	flags = fcntl(file->fd, F_GETFL);
	file->direct = fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
	return true;
}

bool image_file_begin(const struct session *session, const char *path, bool compress, struct image_file *file)
{
	*file = (struct image_file){ .session = session, .path = path, .stream = session->out, .fd = -1 };
	if (path != NULL && !is_replaceable(session, path))
		return false;
	file->staging = aligned_alloc(ALIGNMENT, STAGING_BYTES);
	if (file->staging == NULL || (compress && !begin_zstd(file))) {
		complain(session, "snapshot refused, no memory for its buffers; free some and try again");
		release(file);
		return false;
	}
	if (path == NULL) {
		/* A reader that goes away is an error of a write, so that the watch is ended. */
		signal(SIGPIPE, SIG_IGN);
		(void)fcntl(fileno(file->stream), F_SETPIPE_SZ, PIPE_BYTES);
		return true;
	}
	if (!open_partial(file)) {
		complain(session, "snapshot refused, no file can be made beside %s (%s); name another place", path,
			 strerror(errno));
		release(file);
		return false;
	}
	return true;
}

bool image_file_write(struct image_file *file, const void *data, size_t size)
{
	return file->zstd == NULL ? stage(file, data, size) : compress(file, data, size, ZSTD_e_continue);
}

/* The last piece is no whole block. */
static bool write_tail(struct image_file *file)
{
	if (file->direct && fcntl(file->fd, F_SETFL, fcntl(file->fd, F_GETFL) & ~O_DIRECT) != 0)
		return complain_write(file, errno);
	return write_staged(file);
}

static bool link_to(const struct image_file *file, const char *name)
{
	char self[sizeof("/proc/self/fd/-2147483648")];

	/* The first is for root alone, the second needs /proc. */
	if (linkat(file->fd, "", AT_FDCWD, name, AT_EMPTY_PATH) == 0)
		return true;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	return errno == ENOENT && linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
}

/* The file has a name, its own or one beside it. */
static bool give_name(struct image_file *file)
{
	int fd;

	if (file->partial != NULL || link_to(file, file->path))
		return true;
	/* A link replaces nothing, a rename does: by a name that is free. */
	fd = errno == EEXIST ? make_partial(file) : -1;
	if (fd < 0)
		return false;
	close(fd);
	return unlink(file->partial) == 0 && link_to(file, file->partial);
}

static bool put_in_place(struct image_file *file)
{
	bool good = fdatasync(file->fd) == 0 && give_name(file) &&
		    (file->partial == NULL || rename(file->partial, file->path) == 0);

	return good || complain_write(file, errno);
}

bool image_file_finish(struct image_file *file)
{
	bool good = (file->zstd == NULL || compress(file, NULL, 0, ZSTD_e_end)) && write_tail(file);

	if (good && file->path == NULL && fflush(file->stream) != 0)
		good = complain_write(file, errno);
	if (good && file->path != NULL)
		good = put_in_place(file);
	if (good && file->fd >= 0) {
		good = close(file->fd) == 0 || complain_write(file, errno);
		file->fd = -1;
	}
	if (good)
		release(file);
	else
		image_file_abandon(file);
	return good;
}

void image_file_abandon(struct image_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->partial != NULL)
		unlink(file->partial);
	if (file->path == NULL) {
		/* What went wrong has been said; the end of the program is not to say it again. */
		__fpurge(file->stream);
		clearerr(file->stream);
	}
	release(file);
}
