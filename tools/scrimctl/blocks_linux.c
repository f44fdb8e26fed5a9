/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The OS's memory blocks as Linux shows them in sysfs (its admin-guide/mm/memory-hotplug.rst): a directory memoryN for
 * each, with the files state, phys_index, and, where memory can be put offline, removable and valid_zones.
 */
#include "blocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS_DIRECTORY "/sys/devices/system/memory"
#define LINE             64

static int read_line(const char *path, char line[LINE])
{
	FILE *file = fopen(path, "re");
	int error = 0;

	if (file == NULL)
		return errno;
	if (fgets(line, LINE, file) == NULL)
		error = EIO;
	else
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
	return error;
}

static int read_file(uint64_t number, const char *name, char line[LINE])
{
	char path[128];

	snprintf(path, sizeof(path), BLOCKS_DIRECTORY "/memory%" PRIu64 "/%s", number, name);
	return read_line(path, line);
}

/* Both files of numbers are hexadecimal without 0x. */
static int read_hex(const char *line, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(line, &end, 16);
	return errno != 0 || end == line || *end != '\0' ? EINVAL : 0;
}

static int read_block(uint64_t number, uint64_t block_bytes, struct block *block)
{
	char line[LINE];
	uint64_t index = 0;
	int error = read_file(number, "phys_index", line);

	if (error == 0)
		error = read_hex(line, &index);
	if (error != 0)
		return error;
	*block = (struct block){ .number = number, .removable = true };
	block->range = (struct range){ index * block_bytes, (index + 1) * block_bytes };
	error = read_file(number, "state", line);
	if (error != 0)
		return error;
	block->online = strcmp(line, "online") == 0;
	/* Of an online block, the zone that it is in. The two files are hints only, and absent from some kernels. */
	if (read_file(number, "removable", line) == 0)
		block->removable = strcmp(line, "1") == 0;
	if (read_file(number, "valid_zones", line) == 0)
		block->movable = strncmp(line, "Movable", 7) == 0;
	return 0;
}

/* The number in "memoryN"; false: another name. */
static bool block_number(const char *name, uint64_t *number)
{
	static const char prefix[] = "memory";
	const char *digits = name + sizeof(prefix) - 1;
	char *end;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || *digits < '0' || *digits > '9')
		return false;
	*number = strtoull(digits, &end, 10);
	return *end == '\0';
}

static int linux_list(void *context, struct block_list *list)
{
	char line[LINE];
	uint64_t block_bytes, number;
	struct dirent *entry;
	DIR *directory;
	int error = read_line(BLOCKS_DIRECTORY "/block_size_bytes", line);

	(void)context;
	if (error == 0)
		error = read_hex(line, &block_bytes);
	if (error != 0)
		return error;
	directory = opendir(BLOCKS_DIRECTORY);
	if (directory == NULL)
		return errno;
	while (error == 0 && (entry = readdir(directory)) != NULL) {
		struct block block;

		if (!block_number(entry->d_name, &number))
			continue;
		error = read_block(number, block_bytes, &block);
		if (error == 0 && !blocks_add(list, block))
			error = ENOMEM;
	}
	closedir(directory);
	return error == 0 && list->count == 0 ? ENOENT : error;
}

static int linux_set_online(void *context, uint64_t number, bool online)
{
	/* Back into the zone that the kernel takes by default, as at boot. */
	const char *word = online ? "online" : "offline";
	char path[128];
	int file, error = 0;

	(void)context;
	snprintf(path, sizeof(path), BLOCKS_DIRECTORY "/memory%" PRIu64 "/state", number);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return errno;
	if (write(file, word, strlen(word)) < 0)
		error = errno;
	close(file);
	return error;
}

const struct block_ops linux_blocks = {
	.list = linux_list,
	.set_online = linux_set_online,
};
