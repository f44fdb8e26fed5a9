/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a command while block devices are held: no request of theirs is under way before it begins, and none sets out
 * until it has ended. What the device mapper is asked for is in Linux's Documentation/admin-guide/device-mapper. The
 * disk of the running program may be among them, so nothing here is read from a file between the holding and the end:
 * the program is static and locked in memory, and the command has to lie in memory too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static _Noreturn void usage(void)
{
	fputs("hold DEVICE... -- COMMAND [ARGUMENT...]\n"
	      "Runs the command, a path, while the device mapper's devices are suspended; the exit status is the "
	      "command's.\n",
	      stderr);
	exit(2);
}

/* Suspending waits for what is under way and queues what comes; file systems are not asked, since they would write
 * first. */
static bool set_held(int control, const char *device, bool held)
{
	struct dm_ioctl request = {
		.version = { DM_VERSION_MAJOR, 0, 0 },
		.data_size = sizeof(request),
		.flags = held ? DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG : 0,
	};

	strncpy(request.name, device, sizeof(request.name) - 1);
	if (ioctl(control, DM_DEV_SUSPEND, &request) == 0)
		return true;
	fprintf(stderr, "hold: %s cannot be %s: %s\n", device, held ? "held" : "let go", strerror(errno));
	return false;
}

/* Exit status of the command. */
static int run(char **command)
{
	pid_t child;
	int status;
	int error = posix_spawn(&child, command[0], NULL, NULL, command, environ);

	if (error != 0) {
		fprintf(stderr, "hold: %s: %s\n", command[0], strerror(error));
		return 1;
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	int devices = 1, held = 1, status = 1;

	while (devices < argc && strcmp(argv[devices], "--") != 0)
		devices++;
	if (devices < 2 || devices + 1 >= argc)
		usage();
	if (control < 0 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
		fprintf(stderr, "hold: no device mapper, or memory cannot be locked: %s\n", strerror(errno));
		return 1;
	}
	while (held < devices && set_held(control, argv[held], true))
		held++;
	if (held == devices)
		status = run(argv + devices + 1);
	while (held > 1)
		if (!set_held(control, argv[--held], false))
			status = 1;
	return status;
}
