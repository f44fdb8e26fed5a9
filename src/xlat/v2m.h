/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides one CPU's tables from the OS's virtual addresses to machine addresses (V2M), for the hardware to walk in place of the OS's:
 * entries composed of the OS's tables (V2P) and P2M, loaded when the CPU misses them, forgotten no later than the architecture makes
 * a TLB forget them. Nothing here is shared between CPUs: an OS speaks to a TLB by the CPU's own instructions alone.
 *
 * Two back-ends use it. shadow keeps the tables of address spaces that the CPU has left, and inspects what the CPU uses of one when it comes
 * back to it, unless the OS says, with PCIDs, that nothing is to be flushed. vtlb is the same with a bound: of what is not global, V2M_KEPT_VTLB entries at most
 * outlive a load of CR3, the others are forgotten.
 */
#pragma once

#include "xlat/guest_mmu.h"
#include "xlat/v2m_links.h"

#define V2M_CONTEXTS 64u
#define V2M_KERNEL_SLOTS 256u
#define V2M_ENTRIES 512u
#define V2M_WAKE 256u /* see struct v2m */
#define V2M_KEPT_SHADOW UINT32_MAX
#define V2M_KEPT_VTLB 32768u

/* The world. `guest.page` and `frame` read the map without a lock: what they say holds until the caller's CPU answers a flush. */
struct v2m_port {
	struct guest_port guest;
	mfn_t (*frame)(void *context, gfn_t page, enum mem_access *access);
	/* The 2 MiB of P around `page` are at home, and may be written. */
	bool (*is_whole)(void *context, gfn_t page);
	/* Outside of every portion: at home for good. */
	bool (*is_locked)(void *context, gfn_t page);
	bool (*is_ram)(void *context, gfn_t page);
	struct v2m_links *links; /* zeroed at first */
	void *context;
};

struct v2m_counters {
	uint64_t loads;     /* leaf entries composed with P2M */
	uint64_t copied;    /* leaf entries that are the OS's as they stand: there P2M has nothing to say */
	uint64_t evictions; /* tables given up for room */
	uint64_t flushes;   /* on the OS's word: loads of CR3, INVLPG, INVPCID */
	uint64_t synced;    /* entries inspected on return to an address space */
	uint64_t links_made; /* links to the OS's own tables made */
	uint64_t links_met;  /* links met on return to an address space: what is below them is not inspected */
	uint64_t wakes;     /* tables that were not inspected until the CPU came to them again */
	uint64_t returns;   /* loads of CR3 that flushed nothing, to an address space that nobody had flushed: nothing of it is inspected */
};

struct v2m_page;

/* An address space, with its PCID: its root is kept while others run. */
struct v2m_context {
	uint64_t cr3, stamp;
	uint32_t root;
	bool trusted;    /* inspected, or empty, and its PCID not flushed since: v2m_contexts.c */
	bool has_global; /* has had global entries outside the upper half */
};

struct v2m {
	const struct v2m_port *port;
	uint64_t (*table)[V2M_ENTRIES];
	struct v2m_page *page;           /* what each table is */
	uint32_t (*chain)[V2M_ENTRIES];  /* of leaf entries in frames with the same hash: the next, + 1 */
	uint32_t (*source)[V2M_ENTRIES]; /* of leaf entries: the page of P behind them */
	uint32_t *head;
	uint32_t head_shift;             /* of a hash of 64 bits */
	uint32_t page_count, used, free;
	uint64_t machine;                /* machine address of table[0] */
	struct guest_cpu cpu;
	uint32_t kept;                   /* entries of an address space that a load of CR3 keeps, at most */
	uint32_t wake;                   /* entries whose inspection costs as much as an exit and a walk of the OS's tables: v2m_use.c */
	bool running;                    /* between start and stop */
	struct guest_paging paging;      /* the OS's own registers */
	uint32_t levels;                 /* of these tables: 3 (PAE's format), 4 or 5 */
	uint64_t reserved;               /* bits that no entry of the OS's may have */
	uint64_t same;                   /* bits in which an entry of the lowest level agrees with the OS's that it was composed of */
	struct v2m_context context[V2M_CONTEXTS];
	uint32_t context_count, current;
	uint8_t hint[V2M_CONTEXTS];      /* by address of the OS's root: where its context was last */
	uint32_t kernel[V2M_KERNEL_SLOTS]; /* upper half: one subtree per root entry for all contexts, + 1 */
	uint32_t local;                  /* kernel tables with entries that are not global, linked */
	uint32_t hand;                   /* where eviction goes on */
	uint64_t clock;
	uint64_t changes;                /* entries that inspection has found to be others than the OS's, ever */
	uint32_t number;                 /* the CPU's */
	uint32_t link_count;             /* links that are here now */
	struct v2m_offer offer[V2M_OFFERS];
	uint32_t offer_count;
	uint64_t offered_at;             /* count.flushes of the first */
	bool flush;                      /* the CPU's TLB and paging-structure caches may hold what is here no more */
	struct v2m_counters count;
};

