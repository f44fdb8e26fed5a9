/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the control interface between Scrim and programs that run in the OS: one I/O port, six registers.
 *
 * A request is one 32-bit IN from SCRIM_PORT (`inl %dx, %eax`). Registers, 32 bits wide in every mode, so that
 * 32-bit and 64-bit programs speak the same language and Scrim never touches a caller's memory, but for IMAGE_READ, which says how:
 *
 *          in                                      out
 *   eax    SCRIM_REQUEST(op)                       enum scrim_status
 *   ebx    argument 0, bits 0-31                   result 0, bits 0-31
 *   ecx    argument 0, bits 32-63                  result 0, bits 32-63
 *   esi    argument 1, bits 0-31                   result 1, bits 0-31
 *   edi    argument 1, bits 32-63                  result 1, bits 32-63
 *   edx    SCRIM_PORT (dx)                         kept
 *
 * On success the upper halves of the 64-bit registers are zeroed, as a 32-bit write does. On failure ebx, ecx, esi
 * and edi are unchanged, except where an operation below says otherwise. Where Scrim is not loaded nobody decodes the
 * port and the IN reads SCRIM_ABSENT. Every other access to the port (other sizes, OUT) acts like an undecoded port;
 * string I/O gets #GP. The right to the port (ioperm, iopl) is the OS's to give: the hardware checks it before Scrim sees
 * the request (AMD APM vol. 2, 15.10.1).
 */
#pragma once

#include <stdint.h>

#define SCRIM_ABI_VERSION 3u

/*
 * ISA range, decoded by no known device; below 0x400 so that no PCI bridge forwards it; aligned, so that one bus cycle carries
 * the access.
 */
#define SCRIM_PORT 0x1c4u

/* What the IN reads where Scrim is not loaded. */
#define SCRIM_ABSENT 0xffffffffu

/* "SC" in the upper half guards against a stray IN with a small number in eax. */
#define SCRIM_MAGIC 0x53430000u
#define SCRIM_REQUEST(op) (SCRIM_MAGIC | (uint32_t)(op))

enum scrim_status {
	SCRIM_OK = 0,
	SCRIM_EBADREQ,      /* no magic, or no such operation */
	SCRIM_EINVAL,       /* an argument is outside the range that the operation takes */
	SCRIM_ESTATE,       /* not in this state; result 0 = enum scrim_state now */
	SCRIM_ENOTRAM,      /* the address is not in the OS's RAM (hole, MMIO, firmware or Scrim's own memory) */
	SCRIM_EALIGN,       /* not page-aligned */
	SCRIM_EDMA,         /* a device may write there past the map: no IOMMU is driven, and the boot option dma-free= does not name it */
	SCRIM_ENOFRAME,     /* no free frame */
	SCRIM_ENOTABLE,     /* no memory for Scrim's own tables */
	SCRIM_EDISPLACED,   /* the page is already displaced */
	SCRIM_ECPU,         /* a CPU is outside Scrim, so that no page is moved; or did not come to a pause */
	SCRIM_EINVARIANT,   /* CHECK: an invariant does not hold; result 0 = enum scrim_violation, result 1 = an address */
	SCRIM_EWATCH,       /* a watch is on, so that the map does not change and no other watch begins */
	SCRIM_EFAULT,       /* the caller's buffer cannot be written where it is; write to it, and ask again */
	SCRIM_STATUS_COUNT
};

/* What the machine is in, as `status` shows it. */
enum scrim_state {
	SCRIM_GUARDED = 0, /* Identity map in use only to guard CPU start-up */
	SCRIM_NATIVE,      /* no map in the access path of any CPU */
	SCRIM_COMMENCING,  /* CPUs are switching to the Identity map, one after another */
	SCRIM_VIRTUALIZED, /* every CPU translates through the map; it may change */
	SCRIM_REMAPPING,   /* displaced pages are coming home; the map is locked against all else */
	SCRIM_CEASING,     /* the map is all-Identity and locked; CPUs are switching off */
	SCRIM_STATE_COUNT
};

