/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the model: what the manual says that one access does, from the control registers and the tables in memory. It shares no code
 * with anything that it judges, Scrim or this guest's own tables.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Where an emulator is known to do otherwise than the manual says. Held both ways: the model follows those that it is told
 * of and says where it met one, so one that has gone away is a difference, and one that is never met shows, too.
 */
enum model_quirk {
	QUIRK_RESERVED_WITHOUT_P, /* a fault for a reserved bit has P clear in its error code. Manual: P set (APM 8.4.2) */
	QUIRK_TOP_GLOBAL_IGNORED, /* bit 8 of a PML4E or PML5E is ignored. Manual: must be zero (APM 5.3.3) */
	QUIRK_GIB_ACCESSED,       /* a 1 GiB leaf's accessed bit is set though the access faults. Manual: on access (APM 5.4.2) */
	QUIRK_PDPTE_ACCESSED,     /* PAE: sets the accessed bit in a PDPTE. Manual: that bit must be zero (APM 5.2.3) */
	QUIRK_PDPTE_LOW_IGNORED,  /* PAE: bits 1, 2 and 5 to 8 of a PDPTE are ignored. Manual: must be zero (APM 5.2.3) */
	QUIRK_PDPTE_LATE,         /* PAE: a PDPTE's reserved bits fault at the access. Manual: #GP at MOV CR3 (APM 5.2.3) */
	QUIRK_FAULT_UNMARKED,     /* sets no accessed bit in any entry where the access faults. Manual: in each that is read (APM 5.4.2) */
	QUIRK_LDT_NARROW,         /* LLDT in compatibility mode takes 32 bits of the base. Manual: 64 in long mode (APM 4.8.3) */
	QUIRK_HOLE_ONES,          /* what nothing answers reads as ones, else as zero. No manual says which */
	QUIRK_COUNT
};

#define QUIRKS_TCG ((1u << QUIRK_FAULT_UNMARKED) - 1)
#define QUIRKS_BOCHS (1u << QUIRK_TOP_GLOBAL_IGNORED | 1u << QUIRK_FAULT_UNMARKED | 1u << QUIRK_LDT_NARROW | 1u << QUIRK_HOLE_ONES)

#define QUIRK_NAMES                                                                                                    \
	{ "reserved-without-p", "top-global-ignored", "gib-accessed", "pdpte-accessed", "pdpte-low-ignored", "pdpte-late",     \
	  "fault-unmarked", "ldt-narrow", "hole-ones" }

struct model_cpu {
	uint32_t cr0, cr3, cr4;
	uint64_t efer;
	uint32_t physical_bits;
	bool gib_pages;
	uint32_t quirks; /* bit mask of those that this machine has */
	uint64_t identity_end; /* tables below it can be read here at their physical address; above it nothing answers */
};

struct model_access {
	uint64_t address;
	bool write, fetch, user;
	bool ac;       /* EFLAGS.AC */
	bool implicit; /* the CPU's own, for a user: a descriptor table */
};

#define MODEL_LEVELS_MAX 5

/* One entry that the walk reads. */
struct model_step {
	uint64_t at;
	uint32_t bytes;
	uint64_t before, after;
};

struct model_result {
	uint32_t vector; /* 0: no fault */
	uint32_t error;
	uint64_t cr2;
	uint64_t physical; /* where the access reaches, if there is no fault */
	uint32_t step_count;
	struct model_step steps[MODEL_LEVELS_MAX];
	uint32_t quirks; /* bit mask of those met */
};

void model_predict(const struct model_cpu *cpu, const struct model_access *access, struct model_result *result);
/* Whether MOV CR3 of what CR3 holds gives #GP, for what stands in PAE's top level. Where it does a walk is undefined until that is mended. */
bool model_refuses_pointers(const struct model_cpu *cpu);
