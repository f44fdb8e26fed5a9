/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what is asked of the contents of memory: a fast 64-bit hash (XXH64), not against an enemy; and whether pages are equal, for certain. */
#pragma once

#include "base/types.h"

uint64_t hash_bytes(const void *bytes, size_t count);

/* A hash of a few words of a page. */
uint64_t hash_page_sample(const void *page);

/* Of two whole pages. */
bool hash_pages_equal(const void *a, const void *b);