enum scrim_op {
	/*
	 * VERSION: result 0 = SCRIM_ABI_VERSION, result 1 = Scrim's version as major << 16 | minor << 8 | patch.
	 * The only operation whose meaning never changes.
	 */
	SCRIM_OP_VERSION = 0,
	/* INFO(enum scrim_info): result 0 = the value. */
	SCRIM_OP_INFO,
	/* CPU_INFO(cpu index, enum scrim_cpu_info): result 0 = the value. */
	SCRIM_OP_CPU_INFO,
	/* CPU_EXITS(cpu index, enum scrim_exit): result 0 = exits of that cause on that CPU since boot. */
	SCRIM_OP_CPU_EXITS,
	/*
	 * RANGE(index, enum scrim_range): result 0 = start, result 1 = end (bytes, end excluded) of one range.
	 * SCRIM_EINVAL past the last.
	 */
	SCRIM_OP_RANGE,
	/*
	 * VIRTUALIZE(portions, enum scrim_backend): NATIVE or GUARDED -> COMMENCING. Argument 0: 0 = all RAM is managed, 1 = nothing is
	 * until MANAGE says so. Argument 1: how CPUs are to translate; 0 = nested. In COMMENCING a killed tool's work is resumed: 0
	 * makes all RAM managed, 1 changes nothing there. No CPU switches by this call alone. SCRIM_ESTATE elsewhere;
	 * SCRIM_ENOTABLE: there is no memory for that back-end (shadow=).
	 */
	SCRIM_OP_VIRTUALIZE,
	/*
	 * VISIT: the calling CPU switches itself to what the state asks: in COMMENCING to the map, in CEASING off it;
	 * elsewhere it only settles a guard that has ended. result 0 = CPUs that have not switched yet (0: the state has
	 * moved on), result 1 = index of the calling CPU. Always SCRIM_OK.
	 */
	SCRIM_OP_VISIT,
	/*
	 * ABORT: COMMENCING -> CEASING (map is Identity: visit every CPU again); REMAPPING or CEASING -> back towards
	 * VIRTUALIZED (from CEASING through COMMENCING: visit every CPU again). SCRIM_ESTATE elsewhere.
	 */
	SCRIM_OP_ABORT,
	/*
	 * DEVIRTUALIZE(start | enum scrim_remap, end): VIRTUALIZED -> REMAPPING; straight to CEASING where all is asked for and nothing is
	 * displaced or shared. end = 0: all that is managed. Else the managed portion [start, end) alone, page-aligned: after the
	 * last step its pages are locked to Identity, and the state is VIRTUALIZED again while another portion is managed. Pages whose own
	 * frames are retired stay away, and of what was asked for the 2 MiB around each stay managed, and so the state VIRTUALIZED.
	 * In REMAPPING and CEASING it does nothing: what was begun goes on as it was begun. SCRIM_ESTATE elsewhere. SCRIM_EALIGN,
	 * SCRIM_EINVAL: no such remap, a start without an end, or [start, end) is not all managed. SCRIM_ENOFRAME: not one free frame to begin with;
	 * nothing has changed.
	 */
	SCRIM_OP_DEVIRTUALIZE,
	/*
	 * STEP(pages): in REMAPPING, brings at most that many pages home (1 to SCRIM_BATCH_MAX). Any number of CPUs may do so at
	 * once. result 0 = pages still displaced in all, result 1 = enum scrim_state now: REMAPPING until the last step.
	 */
	SCRIM_OP_STEP,
	/* MOVE(physical address): VIRTUALIZED only. The page goes to a free frame; result 0 = its new machine address. */
	SCRIM_OP_MOVE,
	/* CHECK: every invariant of the map, in one exit. SCRIM_OK, or SCRIM_EINVARIANT with results as above. */
	SCRIM_OP_CHECK,
	/* TRANSLATE(physical address): result 0 = machine address, result 1 = 1 if the page is displaced. */
	SCRIM_OP_TRANSLATE,
	/*
	 * PAUSED: in REMAPPING, all CPUs meet in Scrim, bring every page of the homecoming home together, and leave: the OS stands still
	 * meanwhile, INFO(PAUSE_US) says about how long. Results as STEP's. SCRIM_ECPU: a CPU did not come, nothing has moved.
	 */
	SCRIM_OP_PAUSED,
	/* REVERSE(enum scrim_reverse): how occupants of frames are found from now on. VIRTUALIZED only. SCRIM_ENOTABLE: as before. */
	SCRIM_OP_REVERSE,
	/*
	 * MANAGE(start, end): these pages may be displaced from now on, COMMENCING and VIRTUALIZED only. SCRIM_EALIGN, SCRIM_ENOTRAM (not all of
	 * it is the OS's RAM), SCRIM_EINVAL (empty, or more ranges than Scrim can keep apart).
	 */
	SCRIM_OP_MANAGE,
	/*
	 * AIM(start, end): what the next SCATTER or SHARE is about, page-aligned; pages in it that may not be displaced are passed over.
	 * VIRTUALIZED only. Ends a SCATTER or SHARE that was not finished, which needs no undoing.
	 */
	SCRIM_OP_AIM,
	/*
	 * SCATTER(seed, fraction): begins to permute pages of the range at random, `fraction` of SCRIM_FRACTION_ALL of them (1 to
	 * SCRIM_FRACTION_ALL). SCATTER_STEP(pages): moves at most that many (2 to SCRIM_BATCH_MAX). result 0 = pages of the range
	 * still to be looked at, 0 when it is done; result 1 = pages moved since SCATTER. VIRTUALIZED only; SCRIM_EINVAL without an AIM, or
	 * a SCATTER before. SCRIM_ENOFRAME, SCRIM_ENOTABLE: the map is as it was before this step.
	 */
	SCRIM_OP_SCATTER,
	SCRIM_OP_SCATTER_STEP,
	/*
	 * SHARE: begins to look for equal pages in the range. SHARE_STEP(pages): looks at so many (1 to SCRIM_BATCH_MAX). result 0 = pages
	 * still to be looked at, 0 when it is done; result 1 = pages that have come to share since SHARE. States and errors as above.
	 */
	SCRIM_OP_SHARE,
	SCRIM_OP_SHARE_STEP,
	/*
	 * LEND(start, end): RAM that the OS has put offline and does not touch: its frames may hold displaced pages. UNLEND gives
	 * them back. NATIVE (GUARDED) and VIRTUALIZED. SCRIM_EALIGN, SCRIM_ENOTRAM; SCRIM_EDISPLACED: a page there is displaced,
	 * shared or lent already, or (UNLEND) a frame there holds a page; SCRIM_ENOFRAME: (UNLEND) they are needed to bring all home.
	 */
	SCRIM_OP_LEND,
	SCRIM_OP_UNLEND,
	/*
	 * BACKEND(enum scrim_backend): VIRTUALIZED only: CPUs are to translate so from now on, each from its next VISIT. Pages stay where they
	 * are. SCRIM_EINVAL: no back-end for that; SCRIM_ENOTABLE: as above.
	 */
	SCRIM_OP_BACKEND,
	/*
	 * WATCH(enum scrim_watch, enum scrim_writes): VIRTUALIZED only. All CPUs meet in Scrim, and all of the OS's RAM becomes read-only to them in one instant.
	 * IMAGE: from then on a page is copied to a free frame before a CPU's first write, so that IMAGE_READ finds it as it was. DIRTY: the
	 * first write is noted. NONE, in any state: ends what is on. WRITES_WAIT is for IMAGE alone: where frames become
	 * few for what has not been read yet, a page's first write waits as long as the reader comes. result 0 = frames at hand for copies and their tables, result 1 = CPUs
	 * whose registers were saved. SCRIM_ECPU: a CPU is outside Scrim, or did not come. While a watch is on, what changes the
	 * map is refused with SCRIM_EWATCH, but for DEVIRTUALIZE, which ends it. What devices write is neither copied nor noted.
	 * SCRIM_EINVAL: no such watch, or writes.
	 */
	SCRIM_OP_WATCH,
	/*
	 * IMAGE_READ(physical address | SCRIM_IMAGE_KEEP | pages, buffer): copies pages (1 to SCRIM_IMAGE_READ_MAX), as they were at the instant, to
	 * the linear address `buffer`, page-aligned, as the calling program itself would write there, which has to have written to each of
	 * its pages before. Without KEEP they are let go: read again they would be what they are then. result 0 = pages copied:
	 * fewer than asked where the buffer's next page cannot be written; SCRIM_EFAULT where its first cannot. SCRIM_ENOTRAM, SCRIM_EALIGN,
	 * SCRIM_EINVAL. SCRIM_ESTATE: no image is being taken (any more). SCRIM_ENOFRAME: writes needed more frames than there were; the
	 * image is lost, and nothing is read-only any more.
	 */
	SCRIM_OP_IMAGE_READ,
	/* IMAGE_CPU(cpu index, enum scrim_register): result 0 = the value at the instant. SCRIM_EINVAL: that CPU was not in the OS. */
	SCRIM_OP_IMAGE_CPU,
	/* DIRTY(physical address): results 0 and 1 = one bit each for the 128 pages from there on, which is a multiple of their size: written. */
	SCRIM_OP_DIRTY,
	/* --- retired frames --- */
	/*
	 * RETIRE(machine address): the frame is never used again; pages in it move away for good, one by a call at most. result 0 = 0
	 * when the frame is retired (or was), 1: more pages are in it, call again; result 1 = pages moved by this call. Where the page
	 * whose home it is was not managed, that page is from now on. VIRTUALIZED only. SCRIM_EALIGN; SCRIM_ENOTRAM: not a frame of the
	 * OS's RAM nor of the reserve; SCRIM_EDMA; SCRIM_EDISPLACED: Scrim itself uses the frame for a while; SCRIM_ENOFRAME: no free
	 * frame, or the last that bringing all home needs; SCRIM_ENOTABLE; SCRIM_EINVAL: more ranges than can be kept apart.
	 */
	SCRIM_OP_RETIRE,
	/* --- what watches and changes nothing of the map: any state --- */
	/*
	 * CENSUS(start, end): counts pages of a range of at most SCRIM_CENSUS_MAX bytes by what the map says of them. result 0 = displaced |
	 * shared << 32; a page can be both. result 1 = in the hands of a batch |
	 * read-only for a watch << 32. SCRIM_EALIGN; SCRIM_EINVAL: empty, or too long.
	 */
	SCRIM_OP_CENSUS,
	/*
	 * TRACE(enum scrim_trace_order): START: from now on every CPU records events into a ring of its own, which is empty now; STOP: no more.
	 * result 0 = events that a ring holds. One tracer at a time: a second START takes over. SCRIM_EINVAL: no such order; SCRIM_ENOTABLE:
	 * there are no rings (trace=0).
	 */
	SCRIM_OP_TRACE,
	/*
	 * TRACE_READ(cpu index): takes the oldest event out of that CPU's ring: results 0 and 1 are its two words, below; both 0: there is
	 * none. This request's own exit is no event. SCRIM_EINVAL: no such CPU.
	 */
	SCRIM_OP_TRACE_READ,
	/*
	 * MACHINE_CHECK(n): the n-th last machine-check address that the OS has read while its CPUs translated: result 0 = what it was
	 * told, the physical address; result 1 = what the hardware said, the machine address. SCRIM_EINVAL: there are not so many; some
	 * are kept, and none in NATIVE, where the two are the same.
	 */
	SCRIM_OP_MACHINE_CHECK,
	SCRIM_OP_COUNT
};

