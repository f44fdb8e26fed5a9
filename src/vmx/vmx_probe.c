/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the reasons for which a CPU is refused, and their order: what firmware could change is named only where it would help. */
#include "vmx/vmx_probe.h"

const char *vmx_probe_judge(const struct vmx_features *features, struct vmx_controls *controls)
{
	if (!features->has_vmx)
		return "has no Intel VMX; Scrim needs it: booting without Scrim";
	const char *lack = vmx_controls_choose(&features->capabilities, controls);
	if (!lack && features->firmware_disabled)
		return "has VMX disabled by firmware; enable it in the firmware's set-up: booting without Scrim";
	if (!lack && features->has_unknown_mtrrs)
		return "has MTRRs of a kind that Scrim does not know; types of memory cannot be told: booting without Scrim";
	return lack;
}
