/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the registers and the structures in memory of AMD's IOMMU, under the specification's names (AMD I/O Virtualization Technology
 * Specification, 48882, rev. 3.00: 3.2 the capability block, 3.4 registers, 2.2.2 device table, 2.4 commands, 2.5 events). Offsets are from a
 * unit's base; registers have 64 bits.
 */
#pragma once

#include "base/types.h"

/* The capability block, in the configuration space of the unit's PCI function; words of 32 bits. */
#define CAPABILITY_ID(word) ((word) & 0xff)
#define CAPABILITY_SECURE_DEVICE 0xfu
#define CAPABILITY_TYPE(word) ((word) >> 16 & 7)
#define CAPABILITY_TYPE_IOMMU 3u
#define CAPABILITY_EFR_SUP (1u << 27) /* there is an extended feature register */

#define DEVICE_TABLE_BASE 0x0000u
#define COMMAND_BUFFER_BASE 0x0008u
#define EVENT_LOG_BASE 0x0010u
#define CONTROL 0x0018u
#define EXCLUSION_BASE 0x0020u
#define EXTENDED_FEATURE 0x0030u
#define COMMAND_BUFFER_HEAD 0x2000u
#define COMMAND_BUFFER_TAIL 0x2008u
#define EVENT_LOG_HEAD 0x2010u
#define EVENT_LOG_TAIL 0x2018u
#define STATUS 0x2020u
#define AMDVI_REGISTERS_BYTES 0x4000u /* what follows where the unit counts events is no concern of Scrim's */

#define CONTROL_IOMMU_EN (1ull << 0)
#define CONTROL_HT_TUN_EN (1ull << 1)
#define CONTROL_EVENT_LOG_EN (1ull << 2)
#define CONTROL_PASS_PW (1ull << 8)
#define CONTROL_RES_PASS_PW (1ull << 9)
#define CONTROL_COHERENT (1ull << 10)
#define CONTROL_ISOC (1ull << 11)
#define CONTROL_CMD_BUF_EN (1ull << 12)
#define CONTROL_ON (CONTROL_IOMMU_EN | CONTROL_EVENT_LOG_EN | CONTROL_CMD_BUF_EN)

#define FEATURE_IA_SUP (1ull << 6) /* INVALIDATE_IOMMU_ALL */
#define FEATURE_HATS(features) ((features) >> 10 & 3) /* levels of tables: four, five or six at most */
#define FEATURE_HATS_NONE 3u

#define STATUS_EVENT_OVERFLOW (1ull << 0) /* cleared by writing 1 */
#define STATUS_EVENT_LOG_RUN (1ull << 3)
#define STATUS_CMD_BUF_RUN (1ull << 4)
#define STATUS_PPR_LOG_RUN (1ull << 7)
#define STATUS_GA_LOG_RUN (1ull << 8)
#define STATUS_ON (STATUS_EVENT_LOG_RUN | STATUS_CMD_BUF_RUN)
#define STATUS_RUN (STATUS_ON | STATUS_PPR_LOG_RUN | STATUS_GA_LOG_RUN)

/* Device table: one entry a device id, that is a bus, device and function. The base register's low bits: pages, less 1. */
struct amdvi_device {
	uint64_t word[4];
};

#define AMDVI_DEVICES 0x10000u
#define DEVICE_TABLE_BYTES (AMDVI_DEVICES * sizeof(struct amdvi_device))
#define DEVICE_TABLE_SIZE (DEVICE_TABLE_BYTES / PAGE_SIZE - 1)

/* Word 0: what is translated. */
#define DEVICE_V (1ull << 0)
#define DEVICE_TV (1ull << 1)
#define DEVICE_MODE(levels) ((uint64_t)(levels) << 9) /* 0: not translated; the table's address in bits 12 to 51 */
#define DEVICE_IR (1ull << 61)
#define DEVICE_IW (1ull << 62)
/* Word 1. */
#define DEVICE_DOMAIN(domain) ((uint64_t)(domain))
#define DEVICE_IO_CTL_FORWARD (1ull << 35)
#define DEVICE_SYS_MGT_FORWARD (1ull << 40)
/* Word 2: interrupts. IV clear: they are not remapped; and each kind passes. */
#define DEVICE_INIT_PASS (1ull << 56)
#define DEVICE_EINT_PASS (1ull << 57)
#define DEVICE_NMI_PASS (1ull << 58)
#define DEVICE_INT_CTL_FORWARD (1ull << 60)
#define DEVICE_LINT0_PASS (1ull << 62)
#define DEVICE_LINT1_PASS (1ull << 63)

_Static_assert(sizeof(struct amdvi_device) == 32, "2.2.2");

/* The command buffer and the event log: a page each, of as many entries as the code in the base register says. */
struct amdvi_command {
	uint64_t low, high;
};

struct amdvi_event {
	uint64_t low, high;
};

#define RING_ENTRIES 256u
#define RING_LENGTH (8ull << 56) /* log2 */
#define RING_SHIFT 4u            /* of an index in the head and tail registers */

_Static_assert(RING_ENTRIES * sizeof(struct amdvi_command) == PAGE_SIZE, "a ring is a page");

#define COMMAND(code) ((uint64_t)(code) << 60)
#define COMPLETION_WAIT COMMAND(1) /* the address, in multiples of 8, and what is stored there in the high word */
#define COMPLETION_WAIT_STORE (1ull << 0)
#define INVALIDATE_DEVTAB_ENTRY COMMAND(2) /* the device id */
#define INVALIDATE_IOMMU_PAGES COMMAND(3)
#define INVALIDATE_DOMAIN(domain) ((uint64_t)(domain) << 32)
#define INVALIDATE_IOMMU_ALL COMMAND(8)
/* High word: S and PDE, of all addresses: the first clear bit above 11 says how many. */
#define INVALIDATE_ALL_PAGES (0x7ffffffffffff000ull | 1u << 0 | 1u << 1)

#define EVENT_CODE(low) ((uint32_t)((low) >> 60))
#define EVENT_DEVICE(low) ((uint32_t)((low) & 0xffff))