enum scrim_watch { SCRIM_WATCH_NONE = 0, SCRIM_WATCH_IMAGE, SCRIM_WATCH_DIRTY, SCRIM_WATCH_COUNT };
enum scrim_writes { SCRIM_WRITES_GO_ON = 0, SCRIM_WRITES_WAIT, SCRIM_WRITES_COUNT };

#define SCRIM_IMAGE_READ_MAX 32u
#define SCRIM_IMAGE_KEEP 0x800u
#define SCRIM_DIRTY_PAGES 128u

/* What IMAGE_CPU knows: the registers that a core file's notes carry. A segment is four of them, as in enum scrim_segment. */
enum scrim_register {
	SCRIM_REG_RAX = 0, SCRIM_REG_RBX, SCRIM_REG_RCX, SCRIM_REG_RDX, SCRIM_REG_RSI, SCRIM_REG_RDI, SCRIM_REG_RSP, SCRIM_REG_RBP,
	SCRIM_REG_R8, SCRIM_REG_R9, SCRIM_REG_R10, SCRIM_REG_R11, SCRIM_REG_R12, SCRIM_REG_R13, SCRIM_REG_R14, SCRIM_REG_R15,
	SCRIM_REG_RIP, SCRIM_REG_RFLAGS, SCRIM_REG_CR0, SCRIM_REG_CR2, SCRIM_REG_CR3, SCRIM_REG_CR4, SCRIM_REG_KERNEL_GS_BASE,
	SCRIM_REG_ES, SCRIM_REG_CS = SCRIM_REG_ES + 4, SCRIM_REG_SS = SCRIM_REG_CS + 4, SCRIM_REG_DS = SCRIM_REG_SS + 4,
	SCRIM_REG_FS = SCRIM_REG_DS + 4, SCRIM_REG_GS = SCRIM_REG_FS + 4, SCRIM_REG_GDT = SCRIM_REG_GS + 4,
	SCRIM_REG_LDT = SCRIM_REG_GDT + 4, SCRIM_REG_IDT = SCRIM_REG_LDT + 4, SCRIM_REG_TR = SCRIM_REG_IDT + 4,
	SCRIM_REG_COUNT = SCRIM_REG_TR + 4
};

