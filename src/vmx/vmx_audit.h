/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the hardware's checks of a VMCS at an entry, one after the other: the hardware says no more than that one of them failed. Those of what
 * Scrim uses: no APIC virtualization, no posted interrupts, no VM functions, not in SMM.
 */
#pragma once

#include "vmx/vmcs.h"
#include "vmx/vmx_controls.h"

struct vmx_audit_cpu {
	const struct vmx_capabilities *capabilities;
	uint32_t address_bits, linear_bits; /* MAXPHYADDR; 48, or 57 */
};

typedef uint64_t (*vmx_read_field_fn)(void *context, enum vmcs_field field);

/* The first field that is wrong, and the manual's rule (Intel SDM vol. 3, by section). */
struct vmx_fault {
	enum vmcs_field field;
	uint64_t value;
	const char *rule; /* NULL: nothing is wrong */
};

/* `read` reads a field that the CPU has by its capabilities. */
struct vmx_fault vmx_audit(const struct vmx_audit_cpu *cpu, vmx_read_field_fn read, void *context);
