/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the registers and the structures in memory of Intel VT-d, under the manual's names (Intel Virtualization Technology for Directed
 * I/O, Architecture Specification, revision 3.3: chapter 10 registers, 9 tables, 6.5.2 the queue; in revision 5.10 chapter 10 is 11, and 3.14 is
 * 3.15). Offsets are from a unit's base; each register is accessed in its own width.
 */
#pragma once

#include "base/types.h"

#define CAP_REG 0x08u    /* 64 bits */
#define ECAP_REG 0x10u   /* 64 */
#define GCMD_REG 0x18u   /* 32 */
#define GSTS_REG 0x1cu   /* 32 */
#define RTADDR_REG 0x20u /* 64 */
#define CCMD_REG 0x28u   /* 64 */
#define FSTS_REG 0x34u   /* 32 */
#define FECTL_REG 0x38u  /* 32 */
#define PMEN_REG 0x64u   /* 32 */
#define IQH_REG 0x80u    /* 64 */
#define IQT_REG 0x88u    /* 64 */
#define IQA_REG 0x90u    /* 64 */
#define VTD_PAGE 0x1000u /* of registers; IVA, IOTLB and FRCD lie where the capabilities say */

#define CAP_RWBF (1ull << 4)  /* what is written to memory must be flushed to it by command */
#define CAP_PLMR (1ull << 5)  /* protected memory regions: low, high */
#define CAP_PHMR (1ull << 6)
#define CAP_SAGAW_39 (1ull << 9) /* tables of three levels; of four */
#define CAP_SAGAW_48 (1ull << 10)
#define CAP_MGAW(cap) ((uint32_t)((cap) >> 16 & 0x3f) + 1) /* bits of address that it translates */
#define CAP_FRO(cap) ((uint32_t)((cap) >> 24 & 0x3ff) * 16)
#define CAP_SLLPS_2M (1ull << 34)
#define CAP_SLLPS_1G (1ull << 35)
#define CAP_PSI (1ull << 39)
#define CAP_NFR(cap) ((uint32_t)((cap) >> 40 & 0xff) + 1)
#define CAP_DWD (1ull << 54) /* an invalidation can wait for writes and reads that are under way */
#define CAP_DRD (1ull << 55)

#define ECAP_C (1ull << 0) /* tables are read through the CPUs' caches */
#define ECAP_QI (1ull << 1)
#define ECAP_SC (1ull << 7) /* entries can make every write a snooped one */
#define ECAP_IRO(ecap) ((uint32_t)((ecap) >> 8 & 0x3ff) * 16)

/* GCMD and GSTS. */
#define GCMD_TE (1u << 31)
#define GCMD_SRTP (1u << 30)
#define GCMD_WBF (1u << 27)
#define GCMD_QIE (1u << 26)
#define GCMD_IRE (1u << 25)
#define GCMD_CFI (1u << 23)
#define GCMD_STAY (GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI) /* the others command once */

#define CCMD_ICC (1ull << 63)
#define CCMD_GLOBAL (1ull << 61)
#define CCMD_DONE(ccmd) ((uint32_t)((ccmd) >> 59 & 3)) /* what was invalidated; 0: the command was wrong */

#define IVA_OFFSET 0u /* from ECAP_IRO */
#define IOTLB_OFFSET 8u
#define IOTLB_IVT (1ull << 63)
#define IOTLB_GLOBAL (1ull << 60)
#define IOTLB_DOMAIN (2ull << 60)
#define IOTLB_PAGE (3ull << 60)
#define IOTLB_DONE(iotlb) ((uint32_t)((iotlb) >> 57 & 3))
#define IOTLB_DR (1ull << 49)
#define IOTLB_DW (1ull << 48)
#define IOTLB_DID(domain) ((uint64_t)(domain) << 32)

#define FSTS_PFO (1u << 0) /* more faults than could be recorded */
#define FSTS_PPF (1u << 1) /* some record has a fault */
#define FSTS_IQE (1u << 4)
#define FSTS_ICE (1u << 5)
#define FSTS_ITE (1u << 6)
#define FSTS_QUEUE (FSTS_IQE | FSTS_ICE | FSTS_ITE) /* the queue has stopped */
#define FSTS_FRI(fsts) ((fsts) >> 8 & 0xff)         /* the oldest */
#define FECTL_IM (1u << 31)

/* A fault record: 16 bytes, read as four words. */
#define FRCD_BYTES 16u
#define FRCD_SOURCE(word2) ((word2) & 0xffff)
#define FRCD_REASON(word3) ((word3) & 0xff)
#define FRCD_F (1u << 31) /* of word 3: recorded; cleared by writing 1 */

#define PMEN_EPM (1u << 31)
#define PMEN_PRS (1u << 0)

/* Root table: one entry a bus. Context table: one a device and function. Both 16 bytes. */
struct vtd_entry {
	uint64_t low, high;
};

#define VTD_ENTRIES 256u
#define ENTRY_PRESENT 1ull   /* of both; the next table's address in bits 12 and up */
#define CONTEXT_AW_39 1ull   /* high: levels of the table */
#define CONTEXT_AW_48 2ull
#define CONTEXT_DID(domain) ((uint64_t)(domain) << 8)

_Static_assert(VTD_ENTRIES * sizeof(struct vtd_entry) == PAGE_SIZE, "a table is a page");

/* The queue: a page of descriptors. */
struct vtd_descriptor {
	uint64_t low, high;
};

#define QUEUE_ENTRIES 256u
#define QUEUE_SHIFT 4u /* of an index in IQH and IQT */
#define DESCRIPTOR_CONTEXT 1ull
#define DESCRIPTOR_IOTLB 2ull
#define DESCRIPTOR_WAIT 5ull
#define DESCRIPTOR_GLOBAL (1ull << 4)
#define DESCRIPTOR_DOMAIN (2ull << 4)
#define DESCRIPTOR_PAGE (3ull << 4)
#define DESCRIPTOR_DW (1ull << 6)
#define DESCRIPTOR_DR (1ull << 7)
#define DESCRIPTOR_DID(domain) ((uint64_t)(domain) << 16)
#define DESCRIPTOR_SW (1ull << 5) /* wait: write the upper half of the low word where the high word says */
#define DESCRIPTOR_FN (1ull << 6) /* and nothing behind it before that */
#define DESCRIPTOR_STATUS(value) ((uint64_t)(value) << 32)
