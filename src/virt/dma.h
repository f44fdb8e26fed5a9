/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what devices do to memory: the seam to the machine's IOMMUs, which src/iommu drives, and the devices' side of the map. Devices
 * walk a table of their own, of the same P2M. It is in use from the beginning of COMMENCING to the end of CEASING; in NATIVE no IOMMU
 * translates. Machine lock held in every call, but where it says otherwise.
 */
#pragma once

#include "base/ranges.h"
#include "mem/mem_port.h"
#include "xlat/xlat.h"

/* What an IOMMU has refused to do for a device. */
struct dma_fault {
	uint32_t source;  /* PCI: bus << 8 | device << 3 | function */
	uint32_t reason;  /* the hardware's code for it */
	uint64_t address; /* of the page that the device asked for */
};

struct dma_ops {
	enum scrim_iommu id;
	const struct xlat_format *format;
	/* Every device's accesses go through the table at `root` from here on; before and after, a transaction is wholly in one world. False: a unit did not do it, and none translates. */
	bool (*start)(uint64_t root);
	/* No device's do. What was walked until here may be given back. */
	void (*stop)(void);
	/* Asks the hardware. */
	bool (*is_translating)(void);
	/*
	 * Returns when no device holds an older translation of these pages, and no access by an older one is under way (drained). A
	 * `count` of 0: of all pages. May be called without the machine lock.
	 */
	void (*invalidate)(const gfn_t *page, uint32_t count);
	/* As struct xlat_port's. */
	void (*wrote)(void *context, const void *at, uint64_t bytes);
	/* How many faults the hardware has recorded since the last call; *last is the latest, where there is one. */
	uint64_t (*take_faults)(struct dma_fault *last);
};

/* What the units of a machine have in common. */
struct dma_limits {
	uint32_t units;
	uint32_t address_bits; /* that the table can translate */
	bool has_1g;           /* leaves of 1 GiB */
};

/* What dma.c keeps of the machine. */
struct machine_dma {
	const struct dma_ops *ops; /* NULL: there is no IOMMU that can be used */
	uint32_t units;
	struct xlat xlat;          /* what devices walk */
	bool translating;
	bool stale;                /* entries have changed of which devices may hold older ones, on pages that no device is to touch */
	uint64_t *rooms;           /* one a CPU, of DMA_GROUP pages: for pages as they were when they were copied */
	uint32_t *room_taken;
	uint64_t faults;
	struct dma_fault last_fault;
};

#define DMA_GROUP 8u /* pages that are copied between two invalidations, at most */

/* Bytes for so many CPUs, beside the tables' short way (xlat.h). */
uint64_t dma_fixed_bytes(uint32_t cpus);

/* Boot: `memory` has that many zeroed bytes; machine.dma.xlat's near and near_count are set. `ops` NULL: there is none. */
void dma_init(const struct dma_ops *ops, const struct dma_limits *limits, void *memory);

/* Where pages may be displaced: where devices write, too, if there is an IOMMU that can be used. */
const struct range_list *dma_movable(void);

/* Devices translate from here on, by the Identity table. Where a unit refuses they do not, and from now on there is no IOMMU that can be used. */
void dma_start(void);

/* The map is Identity: devices translate no more. Tables that grew are given back, with map=late all of them. */
void dma_stop(void);

/* Every path to memory of every device leads through the map, as far as the hardware says; or there is no IOMMU that can be used. */
bool dma_holds(void);

/* Devices' part in the engine's port (mem_port.h): nothing where they do not translate. */
bool dma_prepare(gfn_t page);
void dma_set(gfn_t page, mfn_t frame, enum mem_access access);
void dma_flush(void);

/* What the devices' table says is the same as this; true where they do not translate. */
bool dma_agrees(gfn_t page, mfn_t frame, enum mem_access access);

/* True while a copy has to be dma_copy()'s. Without the machine lock by a CPU that has a batch in flight. */
bool dma_translates(void);

/* Copies each `from` to its `to`, in order, while devices go on: they write to `to` from the end of this at the latest, and nothing of what they wrote to `from` is lost. Without the machine lock. */
void dma_copy(const struct mem_move *move, uint32_t count);

/* Reads the faults that units have recorded. */
void dma_collect_faults(void);
