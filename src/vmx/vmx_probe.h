/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the judgement whether a CPU's VMX is enough for Scrim, apart from the CPU. */
#pragma once

#include "vmx/vmx_controls.h"

/* What vmx.c found; zero as well for what it could not ask. */
struct vmx_features {
	bool has_vmx;
	bool firmware_disabled; /* FEATURE_CONTROL is locked, and VMXON is not let outside SMX */
	bool has_unknown_mtrrs; /* they do not tell types of memory (hw/mtrr.h) */
	struct vmx_capabilities capabilities;
};

/* NULL: good, and *controls are to be used. Else the end of a line for people that begins with the CPU. */
const char *vmx_probe_judge(const struct vmx_features *features, struct vmx_controls *controls);
