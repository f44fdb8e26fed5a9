/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Scrim's own GDT, IDT and page tables: 64-bit, one address space, identity, the same for every CPU. */
#pragma once

#include "base/types.h"

/* Exceptions. */
#define VECTOR_DB 1u
#define VECTOR_NMI 2u
#define VECTOR_BP 3u
#define VECTOR_OF 4u
#define VECTOR_UD 6u
#define VECTOR_DF 8u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

/* Fills the IDT. Once, by the first CPU before any other runs: a gate that is written while a CPU takes an NMI leads anywhere. */
void descriptors_build(void);

/* Another handler of NMIs than the one that forgets them. Behind descriptors_build(), before any other CPU runs. */
void descriptors_set_nmi(void (*handler)(void));

/* Loads GDT, CS and IDT on the calling CPU. Exceptions panic; an NMI just returns: it is taken to be forgotten. */
void descriptors_load(void);

/* Bytes of page tables that map [0, end): low 4 GiB in 2 MiB pages, above in 1 GiB pages where the CPU has them. */
uint64_t paging_bytes(uint64_t end);

/* Builds them in `tables` (zeroed, page-aligned) and returns what CR3 takes. The local APIC's 2 MiB are uncached. */
uint64_t paging_build(void *tables, uint64_t end);
