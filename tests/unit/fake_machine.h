/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides a simulated machine behind mem_port.h that exposes mistakes: RAM with contents, tables with large entries,
 * CPUs with TLBs and write buffers, and devices that write by machine address, at random points between and inside the
 * engine's calls. A store waits in its CPU's buffer, with the frame that it was translated to, until the buffer is full,
 * or at random, or at the latest until that CPU answers a flush. A CPU in an exit translates by the engine's own map,
 * without the lock, and keeps what it found until it answers a flush. The first mistake is kept in `fault`, in words,
 * and the machine goes on.
 *
 * What it finds: a CPU reading other than was written; a store that ends in a frame which is no longer its page's; a
 * device that writes a page which is not at home; a copy from a frame that a CPU may still write, or to one that it may
 * still reach; a page made present in a frame that a TLB still holds for another page, that is occupied (shared: that
 * somebody may write), or whose contents are not the page's; one made present that was not absent over a flush; map_set
 * without map_prepare; map_release of a chunk that is not all at home; a table page asked for while one that was given
 * up may still be walked; a table page freed twice; a leaf of the map freed that a CPU in an exit may be reading.
 */
#pragma once

#include "mem/mem.h"

#define FAKE_CHUNK          512u /* pages to a large entry */
#define FAKE_CHUNKS         10u
#define FAKE_PAGES          (FAKE_CHUNKS * FAKE_CHUNK)
#define FAKE_RESERVE_FIRST  1800u /* first frame of the boot reserve: not at a word of the bitmap, nor at a chunk */
#define FAKE_RESERVE_FRAMES 300u
#define FAKE_WORDS          2u /* of contents that a frame has */
#define FAKE_CPUS           3u
#define FAKE_TLB            6u
#define FAKE_STORES         3u /* of a write buffer */
#define FAKE_HOT            8u /* pages that the engine dealt with last; CPUs prefer them */
#define FAKE_LEAVES         32u /* of the map and of the reverse */

/* A translation, in a table or in a TLB. */
struct fake_entry {
	uint64_t page, frame;
	uint64_t pages; /* 1 or FAKE_CHUNK; 0: empty */
	enum mem_access access;
};

/* A store that a CPU has made and nobody else has seen. */
struct fake_store {
	uint64_t page, frame, word, value;
};

struct fake_machine {
	const char *fault;
	uint64_t seed; /* state of the random numbers; never 0 */

	uint64_t frame[FAKE_PAGES][FAKE_WORDS];
	uint64_t wrote[FAKE_PAGES][FAKE_WORDS]; /* what the OS wrote last, by page */
	uint64_t values;        /* CPUs write numbers below this, so that pages become equal; 0: any */
	bool is_ram[FAKE_PAGES];
	bool is_offline[FAKE_PAGES]; /* lent: the OS does not touch it */
	uint16_t device_page[FAKE_PAGES]; /* RAM that devices write */
	uint32_t device_pages;
	struct range_list ram, dma_free;

	struct fake_entry *table[FAKE_CHUNKS]; /* FAKE_CHUNK entries, or NULL: one large entry, Identity */
	bool prepared[FAKE_PAGES];
	uint64_t absent_at[FAKE_PAGES]; /* flushes before this page was made absent */
	uint32_t holders[FAKE_PAGES]; /* pages of RAM present in this frame */
	uint32_t writers[FAKE_PAGES]; /* of these, who may write */
	uint32_t given_up;            /* table pages that a CPU may still walk */
	struct fake_entry tlb[FAKE_CPUS][FAKE_TLB];
	struct fake_store store[FAKE_CPUS][FAKE_STORES]; /* oldest first */
	uint32_t stores[FAKE_CPUS];
	uint64_t hot[FAKE_HOT];
	uint32_t hot_next;

	const struct mem *mem;   /* the engine, where the reading of its map is simulated too */
	void *leaf[FAKE_LEAVES]; /* pages out by table_alloc */
	bool read[FAKE_LEAVES];  /* found in the map since the last flush */
	uint32_t fail_at;        /* this table_alloc or map_prepare fails, once: 1 = the next; 0 = none */
	bool flush_broken;       /* flush forgets the last CPU */
	uint64_t accesses, allocations, flushes, copies, late; /* late: stores that waited for a flush */
	uint64_t waits;                                        /* accesses that met an absent page */
};

extern const struct mem_port_ops fake_machine_ops;

/* RAM filled, tables all Identity, TLBs empty. `seed` not 0. */
void fake_machine_start(struct fake_machine *machine, uint64_t seed);

/* A configuration of the engine for this machine; `storage` comes from malloc and is the caller's to free. */
struct mem_config fake_machine_config(struct fake_machine *machine);

/* RAM filled anew, with numbers below `values`, which is what CPUs write from now on. Everything is at home. */
void fake_machine_fill(struct fake_machine *machine, uint64_t values);

/* One CPU reads or writes one page of RAM. */
void fake_machine_access(struct fake_machine *machine);

/* The OS takes pages [first, last) offline, or has them back, with whatever their frames hold. */
void fake_machine_offline(struct fake_machine *machine, uint64_t first, uint64_t last);
void fake_machine_online(struct fake_machine *machine, uint64_t first, uint64_t last);

/* Every page of RAM that is present holds what was written, seen through the tables. */
void fake_machine_verify_present(struct fake_machine *machine);

/* That none is absent, too, and what else should hold between operations. */
void fake_machine_verify(struct fake_machine *machine);

/*
 * Makes at most `limit` moves home (and SCRIM_BATCH_MAX), in as many batches as it takes. Returns the number of pages still
 * displaced.
 */
uint64_t fake_bring_home(struct mem *mem, uint32_t limit, struct mem_moved *moved);

/* Leaves and split chunks out at this moment. */
uint32_t fake_machine_leaves(const struct fake_machine *machine);
uint32_t fake_machine_split_chunks(const struct fake_machine *machine);

/* Frees what the machine allocated (leaves that the engine did not free, too). */
void fake_machine_stop(struct fake_machine *machine);

/* A random number, and one below `limit`. */
uint64_t fake_random(uint64_t *seed);
uint64_t fake_random_below(uint64_t *seed, uint64_t limit);
