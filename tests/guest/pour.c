/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standard input to memory that the host sees: `pour RESOURCE` copies it into a BAR of a PCI device (QEMU's ivshmem-plain), by
 * its file in sysfs. No device writes to RAM meanwhile. Prints how many bytes there were.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	struct stat file;
	uint8_t *memory;
	size_t used = 0;
	ssize_t count;

	if (fd < 0 || fstat(fd, &file) != 0)
		return fail("pour: RESOURCE");
	memory = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return fail("pour: mmap");
	while ((count = read(STDIN_FILENO, memory + used, (size_t)file.st_size - used)) > 0)
		used += (size_t)count;
	if (count < 0)
		return fail("pour: read");
	if (used == (size_t)file.st_size) {
		fputs("pour: the memory is too small\n", stderr);
		return 1;
	}
	printf("%zu\n", used);
	return 0;
}
