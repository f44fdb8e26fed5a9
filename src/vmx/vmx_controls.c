/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the choice of controls. In NATIVE an OS at work is to exit for its NMIs alone, and for what VMX forces, which no control names: CPUID, XSETBV,
 * INVD, GETSEC, the VMX instructions. What is left out, and why that is right:
 *
 *     external interrupts    are the OS's, by its own IDT
 *     PAT                    is not switched: Scrim's own tables use its entry 0 alone, which an OS leaves write-back
 *     performance, PT, LBR   neither saved nor loaded: they go on counting in an exit, as in SMM
 *     CET, PKS               Scrim has CR4.CET and CR4.PKS clear, so the OS's MSRs mean nothing meanwhile
 *
 * Saved and loaded are DR7 and DEBUGCTL, since an exit resets both (27.5.1), and EFER: without, an entry would make EFER.LME of LMA (26.3.2.1), and an
 * OS that has set the one and not yet the other could not be interrupted.
 */
#include "vmx/vmx_controls.h"

#include "vmx/vmcs.h"
#include "vmx/vmx_capability.h"

#define PIN (PIN_NMI |          /* a kick must exit */                                                         \
	     PIN_VIRTUAL_NMIS)  /* the OS's own are injected, and held back until its IRET by the hardware */
#define PRIMARY (PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY)
#define PRIMARY_AT_TIMES (PRIMARY_NMI_WINDOW | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_INVLPG)
#define SECONDARY SECONDARY_WBINVD /* the only sign that an OS gives of parking a CPU */
#define SECONDARY_AT_TIMES SECONDARY_DESCRIPTOR_TABLE
#define NESTED (SECONDARY_EPT | SECONDARY_UNRESTRICTED)
/* Instructions that are #UD without, where the CPU has them. */
#define SECONDARY_INSTRUCTIONS (SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_USER_WAIT)
#define EXIT (EXIT_HOST_64 | EXIT_SAVE_DEBUG | EXIT_SAVE_EFER | EXIT_LOAD_EFER)
#define ENTRY (ENTRY_LOAD_DEBUG | ENTRY_LOAD_EFER)

/* Of the primary controls, what an OS at work would exit for; and where nothing exits, nothing is virtual either. */
#define PRIMARY_NEVER                                                                                                    \
	(PRIMARY_HLT | PRIMARY_INVLPG | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_RDTSC | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | \
	 PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE | PRIMARY_TPR_SHADOW | PRIMARY_MOV_DR | PRIMARY_IO | PRIMARY_MONITOR_TRAP |      \
	 PRIMARY_MONITOR | PRIMARY_PAUSE | PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)

#define EPT_NEEDED (EPT_CAP_FOUR_LEVELS | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_INVEPT)
#define EPT_INVEPT_TYPES (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)

#define NEEDED "; Scrim needs it: booting without Scrim"

void vmx_capabilities_read(struct vmx_capabilities *capabilities, uint64_t (*read)(uint32_t msr))
{
	struct vmx_capabilities *c = capabilities;

	*c = (struct vmx_capabilities){ .basic = read(MSR_VMX_BASIC), .misc = read(MSR_VMX_MISC) };
	bool is_true = c->basic & VMX_BASIC_TRUE_CONTROLS;
	c->pin = read(is_true ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
	c->primary = read(is_true ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY);
	c->exit = read(is_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
	c->entry = read(is_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
	if (VMX_MAY_BE_ONE(c->primary) & PRIMARY_SECONDARY)
		c->secondary = read(MSR_VMX_SECONDARY);
	if (VMX_MAY_BE_ONE(c->secondary) & (SECONDARY_EPT | SECONDARY_VPID))
		c->ept_vpid = read(MSR_VMX_EPT_VPID);
	c->cr0_fixed0 = read(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = read(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = read(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = read(MSR_VMX_CR4_FIXED1);
}

uint32_t vmx_adjust(uint64_t capability, uint32_t wanted)
{
	return (wanted & VMX_MAY_BE_ONE(capability)) | VMX_MUST_BE_ONE(capability);
}

static bool has_all(uint64_t capability, uint32_t bits)
{
	return (VMX_MAY_BE_ONE(capability) & bits) == bits;
}

/* What it would help to know first comes first: a CPU without EPT lacks much else. */
static const char *find_lack(const struct vmx_capabilities *c)
{
	if (!has_all(c->secondary, SECONDARY_EPT))
		return "has VMX without EPT" NEEDED;
	if (!has_all(c->secondary, SECONDARY_UNRESTRICTED))
		return "has VMX without the unrestricted guest, by which a CPU runs the OS while it has paging off, as each does that starts" NEEDED;
	if ((c->ept_vpid & EPT_NEEDED) != EPT_NEEDED || !(c->ept_vpid & EPT_INVEPT_TYPES))
		return "has VMX without EPT's write-back tables of four levels with leaves of 2 MiB, or INVEPT" NEEDED;
	if (!has_all(c->pin, PIN) || !has_all(c->primary, PRIMARY_NMI_WINDOW))
		return "has VMX without virtual NMIs" NEEDED;
	if (!has_all(c->primary, PRIMARY))
		return "has VMX without bitmaps of ports or of MSRs" NEEDED;
	if (VMX_MUST_BE_ONE(c->primary) & PRIMARY_NEVER || VMX_MUST_BE_ONE(c->pin) & PIN_EXTERNAL_INTERRUPT)
		return "has VMX without true controls, so that much would exit that must not" NEEDED;
	if (!has_all(c->primary, PRIMARY_AT_TIMES) || !has_all(c->secondary, SECONDARY | SECONDARY_AT_TIMES))
		return "has VMX without exits by CR3, INVLPG, WBINVD or LIDT" NEEDED;
	if (!has_all(c->exit, EXIT) || !has_all(c->entry, ENTRY | ENTRY_GUEST_64))
		return "has VMX without 64-bit hosts and guests, or EFER or DEBUGCTL switched with them" NEEDED;
	return NULL;
}

const char *vmx_controls_choose(const struct vmx_capabilities *capabilities, struct vmx_controls *controls)
{
	const struct vmx_capabilities *c = capabilities;
	const char *lack = find_lack(c);
	const uint64_t vpid = VPID_CAP_INVVPID | VPID_CAP_INVVPID_SINGLE;

	if (lack)
		return lack;
	bool has_vpid = has_all(c->secondary, SECONDARY_VPID) && (c->ept_vpid & vpid) == vpid;
	*controls = (struct vmx_controls){
		.pin = vmx_adjust(c->pin, PIN),
		.primary = vmx_adjust(c->primary, PRIMARY),
		.secondary = vmx_adjust(c->secondary, SECONDARY | SECONDARY_INSTRUCTIONS | (has_vpid ? SECONDARY_VPID : 0)),
		.nested = NESTED,
		.exit = vmx_adjust(c->exit, EXIT),
		.entry = vmx_adjust(c->entry, ENTRY),
		.has_vpid = has_vpid,
		.invalidates_address = has_vpid && c->ept_vpid & VPID_CAP_INVVPID_ADDRESS,
		.invalidates_single = c->ept_vpid & EPT_CAP_INVEPT_SINGLE,
		.has_1g = c->ept_vpid & EPT_CAP_1G,
	};
	return NULL;
}
