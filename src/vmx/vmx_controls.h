/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the controls that every VMCS starts with. */
#pragma once

#include "base/types.h"

struct vmx_controls {
	uint32_t pin, primary, secondary, exit, entry;
};

const struct vmx_controls *vmx_controls(void);
