/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the calling CPU's local APIC, in xAPIC or x2APIC mode, whichever the OS has it in at the moment
 * (AMD APM vol. 2, chapter 16; Intel SDM vol. 3, chapter 11).
 */
#pragma once

#include "base/types.h"

#define APIC_PAGE 0xfee00000ull
#define APIC_REG_ID 0x20u
#define APIC_REG_EOI 0xb0u
#define APIC_REG_SVR 0xf0u
#define APIC_REG_ICR_LOW 0x300u
#define APIC_REG_ICR_HIGH 0x310u

#define APIC_SVR_ENABLE (1u << 8)

/* ICR fields (APM vol. 2, 16.5). */
#define ICR_VECTOR(icr) ((uint32_t)(icr) & 0xffu)
#define ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7u)
#define ICR_MODE_NMI 4u
#define ICR_MODE_INIT 5u
#define ICR_MODE_STARTUP 6u
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_LOGICAL (1u << 11)
#define ICR_SHORTHAND(icr) ((uint32_t)(icr) >> 18 & 3u)
#define ICR_SHORTHAND_NONE 0u
#define ICR_SHORTHAND_SELF 1u
#define ICR_SHORTHAND_ALL 2u
#define ICR_SHORTHAND_OTHERS 3u

/* APIC id of this CPU by CPUID: also right when the APIC is disabled. Below 255 on every machine that Scrim serves. */
uint32_t apic_id_by_cpuid(void);

bool apic_is_x2apic(void);

/* True unless the APIC is off in APIC_BASE or by its spurious-vector register: what a parking CPU does first. */
bool apic_is_enabled(void);

/*
 * Sends one IPI: low word of the ICR and the destination's APIC id. Waits until the one before it has left, and leaves ICR
 * high as found: the OS may be between writing its two halves.
 */
void apic_send(uint32_t apic_id, uint32_t icr_low);

/* The OS's own write of ICR low in xAPIC mode, ICR high being already the OS's. */
void apic_write(uint32_t reg, uint32_t value);
uint32_t apic_read(uint32_t reg);
