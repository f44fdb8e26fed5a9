/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Has QEMU's `edu` device write to any physical address, as a device with a wrong idea of memory would. Its registers
 * stand in QEMU's docs/specs/edu. It only writes what it has read before: so it first reads a page of this program.
 */
#include "guest_util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGISTERS_BYTES       0x1000u
#define DMA_SOURCE            (0x80u / sizeof(uint64_t))
#define DMA_DESTINATION       (0x88u / sizeof(uint64_t))
#define DMA_COUNT             (0x90u / sizeof(uint64_t))
#define DMA_COMMAND           (0x98u / sizeof(uint64_t))
#define COMMAND_START         1u /* reads 0 when it is done */
#define COMMAND_TO_RAM        2u
#define BUFFER                0x40000u
#define BYTES                 2048u

#define CONFIG_COMMAND        4
#define COMMAND_MEMORY_MASTER 6
#define PAGEMAP_FRAME         ((1ull << 55) - 1)

static _Noreturn void edu_fail(const char *what)
{
	fprintf(stderr, "edu: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_file(const char *device, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", device, name);
	int file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		edu_fail(path);
	return file;
}

static volatile uint64_t *map_registers(const char *device)
{
	const uint8_t command[2] = { COMMAND_MEMORY_MASTER, 0 };

	if (pwrite(open_file(device, "config"), command, sizeof(command), CONFIG_COMMAND) != sizeof(command))
		edu_fail("config");
	void *registers =
		mmap(NULL, REGISTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, open_file(device, "resource0"), 0);
	if (registers == MAP_FAILED)
		edu_fail("resource0");
	return registers;
}

static uint8_t *make_page(void)
{
	uint8_t *page =
		mmap(NULL, GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (page == MAP_FAILED || mlock(page, GUEST_PAGE_SIZE) != 0)
		edu_fail("memory");
	return page;
}

static uint64_t physical_of(const void *page)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)page / GUEST_PAGE_SIZE * sizeof(entry));

	if (file < 0 || pread(file, &entry, sizeof(entry), at) != sizeof(entry) || !(entry & PAGEMAP_FRAME))
		edu_fail("/proc/self/pagemap (root is wanted)");
	close(file);
	return (entry & PAGEMAP_FRAME) * GUEST_PAGE_SIZE;
}

static void transfer(volatile uint64_t *registers, uint64_t source, uint64_t destination, uint64_t command)
{
	registers[DMA_SOURCE] = source;
	registers[DMA_DESTINATION] = destination;
	registers[DMA_COUNT] = BYTES;
	registers[DMA_COMMAND] = command | COMMAND_START;
	while (registers[DMA_COMMAND] & COMMAND_START)
		usleep(1000);
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3) {
		fputs("edu DEVICE [ADDRESS]\n"
		      "Has the edu device, a directory of sysfs, write 2 KiB to the address. Without one: to a page of "
		      "this\n"
		      "program's, and the exit status is 1 if they do not arrive.\n",
		      stderr);
		return 2;
	}
	volatile uint64_t *registers = map_registers(argv[1]);
	uint8_t *from = make_page(), *to = make_page();

	for (unsigned i = 0; i < BYTES; i++)
		from[i] = (uint8_t)guest_mix(i);
	transfer(registers, physical_of(from), BUFFER, 0);
	transfer(registers, BUFFER, argc == 3 ? strtoull(argv[2], NULL, 0) : physical_of(to), COMMAND_TO_RAM);
	return argc == 2 && memcmp(from, to, BYTES) != 0;
}
