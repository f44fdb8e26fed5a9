/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides requests to Scrim: one IN from its port each, as abi/scrim_abi.h describes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scrim_abi.h"
#include "session.h"

struct registers {
	uint32_t eax, ebx, ecx, esi, edi;
};

/* The transport. Replaced by a fake machine in unit tests. */
struct port_ops {
	int (*open)(void *context); /* asks the OS for the port: 0 or an errno */
	void (*in)(void *context, struct registers *registers);
	bool (*is_root)(void *context);
	/* First line of the kernel's lockdown file ("none [integrity] confidentiality"); false: it cannot be read. */
	bool (*lockdown)(void *context, char *line, size_t size);
};

extern const struct port_ops linux_port;

struct reply {
	uint32_t status; /* enum scrim_status, as far as this program knows it */
	uint64_t result0;
	uint64_t result1;
};

/*
 * Opens the port and asks for the version. False after a complaint: no right to the port, no Scrim, or another ABI.
 * *version is Scrim's own, major << 16 | minor << 8 | patch.
 */
bool request_connect(const struct session *session, uint32_t *version) MUST_CHECK;

struct reply request(const struct session *session, enum scrim_op op, uint64_t argument0,
		     uint64_t argument1) MUST_CHECK;

/* INFO(what). False after a complaint. */
bool request_info(const struct session *session, enum scrim_info what, uint64_t *value) MUST_CHECK;

/* INFO(STATE), checked to be a state that this program knows. False after a complaint. */
bool request_state(const struct session *session, enum scrim_state *state) MUST_CHECK;
