/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides a fast 64-bit hash of bytes (XXH64). Not against an enemy: who needs certainty compares. */
#pragma once

#include "base/types.h"

uint64_t hash_bytes(const void *bytes, size_t count);
