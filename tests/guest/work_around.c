/* SPDX-License-Identifier: BSD-2-Clause */
/* What lies around fixed work, and must not differ between two machines. Owns nothing. */
#include "work_around.h"

#include "guest_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_NS 100000000u

void work_require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "work: %s failed\n", what);
	exit(1);
}

/* The C library starts it without copying this process: the memory that a section works on stays as it was filled. */
void work_look(const char *around)
{
	fflush(stdout);
	if (around != NULL)
		work_require(system(around) == 0, around);
}

/* What the kernel has put off is done by then, and its tick falls on the same operations on every machine. */
void work_settle(void)
{
	uint64_t at = (guest_now_ns() / SETTLE_NS + 2) * SETTLE_NS;
	struct timespec until = { .tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u) };

	work_require(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0, "sleep");
}

/* Addresses of mappings decide how many page-table pages a fork copies. */
bool work_fix_addresses(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona < 0)
		return false;
	if ((persona & ADDR_NO_RANDOMIZE) != 0)
		return true;
	if (personality((unsigned long)persona | ADDR_NO_RANDOMIZE) >= 0) {
		execv("/proc/self/exe", argv);
		execv(argv[0], argv);
	}
	return false;
}
