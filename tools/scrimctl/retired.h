/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what retired frames leave behind a homecoming: pages that stay away, and portions that stay managed for them. */
#pragma once

#include "ranges.h"

/* Whether what is still managed in `range` is nothing but the 2 MiB around retired frames; true as well where nothing is. */
bool retired_explain(const struct range_list *retired, const struct range_list *managed, const struct range *range) MUST_CHECK;

/* Says what stays managed in `range` for the sake of retired frames there, if anything does. */
void retired_report(const struct session *session, const struct range_list *retired, const struct range_list *managed,
		    const struct range *range);