/* Attributes as in a VMCB (AMD APM vol. 2, 15.5.1): type, S, DPL, P in bits 0-7, AVL, L, D/B, G in bits 8-11. */
enum scrim_segment { SCRIM_SEG_SELECTOR = 0, SCRIM_SEG_BASE, SCRIM_SEG_LIMIT, SCRIM_SEG_ATTRIBUTES };

#define SCRIM_BATCH_MAX 256u
#define SCRIM_FRACTION_ALL 65536u
#define SCRIM_CENSUS_MAX 0x8000000ull

enum scrim_trace_order {
	SCRIM_TRACE_STOP = 0,
	SCRIM_TRACE_START,
	SCRIM_TRACE_ORDER_COUNT
};

/* What an event is, and what its number says. */
enum scrim_trace_kind {
	SCRIM_TRACE_NONE = 0,
	SCRIM_TRACE_EXIT,           /* from #VMEXIT to VMRUN; enum scrim_exit */
	SCRIM_TRACE_SWITCH,         /* this CPU goes over; enum scrim_backend that it translates by from now on */
	SCRIM_TRACE_BATCH,          /* pages absent to all CPUs together, until they have moved or come to share; how many */
	SCRIM_TRACE_STALL,          /* this CPU waits for a page of a batch; 1: to write it, 0: not */
	SCRIM_TRACE_KIND_COUNT
};

