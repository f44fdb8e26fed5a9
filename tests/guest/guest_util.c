/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: small services of the operating system in the form that the test guests want them. */
#include "guest_util.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t guest_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned guest_cpu_limit(void)
{
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	unsigned limit = configured > 0 ? (unsigned)configured : 1;
	cpu_set_t set;

	/* Without /sys the C library knows of the CPUs online only: the affinity mask may know of more. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		for (unsigned cpu = limit; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				limit = cpu + 1;
	return limit;
}

bool guest_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

unsigned guest_pin_near(unsigned wanted, unsigned limit)
{
	for (unsigned i = 0; i < limit; i++) {
		unsigned cpu = (wanted + i) % limit;

		if (guest_pin(cpu))
			return cpu;
	}
	return limit;
}

uint64_t guest_option_number(int argc, char **argv, int *index)
{
	const char *name = argv[*index];
	const char *text = *index + 1 < argc ? argv[*index + 1] : "";
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (end == text || *end != '\0' || *text == '-' || errno != 0) {
		fprintf(stderr, "%s: a number is wanted after %s\n", argv[0], name);
		exit(2);
	}
	*index += 1;
	return value;
}
