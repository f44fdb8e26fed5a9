/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides time from the TSC, its rate measured once against the PIT. */
#pragma once

#include "base/types.h"

/*
 * Measures the TSC over 10 ms of PIT channel 2, which it leaves stopped and silent. Returns ticks a second, 0 where there is no
 * PIT that counts.
 */
uint64_t delay_calibrate(void);

/* After delay_calibrate(). */
void delay_us(uint64_t microseconds);
uint64_t delay_tsc_hz(void);
