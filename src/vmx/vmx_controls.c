/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the controls. */
#include "vmx/vmx_controls.h"

#include "hw/insn.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_capability.h"

static uint32_t adjust(uint32_t msr, uint32_t wanted)
{
	uint64_t c = rdmsr(msr);
	return (wanted | VMX_MUST_BE_ONE(c)) & VMX_MAY_BE_ONE(c);
}

const struct vmx_controls *vmx_controls(void)
{
	static struct vmx_controls c;

	if (c.pin)
		return &c;
	c.primary = adjust(MSR_VMX_TRUE_PRIMARY, PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY);
	c.secondary = adjust(MSR_VMX_SECONDARY, SECONDARY_RDTSCP | SECONDARY_VPID | SECONDARY_WBINVD | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_USER_WAIT);
	c.exit = adjust(MSR_VMX_TRUE_EXIT, EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER);
	c.entry = adjust(MSR_VMX_TRUE_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_EFER);
	c.pin = adjust(MSR_VMX_TRUE_PIN, PIN_NMI | PIN_VIRTUAL_NMIS);
	return &c;
}
