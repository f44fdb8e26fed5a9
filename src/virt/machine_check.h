/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what the OS is told of machine-check addresses. The hardware's are machine addresses, and the OS takes them for physical
 * ones: while pages may be displaced it would blame, and take out of use, another page than the one that the error hit.
 */
#pragma once

#include "virt/machine.h"

/*
 * The physical address of what is at this machine address now: *address is changed. False: no page is there. Takes the machine lock; in
 * an exit of `self`.
 */
bool machine_check_translate(struct cpu *self, uint64_t *address) MUST_CHECK;

/* The same, and it is kept for MACHINE_CHECK: the OS reads it. */
bool machine_check_tell(struct cpu *self, uint64_t *address) MUST_CHECK;

/* What the OS was told, the last first; false: not so many are kept. Machine lock held. */
bool machine_check_get(uint64_t index, uint64_t *physical, uint64_t *told_by_hardware) MUST_CHECK;

/* No page is displaced any more: from now on the two are the same. Machine lock held. */
void machine_check_forget(void);

/*
 * machine_check_banks.c: whether the read is of a bank and its CPU translates; if so *ok, else #GP, and what the OS gets. In an exit of this
 * CPU; takes the machine lock.
 */
bool machine_check_read(struct cpu *self, uint32_t msr, uint64_t *value, bool *ok);
