/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides scripts that are written by hand: the whole way from NATIVE to NATIVE, by the several ways there are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SEEDS 11u
#define SEED_BYTES_MAX 1500u

/* Returns its length. */
size_t seed_make(uint32_t number, uint8_t *bytes);
