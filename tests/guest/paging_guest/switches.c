/* SPDX-License-Identifier: BSD-2-Clause */
/* From each mode to each, and accesses without paging, which nothing forbids. */
#include "paging.h"

static void use_here(void)
{
	uint64_t page = mode_now() == MODE_FLAT ? address_of(&arena.frames[0]) : mode_address();

	if (mode_now() != MODE_FLAT)
		mode_make_path(1, ENTRY_ALL);
	for (uint32_t controls = 0; controls <= CONTROL_ALL; controls += 5) {
		mode_set_controls(controls);
		for (uint32_t kind = 0; kind < PROBE_COUNT; kind++)
			probe_page((enum probe_kind)kind, page);
	}
	mode_set_controls(0);
}

void switches_run(void)
{
	probe_group_begin("switches");
	for (uint32_t from = 0; from < MODE_COUNT; from++)
		for (uint32_t to = 0; to < MODE_COUNT; to++) {
			if (!mode_is_there((enum mode)from) || !mode_is_there((enum mode)to))
				continue;
			mode_enter((enum mode)from);
			use_here();
			mode_enter((enum mode)to);
			use_here();
		}
	mode_enter(MODE_FLAT);
	probe_group_end();
}
