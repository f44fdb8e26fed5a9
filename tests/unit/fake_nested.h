/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a simulated CPU for tests of the nested back-end. It walks the tables as hardware does, at any moment (inside each
 * call of the port too), and keeps what it found in a TLB until it is flushed. Entries that are not present are never kept. It
 * complains of reserved bits, of memory types, of tables that were given back or that it may still walk when they are, and of two sizes for one
 * address in the TLB: break before make was not kept.
 */
#pragma once

#include "boot_bytes.h"
#include "xlat/xlat.h"

#define NESTED_TABLES_MAX 2048u
#define NESTED_TLB_ENTRIES 64u
#define NESTED_PAGES_HOT 96u
#define NESTED_BOUNDARIES 20u
#define NESTED_APIC 0xfee00000ull

struct nested_found {
	bool present, writable;
	uint64_t start, bytes, frame; /* of the whole leaf */
};

struct nested_hardware {
	const char *fault;
	uint8_t *table[NESTED_TABLES_MAX];
	bool held[NESTED_TABLES_MAX]; /* walked since the last flush: the CPU may have entries that lead there */
	uint32_t next, out;
	uint32_t fail_at; /* this table_alloc fails, once: 1 = the next; 0 = none */
	struct nested_found tlb[NESTED_TLB_ENTRIES];
	uint32_t tlb_next;
	bool running;
	bool eager;       /* walks hot addresses in every call of the port */
	uint64_t walks, hits;
};

extern struct nested_hardware hw;
extern struct random chance;
extern struct xlat xlat;
extern const uint64_t nested_boundaries[NESTED_BOUNDARIES];

/* --- the CPU --- */

/* What the tables say, as a walk of its own that is not kept. */
struct nested_found nested_walk(uint64_t address);

/* The CPU walks, and keeps what it finds. */
void nested_load_tlb(uint64_t address);

/* What the program on the CPU gets: by the TLB where it has the address, else by a walk. */
struct nested_found nested_access(uint64_t address);
void nested_flush(void);

/* The first address beyond what is translated. */
uint64_t nested_limit(void);

/* --- one machine --- */

/* The format is EPT's: memory has a type of its own between each two boundaries, which is all that the back-end is told of them. */
extern bool nested_is_ept;
/* How many boundaries there are. */
extern uint32_t nested_regions;
/* What the map says, to a test of rights; else nothing is asked. */
extern enum mem_access (*nested_map)(gfn_t page);
enum memory_type nested_type(uint64_t address);

void nested_prepare(uint32_t bits, bool has_1g, uint32_t boundaries);
void nested_build(uint32_t bits, bool has_1g, uint32_t boundaries);

/* Drops everything; nothing is left. */
void nested_end(void);
void nested_assert_no_fault(void);

/* The largest leaf that may be here: within one memory type, apart from the first 2 MiB and the APIC's page. */
uint64_t nested_expected_bytes(uint64_t address);
void nested_assert_identity(void);

/* What the back-end knows as the short way is where a walk comes to. */
void nested_assert_known(void);

/* No CPU translates: its TLB is empty before and after. All is as built. */
void nested_tidy(void);

/* --- pages that CPUs and tests prefer: hot[i] is in touched[i].frame --- */

struct nested_page {
	uint64_t frame;
	enum mem_access access;
	bool flushed; /* since it became absent */
};

extern uint64_t hot[NESTED_PAGES_HOT];
extern struct nested_page touched[NESTED_PAGES_HOT];
extern uint32_t hot_count;

void nested_add_hot(uint64_t address);
void nested_choose_hot(void);
uint64_t nested_hot_address(void);

/* get() tells what a walk finds. */
void nested_assert_get(uint64_t address);

void nested_flush_pages(void);
void nested_make_absent(uint32_t i);
void nested_make_present(uint32_t i, uint64_t frame, enum mem_access access);
uint64_t nested_some_frame(uint32_t i);

/* A program's access to hot[i] is right. */
void nested_check_access(uint32_t i);

/* One page absent, or present somewhere; a few accesses. */
void nested_step(void);

/* Every page present, somewhere; home, everywhere. */
void nested_settle(void);
void nested_bring_home(void);
