/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the memory engine's port (mem/mem_port.h): the back-end, Scrim's table pages, the machine's memory, kicks. */
#pragma once

#include "virt/machine.h"

/* Its context is machine.xlat. */
extern const struct mem_port_ops port_ops;

/* Pages for tables as the back-ends want them. */
extern const struct xlat_port port_tables;

/* The CPU in whose exit the engine runs from here on: a flush is its own and a kick of all others. Machine lock held. */
void port_run_on(struct cpu *self);

/* While all CPUs meet in Scrim nobody has to be kicked: each flushes as it leaves. Machine lock held. */
void port_others_are_here(bool here);

/* TSC ticks that one copy of a page takes now. Boot, or machine lock held. */
uint64_t port_copy_tsc(void);
