/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides scripts that are written by hand: the whole way from NATIVE to NATIVE, by the several ways there are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SEEDS 12u
#define SEED_IMAGE 10u /* runs out of frames, too */
#define SEED_BYTES_MAX 4096u

/* Returns its length. */
size_t seed_make(uint32_t number, uint8_t *bytes);
