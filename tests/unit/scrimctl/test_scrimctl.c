/* SPDX-License-Identifier: BSD-2-Clause */
/* scrimctl against a fake machine: one test program; the machine is in fake_vmm.c and fake_memory.c. */
#include <sys/mman.h>

#include "harness.h"

int main(void)
{
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake == MAP_FAILED)
		return 1;
	return tests_of_words() + tests_of_status() + tests_of_switch() + tests_of_portions() + tests_of_sweep() +
	       tests_of_lend() + tests_of_move() + tests_of_retire() + tests_of_killed() + tests_of_watchers() +
	       tests_of_snapshot() + tests_of_dirty();
}
