/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the parts of the paging test guest to each other: a kernel that makes every access that page tables can allow or forbid, in
 * every paging mode, and holds what happens against a model (model.h).
 *
 * Its log on COM1 is the same with Scrim and without, on every back-end, but for lines that begin with "drive: ".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernel/console.h"
#include "../kernel/insn.h"
#include "model.h"

#define PAGE_SIZE 4096u
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n) (1ull << (n))

#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_PGE (1u << 7)
#define CR4_LA57 (1u << 12)
#define CR4_PCIDE (1u << 17)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define MSR_EFER 0xc0000080u
#define EFER_LME (1u << 8)
#define EFER_NXE (1u << 11)

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_THROUGH BIT(3)
#define ENTRY_UNCACHED BIT(4)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_GLOBAL BIT(8)
#define ENTRY_NX BIT(63)
#define ENTRY_ALL (ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER)

/* --- modes.c: paging modes, their tables, the controls that can be changed in them ----------------------------------- */

enum mode { MODE_FLAT, MODE_TWO, MODE_PSE, MODE_PAE, MODE_FOUR, MODE_FIVE, MODE_COUNT };

enum {
	CONTROL_WP = 1,
	CONTROL_SMEP = 2,
	CONTROL_SMAP = 4,
	CONTROL_NXE = 8,
	CONTROL_ALL = 15,
};

/* Each mode's test address has a table of its own on each level below the root. */
struct mode_shape {
	const char *name;
	uint32_t levels;
	uint32_t entry_bytes;
	uint64_t region; /* the first GiB of addresses that no table of the guest's own is in the way to */
};

union table {
	uint64_t wide[512];
	uint32_t narrow[1024];
	uint8_t bytes[PAGE_SIZE];
};

#define FRAMES 4u

/* What is displaced and shared again and again while cases run: tables and frames, one page each. */
struct arena {
	union table roots[MODE_COUNT];
	union table own_narrow[2], own_wide[4]; /* last level, Identity, of the guest's own */
	union table own_directory, own_pointers, own_top;
	union table test[MODEL_LEVELS_MAX + 1]; /* by level */
	union table spare[MODEL_LEVELS_MAX];
	union table frames[FRAMES];
};

extern struct arena arena;
extern const struct mode_shape mode_shapes[MODE_COUNT];
extern uint8_t image_start[], image_end[], user_page[];

void modes_load_gdt(void);
void modes_start(uint32_t quirks);
bool mode_is_there(enum mode mode);
/* From any mode, by way of none. Controls are all off. */
void mode_enter(enum mode mode);
enum mode mode_now(void);
bool mode_is_long(void);
void mode_set_controls(uint32_t controls);
uint32_t mode_controls(void);
/* As the model wants it. Whoever writes a control register himself has it read anew. */
const struct model_cpu *mode_cpu(void);
void mode_read_cpu(void);
/* The address where the first frame appears by the test tables of this mode, whatever the size of the page. */
uint64_t mode_address(void);
/* The entry of a level in the way to an address, by the test tables; writing does not flush. */
uint32_t mode_index(uint64_t address, uint32_t level);
uint64_t table_get(const union table *table, uint32_t index);
void table_set(union table *table, uint32_t index, uint64_t value);
union table *mode_table(uint32_t level);
/* What an entry of this level has to hold, without flags, to lead to the next test table or, large or last, to the first frame. */
uint64_t mode_base(uint32_t level, bool leaf);
bool mode_may_be_large(uint32_t level);
/* Empties the test tables, then leads to the first frame by a leaf on this level, with these flags on all levels. */
void mode_make_path(uint32_t leaf, uint64_t flags);
/* INVLPG; where the tables' top is PAE's, MOV CR3, which alone reloads it. */
void mode_flush(uint64_t address);
void mode_set_ldt(uint64_t address);
/* The last level of the guest's own Identity map: the entry of an address below 4 MiB. */
void mode_map_own(const void *address, uint64_t flags);

/* --- probe.c: one access, held against the model ---------------------------------------------------------------------- */

