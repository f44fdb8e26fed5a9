/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the notes of a CPU in a core file. */
#pragma once

#include <stdio.h>

#include "core_header.h"

/* NT_PRSTATUS of `CORE`, and QEMU's of its own name; `number` counts from 1. */
void core_notes_write(FILE *stream, const struct core_cpu *cpu, unsigned number);
