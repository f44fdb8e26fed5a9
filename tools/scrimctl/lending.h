/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides lending: how much of the OS's RAM is put offline and handed to Scrim for its free frames. */
#pragma once

#include "ranges.h"

/*
 * Lends or gives back whole blocks until `bytes`, rounded up to blocks, are lent. Refused or interrupted: after a
 * complaint, with as much lent as before, unless it says otherwise.
 */
enum exit_code lending_set(const struct session *session, uint64_t bytes) MUST_CHECK;
