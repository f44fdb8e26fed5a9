/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the validation of portions: ranges that a user names, held to what Scrim says of the machine. */
#pragma once

#include "ranges.h"

/*
 * Whether each range is page-aligned, overlaps none of the others, and is all of it RAM of the OS's. False after a
 * complaint, in which `verb` is refused; nothing has been changed.
 */
bool portion_check_ram(const struct session *session, const char *verb, const struct range_list *ranges) MUST_CHECK;

/* The same, and whether all of each range is managed now. */
bool portion_check_managed(const struct session *session, const char *verb,
			   const struct range_list *ranges) MUST_CHECK;
