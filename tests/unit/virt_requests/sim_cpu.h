/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the memory and the CPUs of the simulated machine ask of each other. */
#pragma once

#include "sim.h"

/* The table at this machine address. Fails where there is none. */
uint32_t sim_table_slot(uint64_t address);

/* Fails when a CPU has walked this table since it was last flushed, and translates. */
void sim_assert_not_held(uint32_t slot);

/* CPUs as at power-on; the first `count` are started and arrive. */
void sim_cpus_reset(bool holds_init);
void sim_cpus_arrive(uint32_t count);
