/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what every exit begins and ends with, and what exits mean apart from how a vendor's hardware tells it. In an exit of the CPU, all of it. */
#pragma once

#include "base/addr.h"
#include "virt/cpu.h"
#include "xlat/guest_walk.h"

/* First of all, but for what has to be there before this CPU waits. */
void exit_begin(struct cpu *self);

/* Last of all; a kick that comes later makes the CPU exit again, which is the vendor's to see to. */
void exit_end(struct cpu *self, enum scrim_exit cause);

/* An access to a port that exited; not string I/O. */
struct exit_io {
	uint16_t port;
	uint32_t bytes; /* 1, 2, 4 */
	bool is_in;
};

/* Does it: a request, or what the bare machine would do. *rax is the OS's, before and behind it. */
void exit_do_io(struct cpu *self, const struct exit_io *io, uint64_t *rax);
enum scrim_exit exit_io_cause(uint16_t port);

/*
 * EFER is to become `value` where it is `efer`, with CR0 as given: what it has then, LMA left as it is. `hidden`: bits that the OS is to take
 * for reserved. False: #GP.
 */
bool exit_write_efer(uint64_t cr0, uint64_t hidden, uint64_t value, uint64_t *efer) MUST_CHECK;

/* What MOV CR3 is given. False: #GP. */
bool exit_is_cr3_valid(const struct guest_paging *paging, uint64_t value);

/* A write to `page` that the map does not let through is one to the APIC's registers, to be done for the OS. */
bool exit_is_apic_write(gfn_t page);
