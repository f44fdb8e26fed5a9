/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Scrim's version. */
#pragma once

#define SCRIM_VERSION_MAJOR 0u
#define SCRIM_VERSION_MINOR 1u
#define SCRIM_VERSION_PATCH 0u
#define SCRIM_VERSION (SCRIM_VERSION_MAJOR << 16 | SCRIM_VERSION_MINOR << 8 | SCRIM_VERSION_PATCH)