/* An event's first word is the TSC where it begins. Its second: kind, number, and how long it took in TSC ticks, the most that fits if longer. */
#define SCRIM_TRACE_KIND_SHIFT 56u
#define SCRIM_TRACE_NUMBER_SHIFT 40u
#define SCRIM_TRACE_NUMBER_MAX 0xffffu
#define SCRIM_TRACE_TICKS_MAX ((1ull << SCRIM_TRACE_NUMBER_SHIFT) - 1)

/* How pages come home: straight, and a page that opens a cycle by way of a free frame; or every occupant of a home by such a way first. */
enum scrim_remap { SCRIM_REMAP_DIRECT = 0, SCRIM_REMAP_INDIRECT, SCRIM_REMAP_COUNT };

/* How Scrim knows who occupies a frame and which frames are free. */
enum scrim_reverse {
	SCRIM_REVERSE_SEARCH = 0,   /* nothing is stored: the map is searched */
	SCRIM_REVERSE_REFCOUNT,     /* a count per frame */
	SCRIM_REVERSE_BACKMAP,      /* a list of pages per frame, a list of free frames */
	SCRIM_REVERSE_COUNT
};

enum scrim_info {
	SCRIM_INFO_STATE = 0,       /* enum scrim_state */
	SCRIM_INFO_VENDOR,          /* enum scrim_vendor */
	SCRIM_INFO_BACKEND,         /* enum scrim_backend in use for memory */
	SCRIM_INFO_CPUS,            /* CPUs that firmware lists */
	SCRIM_INFO_CPUS_IN_OS,      /* of these, started by the OS and not parked */
	SCRIM_INFO_CPUS_TRANSLATING,/* of these, behind the map at this moment */
	SCRIM_INFO_PAGES_RAM,       /* 4 KiB pages of the OS's RAM */
	SCRIM_INFO_PAGES_MANAGED,   /* pages that may be displaced (0 but in VIRTUALIZED and REMAPPING) */
	SCRIM_INFO_PAGES_DISPLACED,
	SCRIM_INFO_PAGES_SHARED,    /* pages that read a frame together with others, or did and have not been written since */
	SCRIM_INFO_FRAMES_FREE,
	SCRIM_INFO_FRAMES_SAVED,    /* pages less the frames that they occupy: what giving up all sharing needs */
	SCRIM_INFO_FRAMES_LENT,
	SCRIM_INFO_FRAMES_RETIRED,  /* frames that are never used again */
	SCRIM_INFO_IMAGE_BYTES,     /* Scrim's code and data */
	SCRIM_INFO_VMM_BYTES,       /* all that is reserved, boot reserve of free frames included */
	SCRIM_INFO_FIXED_BYTES,     /* of that, what does not depend on reserve= */
	SCRIM_INFO_MAP_BYTES,       /* of that, tables in use at this moment for the map (Identity root, P2M, back-end) */
	SCRIM_INFO_SWITCHES,        /* completed virtualize or devirtualize */
	SCRIM_INFO_KICKS,           /* NMIs by which Scrim asked something of its CPUs */
	SCRIM_INFO_FLUSHES,         /* whole-TLB flushes that Scrim asked of a CPU */
	SCRIM_INFO_LAST_OP,         /* enum scrim_op of the last operation that changed something, or 0 */
	SCRIM_INFO_LAST_PAGES_MOVED,
	SCRIM_INFO_LAST_COPIES,
	SCRIM_INFO_LAST_DIRECT,
	SCRIM_INFO_LAST_INDIRECT,
	SCRIM_INFO_LAST_LONGEST_EXIT_TSC, /* longest time one CPU spent in Scrim during it, in TSC ticks */
	SCRIM_INFO_LAST_TSC,        /* TSC ticks from its first request to its end */
	SCRIM_INFO_TSC_HZ,          /* TSC ticks a second as measured at boot, 0 if unknown */
	SCRIM_INFO_DMA_FREE,        /* 1 if anything may be displaced at all */
	SCRIM_INFO_CPUS_LOST,       /* CPUs that did not answer a kick: outside Scrim */
	SCRIM_INFO_REVERSE,         /* enum scrim_reverse */
	SCRIM_INFO_PAUSE_US,        /* estimate: how long PAUSED would keep the OS standing, for all that is displaced */
	SCRIM_INFO_V2M_BYTES,       /* what shadow= keeps for V2M tables, of all CPUs; in VMM_BYTES, not in FIXED_BYTES */
	SCRIM_INFO_V2M_TABLES,      /* V2M tables in use at this moment */
	SCRIM_INFO_V2M_BOUND,       /* the most that there can be */
	SCRIM_INFO_V2M_LOADS,       /* V2M entries composed with the map since boot */
	SCRIM_INFO_V2M_EVICTIONS,   /* tables given up for room */
	SCRIM_INFO_V2M_FLUSHES,     /* loads of CR3 that flush, INVLPG and INVPCID of the OS's that were served */
	SCRIM_INFO_V2M_SYNCED,      /* entries inspected on return to an address space */
	SCRIM_INFO_V2M_COPIED,      /* V2M entries that are the OS's own as they stand: where the map says Identity for a whole 2 MiB */
	SCRIM_INFO_V2M_LINKS,       /* page tables of the OS's own that V2M tables may lead to at this moment */
	SCRIM_INFO_V2M_LINK_ENTRIES, /* what is present in them: entries that nobody composes, copies or inspects */
	SCRIM_INFO_V2M_LINKS_MADE,  /* V2M entries that were made to lead to them, since boot */
	SCRIM_INFO_V2M_LINKS_MET,   /* such entries met on return to an address space: inspection ended there */
	SCRIM_INFO_V2M_LINKS_BROKEN, /* by a write of the OS's to the table */
	SCRIM_INFO_IOMMU,           /* enum scrim_iommu: what translates for devices; NONE: there is none that can be used */
	SCRIM_INFO_IOMMU_UNITS,     /* units of it */
	SCRIM_INFO_IOMMU_ON,        /* 1 while devices translate; 0: they pass through */
	SCRIM_INFO_IOMMU_FAULTS,    /* accesses of devices that the units have refused and recorded since boot */
	SCRIM_INFO_IOMMU_FAULT_SOURCE, /* of the last: bus << 8 | device << 3 | function */
	SCRIM_INFO_IOMMU_FAULT_REASON, /* the hardware's code */
	SCRIM_INFO_IOMMU_FAULT_ADDRESS,/* the page that was asked for */
	SCRIM_INFO_WATCH,           /* enum scrim_watch that is on */
	SCRIM_INFO_WATCH_FRAMES,    /* frames that a WATCH(IMAGE) has left, or would have now, for copies and their tables */
	SCRIM_INFO_IMAGE_COPIES,    /* pages that writes have had copied since the last WATCH(IMAGE) */
	/* --- what watches --- */
	SCRIM_INFO_PAGES_MOVED,     /* moves of pages since boot */
	SCRIM_INFO_BATCHES,         /* batches, since boot: pages absent to all CPUs together; they move, or come to share */
	SCRIM_INFO_TRACE_ON,        /* 1 between TRACE's START and STOP */
	SCRIM_INFO_TRACE_EVENTS,    /* events that the ring of each CPU holds */
	SCRIM_INFO_KICKS_OUT,       /* NMIs that Scrim sent for nothing but an exit: a CPU to itself, or to one that is about to get INIT */
	/* --- PCIDs --- */
	SCRIM_INFO_V2M_RETURNS,     /* loads of CR3 that flushed nothing, to address spaces that nobody had flushed: nothing of these was inspected */
	/* --- images whose writes wait --- */
	SCRIM_INFO_IMAGE_WAITED_TSC,/* TSC ticks that writes have waited for the reader since the last WATCH(IMAGE), of all CPUs */
	/* --- V2M tables that are not used --- */
	SCRIM_INFO_V2M_WAKES,       /* tables that a CPU has come to again after flushes that did not inspect them */
	SCRIM_INFO_COUNT
};

