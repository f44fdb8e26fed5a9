/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the memory of the fake machine: what is managed, displaced, shared and lent, and the OS's memory blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "blocks.h"
#include "scrim_abi.h"

#define FAKE_PAGES          400
#define FAKE_RANGES         16
#define FAKE_BLOCK_BYTES    0x8000000ull
#define FAKE_BLOCKS         72
#define FAKE_RAM_START      0x100000u
#define FAKE_RAM_END        0x240000000ull
#define FAKE_OWN_START      0x7e000000u
#define FAKE_OWN_END        0x80000000u
#define FAKE_DMA_FREE_START 0x20000000u
#define FAKE_SHARED         0x4000000u
#define FAKE_FRAME          0x7f000000u

struct fake_ranges {
	struct range items[FAKE_RANGES];
	unsigned count;
};

/* A sweep over [at, end): SCATTER or SHARE, or neither. */
struct fake_sweep {
	uint64_t at, end;
	enum scrim_op begun; /* 0: only aimed */
	bool aimed;
	uint64_t fraction, pages;
};

struct fake_block {
	bool online, busy, movable, removable, stuck; /* busy: cannot go offline; stuck: cannot come online */
};

struct fake_memory {
	const struct range *ram; /* of the OS's */
	unsigned ram_count;
	struct fake_ranges managed, lent, retired;
	uint64_t sharers;           /* pages that are in each frame beside its own */
	uint64_t told_physical, told_machine; /* a machine check's address; 0: none */
	struct range remapping; /* empty: none */
	bool remap_all;
	uint64_t pages[FAKE_PAGES]; /* displaced */
	uint64_t displaced, shared, frames_free;
	uint64_t remap, reverse; /* as last asked for */
	uint64_t steps, pauses;  /* STEP and PAUSED that were served */
	struct fake_sweep sweep;
	bool frames_hold; /* lent frames hold pages */
	struct fake_block blocks[FAKE_BLOCKS];
};

void fake_memory_reset(struct fake_memory *memory);

bool fake_ranges_cover(const struct fake_ranges *ranges, struct range range);
void fake_ranges_add(struct fake_ranges *ranges, struct range range);
void fake_manage_all(struct fake_memory *memory);
uint64_t fake_pages_of(const struct fake_ranges *ranges);

/* The operations, once the state allows them: a status. */
uint32_t fake_devirtualize(struct fake_memory *memory, uint64_t start, uint64_t end, bool *home);
uint32_t fake_step(struct fake_memory *memory, uint64_t pages, bool *home);
uint32_t fake_move(struct fake_memory *memory, uint64_t page, uint64_t *frame);
uint32_t fake_manage(struct fake_memory *memory, uint64_t start, uint64_t end);
uint32_t fake_aim(struct fake_memory *memory, uint64_t start, uint64_t end);
uint32_t fake_begin_sweep(struct fake_memory *memory, enum scrim_op op, uint64_t fraction);
uint32_t fake_sweep_step(struct fake_memory *memory, enum scrim_op op, uint64_t pages, uint64_t result[2]);
uint32_t fake_lend(struct fake_memory *memory, uint64_t start, uint64_t end);
uint32_t fake_unlend(struct fake_memory *memory, uint64_t start, uint64_t end);
uint32_t fake_census(const struct fake_memory *memory, uint64_t start, uint64_t end, uint64_t result[2]);
uint32_t fake_retire(struct fake_memory *memory, uint64_t address, uint64_t result[2]);
uint32_t fake_machine_check(const struct fake_memory *memory, uint64_t index, uint64_t result[2]);
uint32_t fake_range(const struct fake_memory *memory, uint64_t index, uint64_t kind, uint64_t result[2]);
