/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the words for the ABI's numbers, as `status` prints them. A number without a word is "unknown". */
#pragma once

#include <stdint.h>

#include "scrim_abi.h"

const char *name_of_state(uint64_t state);
const char *name_of_vendor(uint64_t vendor);
const char *name_of_backend(uint64_t backend);
const char *name_of_reverse(uint64_t reverse);
const char *name_of_iommu(uint64_t iommu);
const char *name_of_watch(uint64_t watch);
const char *name_of_cpu_mode(uint64_t mode);
const char *name_of_op(uint64_t op);
const char *name_of_exit(uint64_t cause);
const char *name_of_status(uint64_t status);
const char *name_of_violation(uint64_t violation);

/* One clause each. */
const char *meaning_of_state(uint64_t state);
const char *meaning_of_violation(uint64_t violation);
