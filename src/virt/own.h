/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides Scrim's own memory, one block at the top of low RAM that the OS never sees:
 *
 *   own_start                                                                          own_end
 *   | image | CPUs: stacks, VMCBs, host save areas | maps | table pool | table reserve | free frames |
 *   '------------------------ fixed part ----------------------------' '-------- reserve= ----------'
 *
 * The fixed part is handed out once at boot and never given back; table pages are taken and given back at run time.
 */
#pragma once

#include "base/types.h"

struct own_demand {
	uint64_t image_bytes;
	uint64_t fixed_bytes;   /* all that own_alloc() will hand out */
	uint64_t fixed_tables;  /* pages: the Identity root */
	uint64_t reserve_bytes; /* reserve=: tables and frames for displaced pages */
};

/* Of reserve= an eighth, at least this much, is for tables; the rest is free frames. */
#define OWN_RESERVE_TABLE_BYTES_MIN KIB(256)

/* Bytes of the whole block, a multiple of 2 MiB so that the OS's large pages around it stay large. */
uint64_t own_bytes(const struct own_demand *demand);

/* Lays the block out at [start, end); the image lies at its start already. */
void own_init(uint64_t start, uint64_t end, const struct own_demand *demand);

/* Zeroed, page-aligned. Panics when the demand was understated: a bug. Boot only. */
void *own_alloc(uint64_t bytes);

/* One zeroed 4 KiB page for a table, or NULL. Machine lock held, or boot. */
void *own_table_alloc(void);
void own_table_free(void *page);

/* A piece of the image that only the boot needed, or no machine like this one, page-aligned, is for tables from now on. At its end. */
#define OWN_PIECES_MAX 2u
void own_give_boot_memory(uint8_t *start, uint8_t *end);

/* It came from own_table_alloc(). */
bool own_is_table(const void *page);

/* The free frames: machine addresses. After own_init(). */
uint64_t own_frames_start(void);
uint64_t own_frames_end(void);

/* Frames that a reserve= of this size makes. */
uint64_t own_reserve_frames(uint64_t reserve_bytes);
