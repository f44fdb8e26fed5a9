/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides AMD IOMMUs as their specification has them (48882, rev. 3.00), at their least obliging: they take commands one by one and late,
 * cache every entry of the device table and of page tables, and all sizes of translations, forget nothing that they need not, and read the tables past the
 * CPUs' caches if told to. Devices behind them are never at rest: between any two accesses to a register they read and write.
 */
#pragma once

#include "boot_bytes.h"
#include "iommu/amdvi.h"
#include "iommu/amdvi_unit.h"
#include "xlat/xlat.h"

#define SIM_UNITS 2u
#define SIM_REGISTERS 0xfd200000ull
#define SIM_STRIDE 0x80000ull
#define SIM_TABLES 64u
#define SIM_HOT 16u

enum sim_fault {
	SIM_OBEYS = 0,
	SIM_DEAF,        /* is never on */
	SIM_STUBBORN,    /* is never off */
	SIM_STUCK,       /* takes no command */
	SIM_MISREADS,    /* finds a command illegal */
};

struct sim_config {
	bool has_all;    /* INVALIDATE_IOMMU_ALL */
	bool past_cache; /* tables are read past the caches */
	bool late;       /* events come after what tells of them */
};

/* Memory of the machine: what amdvi_take() gets, and pages for tables. */
extern uint8_t sim_memory[];

void sim_reset(const struct sim_config *config);
void sim_set_fault(uint32_t unit, enum sim_fault fault);

/* As firmware may leave it: on, with a device table of its own that leads nowhere any more, all of it cached. */
void sim_leave_on(uint32_t unit);

/* Its PCI function's capability block and extended features, for the probe; a function without a unit. */
void sim_set_capability(uint32_t word, uint64_t features);
void sim_set_function(uint16_t id, uint16_t class);

/* The port for tables. Those that are given back are filled with what no walk survives. */
extern const struct xlat_port sim_port;
uint32_t sim_tables_out(void);

/* Pages that devices use, and where they may find them: there, or where they were a moment ago. */
struct sim_hot {
	uint64_t page, frame, old_frame;
};

extern struct sim_hot sim_hot[SIM_HOT];

/* Devices at work: all of them, so many times. */
void sim_run(uint32_t times);

/* True when the unit translates nothing, and runs neither ring. */
bool sim_is_off(uint32_t unit);

/* Fails where any cache of the unit has what no table says any more. */
void sim_check_caches(uint32_t unit);

/* The unit has refused an access; returns false where its log has no room. */
bool sim_log(uint32_t unit, uint16_t device, uint32_t code, uint64_t address);

/* True when `call` ends in a panic. */
bool sim_panics(void (*call)(void));

extern uint64_t sim_accesses, sim_translated, sim_commands;
