/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the walk of the OS's page tables as the CPU makes it: rights, reserved bits, error code, accessed and dirty bits, in every
 * paging mode (AMD APM vol. 2, 5.2 to 5.6). guest_walk.h has the plain one, for reading instructions.
 */
#pragma once

#include "base/addr.h"
#include "mem/mem_port.h"
#include "xlat/guest_walk.h"

/* Error code of #PF (APM vol. 2, 8.4.2). */
#define PF_PRESENT (1u << 0)
#define PF_WRITE (1u << 1)
#define PF_USER (1u << 2)
#define PF_RESERVED (1u << 3)
#define PF_FETCH (1u << 4)
#define PF_KEY (1u << 5)

#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_PWT (1ull << 3)
#define PTE_PCD (1ull << 4)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_LARGE (1ull << 7)
#define PTE_PAT (1ull << 7)        /* of 4 KiB */
#define PTE_G (1ull << 8)
#define PTE_PAT_LARGE (1ull << 12) /* of larger ones */
#define PTE_KEYS (0xfull << 59)
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define MMU_CR0_WP (1ull << 16)
#define MMU_CR0_PG (1ull << 31)
#define MMU_CR4_PSE (1ull << 4)
#define MMU_CR4_PAE (1ull << 5)
#define MMU_CR4_LA57 (1ull << 12)
#define MMU_CR4_PCIDE (1ull << 17)
#define MMU_CR4_SMEP (1ull << 20)
#define MMU_CR4_SMAP (1ull << 21)
#define MMU_CR4_PKE (1ull << 22)
#define MMU_EFER_LMA (1ull << 10)
#define MMU_EFER_NXE (1ull << 11)

#define GUEST_LEVELS_MAX 5u

/* What of the walk is the CPU model's. */
struct guest_cpu {
	uint32_t address_bits;
	/*
	 * As QEMU's TCG walks, other than the manual says: #PF for a reserved bit has P clear; the root of PAE gets accessed bits; an entry
	 * of 1 GiB gets its accessed bit before rights are looked at. The OS is to see the machine that it runs on.
	 */
	bool is_tcg;
};

/* The OS's memory. */
struct guest_port {
	/* Where P2M has this page, and what may be done there. NULL: no memory. The pointer is good until the caller's CPU waits. */
	uint8_t *(*page)(void *context, gfn_t page, enum mem_access *access);
	void *context;
};

struct guest_access {
	uint64_t linear;
	bool write, user, fetch;
	bool smap; /* not a user access, and CR4.SMAP holds for it: RFLAGS.AC clear, or an implicit access at CPL 3 */
	uint32_t pkru; /* looked at where CR4.PKE is set, in long mode */
};

/* Entries of the way, from the root on; the last is the leaf. As they are now: accessed bits set. */
struct guest_mapping {
	uint32_t count;
	uint64_t entry[GUEST_LEVELS_MAX];
	uint32_t shift;    /* log2 of the leaf's bytes */
	uint64_t physical; /* of the leaf's start */
	uint32_t error;    /* GUEST_FAULT */
	gfn_t wait;        /* GUEST_WAIT: this page of tables is absent, or (wait_write) may not be written */
	bool wait_write;
};

enum guest_result { GUEST_MAPPED, GUEST_FAULT, GUEST_WAIT };

/*
 * Walks, sets accessed and dirty bits as the CPU does: in an entry on the way as it is passed, in the leaf when the access is
 * granted. cr0.PG is set, and cr0.WP.
 */
enum guest_result guest_mmu_walk(const struct guest_paging *paging, const struct guest_cpu *cpu, const struct guest_access *access,
				 const struct guest_port *port, struct guest_mapping *mapping);

/*
 * The same for the 4 KiB pages behind a write to `linear`, which has been granted by way of `mapping`: as many of `count` as stand in the same
 * table with the same rights and need no bit set. Returns how many, perhaps none; the next is to be walked to. physical[]: their addresses.
 */
uint32_t guest_mmu_follow(const struct guest_cpu *cpu, const struct guest_port *port, const struct guest_mapping *mapping, uint64_t linear,
			  uint32_t count, uint64_t *physical);

static inline bool guest_is_two_level(const struct guest_paging *paging) { return !(paging->cr4 & MMU_CR4_PAE); }
static inline bool guest_is_long(const struct guest_paging *paging) { return paging->efer & MMU_EFER_LMA; }
