/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The OS's CPUs as Linux shows them: the list in sysfs, the affinity of this thread. Owns the affinity that the thread
 * had before its first visit. Masks are as long as their largest CPU needs, so there is no limit of 1024 CPUs.
 */
#include "visit.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ONLINE_FILE  "/sys/devices/system/cpu/online"
#define CPUINFO_FILE "/proc/cpuinfo"

/* sysfs shows at most one page. */
#define ONLINE_SIZE 4097

static struct cpu_list saved; /* no words: nothing is saved */

static cpu_set_t *mask_of(const struct cpu_list *list)
{
	return (cpu_set_t *)(void *)list->words;
}
static size_t mask_bytes(const struct cpu_list *list)
{
	return list->word_count * sizeof(*list->words);
}

static int linux_online(void *context, struct cpu_list *list)
{
	char text[ONLINE_SIZE];
	FILE *file = fopen(ONLINE_FILE, "re");
	bool read;

	(void)context;
	if (file == NULL)
		return errno;
	read = fgets(text, sizeof(text), file) != NULL;
	fclose(file);
	return read && cpu_list_parse(text, list) ? 0 : EINVAL;
}

/* The kernel refuses a mask that is shorter than its own with EINVAL: double until it fits. */
static int save_affinity(void)
{
	for (unsigned top = 1023; top < CPU_LIST_LIMIT; top = 2 * top + 1) {
		if (!cpu_list_add(&saved, top))
			return ENOMEM;
		memset(saved.words, 0, mask_bytes(&saved));
		if (sched_getaffinity(0, mask_bytes(&saved), mask_of(&saved)) == 0)
			return 0;
		if (errno != EINVAL)
			break;
	}
	cpu_list_free(&saved);
	return errno;
}

static int linux_enter(void *context, unsigned cpu)
{
	struct cpu_list one = { 0 };
	int error = 0;

	(void)context;
	if (saved.words == NULL)
		error = save_affinity();
	if (error == 0 && !cpu_list_add(&one, cpu))
		error = ENOMEM;
	if (error == 0 && sched_setaffinity(0, mask_bytes(&one), mask_of(&one)) != 0)
		error = errno;
	cpu_list_free(&one);
	return error;
}

static void linux_leave(void *context)
{
	(void)context;
	if (saved.words == NULL)
		return;
	/* Fails only where all CPUs of the old affinity went offline; then the kernel has widened it already. */
	if (sched_setaffinity(0, mask_bytes(&saved), mask_of(&saved)) != 0)
		errno = 0;
	cpu_list_free(&saved);
}

/* The number in a line "NAME : NUMBER", or -1 where the line is another. */
static long field(const char *line, const char *name)
{
	size_t length = strlen(name);
	const char *colon = strchr(line, ':');

	if (strncmp(line, name, length) != 0 || strchr(" \t:", line[length]) == NULL || colon == NULL)
		return -1;
	return strtol(colon + 1, NULL, 10);
}

static long linux_number_of(void *context, uint32_t apic_id)
{
	FILE *file = fopen(CPUINFO_FILE, "re");
	char *line = NULL;
	size_t size = 0;
	long processor = -1, found = -1;

	(void)context;
	if (file == NULL)
		return -1;
	while (found < 0 && getline(&line, &size, file) >= 0) {
		long number = field(line, "processor");

		if (number >= 0)
			processor = number;
		else if (field(line, "apicid") == (long)apic_id)
			found = processor;
	}
	free(line);
	fclose(file);
	return found;
}

static void linux_pause_ms(void *context, unsigned milliseconds)
{
	struct timespec pause = { .tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000 };

	(void)context;
	/* A signal may end it early: the caller looks at the flag next. */
	nanosleep(&pause, NULL);
}

const struct cpu_ops linux_cpus = {
	.online = linux_online,
	.enter = linux_enter,
	.leave = linux_leave,
	.number_of = linux_number_of,
	.pause_ms = linux_pause_ms,
};
