/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what the two files of the audit share. */
#pragma once

#include "vmx/vmx_audit.h"

struct audit {
	const struct vmx_audit_cpu *cpu;
	vmx_read_field_fn read;
	void *context;
	struct vmx_fault fault; /* the first */
	/* Read once, for what depends on them. */
	uint32_t pin, primary, secondary, exit, entry;
	uint32_t event;          /* that is injected; 0: none */
	uint64_t cr0, cr4, rflags; /* the guest's */
};

static inline uint64_t audit_get(const struct audit *audit, enum vmcs_field field)
{
	return audit->read(audit->context, field);
}

/* `field` is right where this holds. */
void audit_expect(struct audit *audit, enum vmcs_field field, bool holds, const char *rule);

void audit_canonical(struct audit *audit, enum vmcs_field field, const char *rule);
/* A physical address, aligned. */
void audit_address(struct audit *audit, enum vmcs_field field, uint64_t alignment, const char *rule);
/* Each byte is a memory type. */
void audit_pat(struct audit *audit, enum vmcs_field field, const char *rule);
/* Nothing but SCE, LME, LMA and NXE, and LMA as the mode has it. */
void audit_efer(struct audit *audit, enum vmcs_field field, bool is_long, bool is_paging, const char *rule);

/* vmx_audit_guest.c: 26.3.1. */
void audit_guest(struct audit *audit);