enum scrim_cpu_info {
	SCRIM_CPU_APIC_ID = 0,
	SCRIM_CPU_MODE,             /* enum scrim_cpu_mode */
	SCRIM_CPU_VMCB,             /* machine address of its VMCB (AMD) or VMCS (Intel), for looking from outside */
	SCRIM_CPU_EXITS_TOTAL,
	SCRIM_CPU_NMIS_PASSED,      /* NMIs given to the OS */
	/* --- what watches --- */
	SCRIM_CPU_STALLS,           /* times that it waited for a page of a batch, since boot */
	SCRIM_CPU_STALL_TSC,        /* TSC ticks of all of them */
	SCRIM_CPU_STALL_LONGEST_TSC,/* of the longest */
	SCRIM_CPU_TRACE_LOST,       /* events for which its ring had no room, since START */
	SCRIM_CPU_INFO_COUNT
};

enum scrim_cpu_mode {
	SCRIM_CPU_WAITING = 0,      /* never started by the OS */
	SCRIM_CPU_STARTING,         /* on its way into the OS, behind the guard */
	SCRIM_CPU_GUARDED,          /* in the OS, behind the guard */
	SCRIM_CPU_NATIVE,           /* in the OS, nothing in its access path */
	SCRIM_CPU_TRANSLATING,      /* in the OS, behind the map */
	SCRIM_CPU_PARKED,           /* taken offline by the OS */
	SCRIM_CPU_MODE_COUNT
};

