/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the one interface of the translation back-ends: what stands between the OS's physical addresses and the machine.
 * `native` is a back-end like the others: the absence of translation is the promise, not a special case.
 */
#pragma once

#include "base/addr.h"
#include "base/err.h"
#include "base/memory_type.h"
#include "mem/mem_port.h"

struct xlat;

/* Pages for tables, and the one place where machine addresses become pointers. */
struct xlat_port {
	void *(*table_alloc)(void *context); /* zeroed 4 KiB, or NULL */
	void (*table_free)(void *context, void *page);
	uint64_t (*machine_of)(void *context, const void *page);
	void *(*page_of)(void *context, uint64_t machine);
	/* Called for what has been written to tables, before anything leads there: for hardware that walks past the caches. NULL: none does. */
	void (*wrote)(void *context, const void *at, uint64_t bytes);
	/*
	 * Type of all machine memory in [start, start + bytes), a power of two and aligned to it; MEMORY_MIXED: it has no such entry. For formats
	 * whose leaves say it.
	 */
	enum memory_type (*memory_type)(void *context, uint64_t start, uint64_t bytes);
	/* What the map lets CPUs do with a page: for xlat_protect.h alone. */
	enum mem_access (*access)(void *context, gfn_t page);
	void *context;
};

/*
 * What entries look like. The same everywhere: pages of 512 entries, nine bits of the address a level, the address of what comes next in
 * bits 12 to 51.
 */
struct xlat_format {
	uint64_t present; /* an entry without any of these is absent, whatever else it says */
	uint64_t write;   /* the right to write: of every entry on the way */
	uint64_t table;   /* an entry that leads to a table */
	uint64_t leaf;    /* one that maps, with all rights */
	uint64_t large;   /* the same above the lowest level: and these */
	uint64_t type;    /* a leaf says here which type of memory it leads to; 0: the hardware knows by itself */
	/*
	 * 0: every step of a walk goes down a level, and above the lowest an entry without `large` leads to a table. Else an entry says where it
	 * leads: to a table of level n where n times this is added to it, n at most 7, and nowhere with n = 0.
	 */
	uint64_t next_level;
	uint64_t apart_start, apart_end; /* within 2 MiB; has entries of 4 KiB from the start */
	bool apart_is_hole;              /* and nothing is mapped there */
	/*
	 * Who walks these tables cannot be made to wait, and may meet two sizes of one translation: an entry changes its size in place, in one
	 * store, to the same translation. prepare() does it; set() is one store then, and needs no lock.
	 */
	bool in_place;
};

struct xlat_ops {
	enum scrim_backend id;
	const char *name;
	/* Builds the Identity translation. False: no memory, nothing kept. */
	bool (*build)(struct xlat *xlat);
	/* Gives every table back. */
	void (*drop)(struct xlat *xlat);
	/* As mem_port.h's functions map_*; where entries change in place, hide() is never called. */
	bool (*prepare)(struct xlat *xlat, gfn_t page);
	void (*set)(struct xlat *xlat, gfn_t page, mfn_t frame, enum mem_access access);
	void (*hide)(struct xlat *xlat, const struct mem_move *move, uint32_t count);
	void (*show)(struct xlat *xlat, const struct mem_move *move, uint32_t count);
	void (*release)(struct xlat *xlat, gfn_t page);
	bool (*get)(const struct xlat *xlat, gfn_t page, mfn_t *frame, enum mem_access *access);
	/*
	 * [start, end) (bytes) is all Identity again and stays so. merge_begin makes entries absent that can be large again, true if
	 * there are any; merge_end, behind a flush, makes them large and gives their tables back. No batch is in flight.
	 */
	bool (*merge_begin)(struct xlat *xlat, uint64_t start, uint64_t end);
	void (*merge_end)(struct xlat *xlat, uint64_t start, uint64_t end);
	/*
	 * Merges what release() left split and gives those tables back, so that the memory used is again what build() took.
	 * Only while nobody walks these tables: nothing is flushed.
	 */
	void (*tidy)(struct xlat *xlat);
};

struct xlat {
	const struct xlat_ops *ops;
	const struct xlat_format *format;
	struct xlat_port port;
	uint64_t root;        /* machine address for the hardware; 0: not built, the hardware has the OS's CR3 alone */
	uint64_t table_count; /* pages in use, spare ones included */
	uint64_t built_count; /* of these, what build() took */
	uint64_t *near;       /* the short way to tables of 4 KiB entries that are linked (xlat_nested.c), by 2 MiB; 0: look for it */
	uint64_t near_count;  /* 0: always look */
	void *spare;          /* pages that prepare() took and set() has not used yet, linked by their first word */
	uint32_t spare_count, promised; /* of these, for pages that are prepared and not set yet */
	uint32_t address_bits;/* MAXPHYADDR */
	bool has_1g;          /* the hardware has 1 GiB leaves */
	/* Entries that are larger than a memory type range would be of undefined type; 0 where none starts or ends. */
	const uint64_t *boundary;
	uint32_t boundary_count;
	/* What is not mapped at all, whatever the format says: whole 2 MiB, none of it ever a page of the map's; 0, 0: nothing. */
	uint64_t hole_start, hole_end;
};

extern const struct xlat_ops xlat_native;
extern const struct xlat_ops xlat_nested;
