/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides tests of what several CPUs ask at the same time, turn by turn, and of a machine without frames to spare. */
#pragma once

void test_portion_meets_manage(void **unused);
void test_waiter_comes_first(void **unused);
void test_copies_side_by_side(void **unused);
void test_share_without_reserve(void **unused);
void test_late_for_a_meeting(void **unused);
void test_writes_wait(void **unused);