/* Causes of exits, vendor-neutral; names as `status` prints them are in SCRIM_EXIT_NAMES. */
enum scrim_exit {
	SCRIM_EXIT_REQUEST = 0,     /* SCRIM_PORT */
	SCRIM_EXIT_NMI,             /* an NMI: the OS's or a kick */
	SCRIM_EXIT_IRET,            /* end of the OS's NMI handler */
	SCRIM_EXIT_MSR,             /* EFER, VM_CR, VM_HSAVE_PA, x2APIC's ICR while guarded, machine-check banks while translating */
	SCRIM_EXIT_CACHE,           /* WBINVD, INVD */
	SCRIM_EXIT_CR3,             /* first CR3 load of a starting CPU; CR3 load after LIDT */
	SCRIM_EXIT_LIDT,
	SCRIM_EXIT_APIC,            /* write to the local APIC's page while guarded */
	SCRIM_EXIT_MAP,             /* nested page fault on a page of the map */
	SCRIM_EXIT_SVM_INSN,        /* VMRUN and the like by the OS */
	SCRIM_EXIT_DEBUG,           /* the one step after an NMI that waited for an IRET */
	SCRIM_EXIT_INIT,
	SCRIM_EXIT_SHUTDOWN,
	SCRIM_EXIT_OTHER,
	SCRIM_EXIT_CMOS,            /* the CMOS's data port: written before a CPU is started */
	SCRIM_EXIT_PAGE_FAULT,      /* shadow, vtlb: #PF */
	SCRIM_EXIT_INVLPG,          /* shadow, vtlb */
	SCRIM_EXIT_PAGING,          /* shadow, vtlb: a change of paging that the nested tables serve: CR0, CR4, INVPCID (done by VMX); VMX: CR0.NE, paging off */
	/* Forced by VMX. */
	SCRIM_EXIT_CPUID,
	SCRIM_EXIT_XSETBV,
	SCRIM_EXIT_VMX_INSN,        /* VMXON and the like by the OS */
	SCRIM_EXIT_COUNT
};

