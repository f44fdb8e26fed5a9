/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the files of the boot share. */
#pragma once

#include "boot/boot_options.h"
#include "boot/placement.h"
#include "hw/acpi.h"
#include "iommu/iommu.h"
#include "virt/own.h"
#include "virt/vendor.h"

#define MULTIBOOT1_MAGIC 0x2badb002u /* in EAX: Multiboot 3.2 */
#define BOOT_GDT_BYTES 32u           /* the guest's first */

/* All that the first half finds out and the second acts on. Moves with the image; of it only acpi.rsdp may point into it. */
struct boot_state {
	struct boot_info info;
	struct boot_options options;
	struct guest_image guest;
	struct placement place;
	struct own_demand demand;
	struct acpi_machine acpi;
	struct iommu iommu;
	bool serve;           /* false: boot the module natively */
	uint32_t boundary_count, address_bits;
	bool has_1g;
	uint64_t ram_end;
};


extern struct boot_state boot;

extern uint8_t image_start[], image_end[];

/* Says why in one line and halts: nothing can be booted. */
void NORETURN stop(const char *why);

/* NULL: none's. */
const struct vendor_ops *boot_vendor(void);

/* --- demand.c --- */

/* Fills boot.demand: what Scrim's block has to hold, or, where it does not serve, what the way to the module needs. */
void measure_demand(void);

/* Bytes of the parts that are handed out by name. */
uint64_t share_slots_bytes(uint64_t ram_end);
uint64_t near_bytes(uint64_t ram_end);
/* Of the CPUs' tables: as far as the APIC's page as well, whose entry every event of a switch sets (guard_trap_apic()). */
uint64_t cpu_near_bytes(void);
uint64_t v2m_bytes(void);

/* --- handover.c --- */

/* Puts the module, its initrd and its parameters where boot.place says. *entry: how the first CPU begins it. */
void hand_over(struct guest_entry *entry);