/* How many tables fit into so many bytes. */
uint32_t v2m_tables(uint64_t bytes);

/* Makes an empty one in `memory`, page-aligned and zeroed, whose machine address is `machine`. */
struct v2m *v2m_make(void *memory, uint64_t bytes, uint64_t machine, const struct v2m_port *port,
		     const struct guest_cpu *cpu);

/* Begins with nothing loaded, from the OS's registers (paging on, CR0.WP set). v2m_root() is then what CR3 has to be. */
void v2m_start(struct v2m *v2m, const struct guest_paging *paging, uint32_t kept);
/* Every table is given up. */
void v2m_stop(struct v2m *v2m);
uint64_t v2m_root(const struct v2m *v2m);

enum v2m_outcome {
	V2M_AGAIN,  /* loaded: the access is to be made again */
	V2M_FAULT,  /* the OS's: *error */
	V2M_WAIT,   /* `wait` is absent, or (wait_write) has to be made writable first */
};

struct v2m_answer {
	uint32_t error;
	gfn_t wait;
	bool wait_write;
	bool replaced; /* V2M_AGAIN: an entry for this address was there: the TLB may have it */
};

/* The CPU has met no entry that allows this access. */
enum v2m_outcome v2m_miss(struct v2m *v2m, const struct guest_access *access, struct v2m_answer *answer);

/* MOV CR3: from now on `cr3`, whose bit 63 counts where CR4.PCIDE is set. Everything that the architecture flushes is looked at, or gone. */
void v2m_load_cr3(struct v2m *v2m, uint64_t cr3);

/* Where the CPU finds `linear` now, if these tables have it. */
bool v2m_find(const struct v2m *v2m, uint64_t linear, uint64_t *machine);

/* INVLPG. True: there was an entry. */
bool v2m_invalidate(struct v2m *v2m, uint64_t linear);

/* INVPCID (SDM vol. 2): its types. */
enum v2m_invpcid {
	V2M_INVPCID_ADDRESS,    /* of one PCID, one address */
	V2M_INVPCID_PCID,       /* of one PCID, all */
	V2M_INVPCID_ALL_GLOBAL, /* of all PCIDs, all */
	V2M_INVPCID_ALL,        /* of all PCIDs, all that is not global */
	V2M_INVPCID_TYPES
};

/* INVPCID; what the type does not use of `pcid` and `linear` is not looked at. True: there was an entry for `linear`. */
bool v2m_invpcid(struct v2m *v2m, enum v2m_invpcid type, uint32_t pcid, uint64_t linear);

/* Tables are on offer to be linked, enough of them or for long enough: v2m_links_guard(). */
bool v2m_links_are_due(const struct v2m *v2m);

/* `page` leaves `frame`, or its link is broken. */
struct v2m_gone {
	gfn_t page;
	mfn_t frame;
};

/* Nothing here leads to what is gone afterwards. The caller flushes the CPU's TLB. */
void v2m_forget(struct v2m *v2m, const struct v2m_gone *gone, uint32_t count);

/* Everything loaded is forgotten, tables and all; the address space stays. */
void v2m_forget_all(struct v2m *v2m);