#define SCRIM_EXIT_NAMES                                                                                               \
	{ "request", "nmi", "iret", "msr", "cache", "cr3", "lidt", "apic", "map", "svm-insn", "debug", "init",         \
	  "shutdown", "other", "cmos", "page-fault", "invlpg", "paging", "cpuid", "xsetbv", "vmx-insn" }

enum scrim_iommu { SCRIM_IOMMU_NONE = 0, SCRIM_IOMMU_VTD, SCRIM_IOMMU_AMDVI };

enum scrim_vendor { SCRIM_VENDOR_AMD = 0, SCRIM_VENDOR_INTEL };
enum scrim_backend { SCRIM_BACKEND_NATIVE = 0, SCRIM_BACKEND_NESTED, SCRIM_BACKEND_SHADOW, SCRIM_BACKEND_VTLB };

enum scrim_range {
	SCRIM_RANGE_RAM = 0,        /* RAM that the OS sees */
	SCRIM_RANGE_OWN,            /* Scrim's own memory */
	SCRIM_RANGE_DMA_FREE,       /* where no device writes: pages may be shared, and displaced without an IOMMU */
	SCRIM_RANGE_FRAMES,         /* boot reserve of free frames (part of SCRIM_RANGE_OWN) */
	SCRIM_RANGE_MANAGED,        /* portions of RAM that are managed; none in NATIVE */
	SCRIM_RANGE_REMAPPING,      /* the range that is coming home; none but in REMAPPING */
	SCRIM_RANGE_LENT,           /* RAM lent by the OS */
	SCRIM_RANGE_RETIRED,        /* retired frames, machine addresses */
	SCRIM_RANGE_COUNT
};

/* What CHECK may find; 0 is "all hold". Numbers in the names are those of the invariants in docs/glossary.md. */
enum scrim_violation {
	SCRIM_HOLDS = 0,
	SCRIM_V1_DISPLACED_UNGUARDED, /* a page is displaced while a CPU does not translate */
	SCRIM_V2_NATIVE_NOT_CLEAN,    /* NATIVE, and a page displaced or a table left allocated */
	SCRIM_V3_FRAME_STATE,         /* a frame is not in exactly one state, or a frame count is off */
	SCRIM_V4_BACKEND_STALE,       /* the hardware's table says something other than the map */
	SCRIM_V5_NOT_RAM,             /* a page outside RAM is displaced, or a frame outside machine RAM is used */
	SCRIM_V6_RESERVE,             /* too few free frames kept back */
	SCRIM_VIOLATION_COUNT
};