enum probe_kind {
	PROBE_READ,
	PROBE_WRITE,
	PROBE_FETCH,
	PROBE_READ_AC,
	PROBE_WRITE_AC,
	PROBE_USER_READ,
	PROBE_USER_WRITE,
	PROBE_USER_FETCH,
	PROBE_USER_IMPLICIT,
	PROBE_COUNT,
	PROBE_LOAD_CR3 = PROBE_COUNT, /* no access of its own; nor have these: the descriptor is at the address, or invpcid_descriptor; the value is the type */
	PROBE_INVPCID,
	PROBE_INVPCID_RIP
};

/* In every frame: what the kinds of access are made at. */
#define OFFSET_DATA 0x010u
#define OFFSET_LDT  0x400u
#define OFFSET_CODE 0x800u

/* A word of its own for each frame, a descriptor, and an instruction that comes back. */
void probe_fill_frames(void);
/* One access of a kind to a page, at the place for its kind. Returns whether there was no fault. */
bool probe_page(enum probe_kind kind, uint64_t page);
/* The entries that the last access read, as the model has it. */
uint32_t probe_steps(void);
/* Data at this very address; what is written is the value. */
bool probe_read(uint64_t address);
bool probe_write(uint64_t address, uint32_t value);
/* After an entry has become more permissive, without a flush: one spurious fault is right as well (APM vol. 2, 5.5.2). */
void probe_page_lenient(enum probe_kind kind, uint64_t page);
/* Without the model. Returns the vector, 0 for none; the rest is in seen_*. */
uint32_t probe_raw(enum probe_kind kind, uint64_t address, uint32_t value);
/* What is seen beside: counted and hashed as a case. */
void probe_expect(const char *what, uint64_t seen, uint64_t expected);
void probe_group_begin(const char *name);
void probe_group_end(void);
void probe_unexpected(void);
/* Prints the end. True: none differs. */
bool probe_verdict(void);
/* Every so many cases; 0: never. */
void probe_disturb_every(uint32_t cases);

/* --- groups: each runs its cases in the mode that is on --------------------------------------------------------------- */

/* Every `thin`th combination is made. */
void flags_run(uint32_t thin);  /* flags.c: entries, rights, reserved bits, at random */
void tables_run(void);          /* tables.c: what an OS does with tables: flushes, aliases, tables that map themselves, splits */
void storm_run(void);           /* storm.c: many pages, changed at random */
void pointers_run(void);        /* pointers.c: CR3, PAE's top level, addresses */
void switches_run(void);        /* switches.c: from each mode to each */
void pcids_run(void);           /* pcids.c: PCIDs and INVPCID, in 64-bit modes, where they are there */
bool pcids_are_there(void);

/* --- second.c: a second CPU, which changes entries that are in use ---------------------------------------------------- */

/* Without paging, before memory is virtualized. */
void second_start(void);
bool second_is_there(void);
/* The second CPU visits Scrim. Returns how many CPUs are left. */
uint64_t second_visit(void);
void second_run(void);

/* --- drive.c: Scrim, by its control port ------------------------------------------------------------------------------ */

enum drive_backend { DRIVE_NONE, DRIVE_NESTED, DRIVE_SHADOW, DRIVE_VTLB, DRIVE_BACKENDS };

/* Memory is virtualized with this back-end, or stays as it is. */
void drive_begin(enum drive_backend backend);
void drive_end(void);
/* What drive_disturb() does from now on. */
enum drive_disturbance { DISTURB_NOT, DISTURB_SCATTER, DISTURB_SHARE };
void drive_set_disturbance(enum drive_disturbance disturbance);
void drive_disturb(void);

/* entry.S */
extern uint32_t entry_ebx;
extern uint32_t probe_kind, probe_value, seen_vector, seen_error, seen_value;
extern uint64_t probe_address, seen_rip, seen_cr2;
extern const uint32_t probe_sites32[PROBE_COUNT], probe_sites64[PROBE_COUNT];
void probe_run32(void);
void probe_run64(void);
void invlpg64(void);
void cr3_load64(void); /* of probe_address */
extern uint64_t invpcid_descriptor[2];
void paging_main(void);

/* By code that is not of 64 bits. */
static inline void invpcid_write(uint32_t type, const uint64_t descriptor[2])
{
	__asm__ volatile("invpcid (%0), %1" ::"r"(descriptor), "r"(type) : "memory");
}

static inline uint32_t address_of(const volatile void *pointer)
{
	return (uint32_t)(uintptr_t)pointer;
}
