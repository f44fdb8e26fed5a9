/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns every CPU's VMCS between exits. Every lasting reason for an exit is set here, in vmx_controls.c or in vmx_bitmaps.c, with its reason;
 * the NMI window is vmx_nmi.c's. ARCHITECTURE.md has all of them as a table.
 */
#include "base/str.h"
#include "hw/console.h"
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/guard.h"
#include "virt/guest_memory.h"
#include "virt/shadow.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

#define GUEST_VPID 1u /* a logical processor's TLB is its own, and each has one guest */

#define HOST_CODE_SELECTOR 8u
#define HOST_TR_SELECTOR 16u /* must not be null (26.2.3); what it selects is never looked at */

/* Access rights: access byte, then AVL, L, D/B, G from bit 12 on (24.4.1). */
#define FLAT_CODE32 0xc09bu
#define FLAT_DATA32 0xc093u
#define REAL_CODE 0x009bu
#define REAL_DATA 0x0093u
#define LDT 0x0082u
#define TSS_BUSY 0x008bu

#define PDPTE_COUNT 4u
#define CR3_PAE_MASK 0xffffffe0ull

uint64_t vmx_read(enum vmcs_field field)
{
	uint64_t value;

	if (vmread(field, &value) != VMX_SUCCEEDED)
		panic("VMREAD of field %x fails: a bug in Scrim", (uint32_t)field);
	return value;
}

void vmx_write(enum vmcs_field field, uint64_t value)
{
	if (vmwrite(field, value) != VMX_SUCCEEDED)
		panic("VMWRITE of field %x fails: a bug in Scrim", (uint32_t)field);
}

static void set_bits(enum vmcs_field field, uint64_t bits, bool on)
{
	uint64_t old = vmx_read(field), value = on ? old | bits : old & ~bits;

	if (value != old)
		vmx_write(field, value);
}

void vmx_set_primary(uint32_t bits, bool on)
{
	set_bits(VMCS_PRIMARY_CONTROLS, bits, on);
}

/* --- what the CPU forgets --- */

static uint64_t ept_pointer(void)
{
	return machine.xlat.root | EPTP_FOUR_LEVELS | EPTP_WRITE_BACK;
}

/*
 * Forgets what is tagged with the VPID (linear and combined translations) and with the EPT pointer (guest-physical and combined ones): 28.3.3.3
 * asks for the former where the OS's translations change, and for the latter where the map's rights or addresses do. Without a VPID each entry
 * forgets what is linear or combined by itself (28.3.3.1). At once: none is made anew before the next entry, since what Scrim uses itself is of VPID 0.
 */
static void forget(void)
{
	if (vmx_controls.has_vpid)
		CHECK(invvpid(INVVPID_SINGLE, GUEST_VPID, 0) == VMX_SUCCEEDED);
	if (machine.xlat.root)
		CHECK(invept(vmx_controls.invalidates_single ? INVEPT_SINGLE : INVEPT_ALL, ept_pointer()) == VMX_SUCCEEDED);
}

void vmx_flush(struct cpu *cpu)
{
	(void)cpu;
	__atomic_fetch_add(&machine.count.flushes, 1, __ATOMIC_RELAXED);
	forget();
}

/* Linear and combined translations, of the VPID. An address that is not canonical is refused: there are none of it. */
void vmx_flush_address(struct cpu *cpu, uint64_t linear)
{
	if (!vmx_controls.has_vpid)
		return;
	if (!vmx_controls.invalidates_address || invvpid(INVVPID_ADDRESS, GUEST_VPID, linear) != VMX_SUCCEEDED)
		vmx_flush(cpu);
}

/* --- what is the same from the first entry on --- */

static void set_controls(void)
{
	const struct vmx_controls *controls = &vmx_controls;

	vmx_write(VMCS_PIN_CONTROLS, controls->pin);
	vmx_write(VMCS_PRIMARY_CONTROLS, controls->primary);
	vmx_write(VMCS_SECONDARY_CONTROLS, controls->secondary);
	vmx_write(VMCS_EXIT_CONTROLS, controls->exit);
	vmx_write(VMCS_ENTRY_CONTROLS, controls->entry);
	if (controls->has_vpid)
		vmx_write(VMCS_VPID, GUEST_VPID);
	vmx_set_io_bitmaps();
	vmx_write(VMCS_EXCEPTION_BITMAP, 0);
	vmx_write(VMCS_PAGE_FAULT_MASK, 0);
	vmx_write(VMCS_PAGE_FAULT_MATCH, 0);
	vmx_write(VMCS_CR3_TARGET_COUNT, 0);
	vmx_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmx_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmx_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmx_write(VMCS_ENTRY_EVENT, 0);
	vmx_write(VMCS_GUEST_LINK_POINTER, LINK_POINTER_NONE);
	if (controls->secondary & SECONDARY_XSAVES)
		vmx_write(VMCS_XSS_EXITING_BITMAP, 0);
}

/* Where an exit leads; its rip and rsp are vmx_entry.S's. */
static void set_host(void)
{
	struct descriptor_table_pointer gdt, idt;

	sgdt(&gdt);
	sidt(&idt);
	vmx_write(VMCS_HOST_CR0, read_cr0());
	vmx_write(VMCS_HOST_CR3, read_cr3());
	vmx_write(VMCS_HOST_CR4, read_cr4());
	vmx_write(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmx_write(VMCS_HOST_CS_SELECTOR, HOST_CODE_SELECTOR);
	vmx_write(VMCS_HOST_SS_SELECTOR, 0);
	vmx_write(VMCS_HOST_DS_SELECTOR, 0);
	vmx_write(VMCS_HOST_ES_SELECTOR, 0);
	vmx_write(VMCS_HOST_FS_SELECTOR, 0);
	vmx_write(VMCS_HOST_GS_SELECTOR, 0);
	vmx_write(VMCS_HOST_TR_SELECTOR, HOST_TR_SELECTOR);
	vmx_write(VMCS_HOST_FS_BASE, 0);
	vmx_write(VMCS_HOST_GS_BASE, 0);
	vmx_write(VMCS_HOST_TR_BASE, 0);
	vmx_write(VMCS_HOST_GDTR_BASE, gdt.base);
	vmx_write(VMCS_HOST_IDTR_BASE, idt.base);
	vmx_write(VMCS_HOST_SYSENTER_CS, 0);
	vmx_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmx_write(VMCS_HOST_SYSENTER_EIP, 0);
}

static void set_segment(enum vmcs_segment segment, uint64_t base, uint32_t limit, uint32_t rights)
{
	vmx_write(VMCS_GUEST_BASE(segment), base);
	vmx_write(VMCS_GUEST_LIMIT(segment), limit);
	vmx_write(VMCS_GUEST_RIGHTS(segment), rights);
}

static void set_data_segments(uint16_t selector, uint32_t limit, uint32_t rights)
{
	for (enum vmcs_segment segment = VMCS_ES; segment <= VMCS_GS; segment++) {
		if (segment == VMCS_CS)
			continue;
		vmx_write(VMCS_GUEST_SELECTOR(segment), selector);
		set_segment(segment, 0, limit, rights);
	}
}

static void set_table(enum vmcs_field base_field, uint64_t base, enum vmcs_field limit_field, uint32_t limit)
{
	vmx_write(base_field, base);
	vmx_write(limit_field, limit);
}

/* What both starts have in common. The guard's exits come on top (guard_apply). */
static void reset(struct cpu *cpu)
{
	set_controls();
	set_host();
	vmx_write(VMCS_GUEST_CR3, 0);
	vmx_write(VMCS_GUEST_EFER, 0);
	vmx_write(VMCS_GUEST_DR7, 0x400);
	vmx_write(VMCS_GUEST_DEBUGCTL, 0);
	vmx_write(VMCS_GUEST_RSP, 0);
	vmx_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmx_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmx_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmx_write(VMCS_GUEST_SYSENTER_CS, 0);
	vmx_write(VMCS_GUEST_SYSENTER_ESP, 0);
	vmx_write(VMCS_GUEST_SYSENTER_EIP, 0);
	vmx_write(VMCS_GUEST_LDTR_SELECTOR, 0);
	vmx_write(VMCS_GUEST_TR_SELECTOR, 0);
	set_segment(VMCS_LDTR, 0, 0xffff, LDT);
	set_segment(VMCS_TR, 0, 0xffff, TSS_BUSY);
	vmx_write(VMCS_CR4_MASK, VMX_CR4_HIDDEN);
	vmx_write(VMCS_CR4_SHADOW, 0);
	vmx_write(VMCS_GUEST_CR4, CR4_VMXE);
	memset(&cpu->regs, 0, sizeof(cpu->regs));
	memset(&cpu->nmi, 0, sizeof(cpu->nmi));
	cpu->nmi_in_vmm = cpu->entered = 0;
	cpu->translating = cpu->guarded_msrs = cpu->watching_cr3 = cpu->cr3_watched = cpu->step_aside = false;
	cpu->mode = SCRIM_BACKEND_NATIVE;
	if (cpu->v2m)
		v2m_stop(cpu->v2m);
	forget(); /* whoever had VMX before may have left translations with the same tags */
}

/*
 * CR0 as the OS has it, by mode. NE is set whenever VMX is on, paging and protection as well without EPT (23.8, A.7): the OS reads its own,
 * and a change of it exits.
 */
static void set_cr0(const struct cpu *cpu, uint64_t cr0)
{
	uint64_t mask = CR0_NE;

	if (vmx_is_v2m(cpu))
		mask = ~(CR0_TS | CR0_MP); /* as paging is: its changes step aside */
	else if (cpu->mode == SCRIM_BACKEND_NATIVE)
		mask |= CR0_PE | CR0_PG;
	vmx_write(VMCS_CR0_MASK, mask);
	vmx_write(VMCS_CR0_SHADOW, cr0);
	vmx_write(VMCS_GUEST_CR0, cr0 | CR0_NE);
}

uint64_t vmx_guest_cr0(void)
{
	uint64_t mask = vmx_read(VMCS_CR0_MASK);

	return (vmx_read(VMCS_GUEST_CR0) & ~mask) | (vmx_read(VMCS_CR0_SHADOW) & mask);
}

void vmx_reset_to_entry(struct cpu *cpu, const struct guest_entry *entry)
{
	reset(cpu);
	set_cr0(cpu, CR0_PE | CR0_ET);
	vmx_write(VMCS_GUEST_CS_SELECTOR, 0x10);
	set_segment(VMCS_CS, 0, 0xffffffff, FLAT_CODE32);
	set_data_segments(0x18, 0xffffffff, FLAT_DATA32);
	set_table(VMCS_GUEST_GDTR_BASE, entry->gdt, VMCS_GUEST_GDTR_LIMIT, entry->gdt_bytes - 1u);
	set_table(VMCS_GUEST_IDTR_BASE, 0, VMCS_GUEST_IDTR_LIMIT, 0);
	vmx_write(VMCS_GUEST_RIP, entry->rip);
	vmx_write(VMCS_GUEST_RSP, entry->rsp);
	cpu->regs.rax = entry->rax;
	cpu->regs.rbx = entry->rbx;
	cpu->regs.rsi = entry->rsi;
}

void vmx_reset_to_startup(struct cpu *cpu, uint8_t vector)
{
	reset(cpu);
	/* Table 9-1, after INIT; caches as firmware left them, on. */
	set_cr0(cpu, CR0_ET);
	vmx_write(VMCS_GUEST_CS_SELECTOR, (uint64_t)vector << 8);
	set_segment(VMCS_CS, (uint64_t)vector << 12, 0xffff, REAL_CODE);
	set_data_segments(0, 0xffff, REAL_DATA);
	set_table(VMCS_GUEST_GDTR_BASE, 0, VMCS_GUEST_GDTR_LIMIT, 0xffff);
	set_table(VMCS_GUEST_IDTR_BASE, 0, VMCS_GUEST_IDTR_LIMIT, 0xffff);
	vmx_write(VMCS_GUEST_RIP, 0);
	cpu->regs.rdx = cpuid(1, 0).eax;
}

/* --- what stands in the access path --- */

/*
 * With EPT, the four entries that PAE paging keeps in the CPU are the VMCS's, not read from memory in each entry (26.3.2.4). The
 * OS's memory is where the OS put it while this CPU begins to translate, or the map says where it is.
 */
static void load_pdptes(uint64_t cr0)
{
	uint64_t cr3 = vmx_read(VMCS_GUEST_CR3) & CR3_PAE_MASK, pdpte[PDPTE_COUNT];
	bool is_pae = cr0 & CR0_PG && vmx_read(VMCS_GUEST_CR4) & CR4_PAE && !(vmx_read(VMCS_GUEST_EFER) & EFER_LMA);
	enum mem_access access;

	if (!is_pae)
		return;
	const uint8_t *page = guest_memory_page(NULL, gfn_of_address(cr3), &access);
	CHECK(page);
	memcpy(pdpte, page + (cr3 & PAGE_MASK), sizeof(pdpte));
	for (uint32_t i = 0; i < PDPTE_COUNT; i++)
		vmx_write((enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * i), pdpte[i]);
}

void vmx_set_backend(struct cpu *cpu, enum scrim_backend to)
{
	uint64_t cr0 = vmx_guest_cr0();
	bool nested = to == SCRIM_BACKEND_NESTED;

	if (vmx_is_v2m(cpu))
		vmx_leave_v2m(cpu);
	if (shadow_is_v2m(to)) /* by the OS's registers as they are without */
		vmx_enter_v2m(cpu, to == SCRIM_BACKEND_SHADOW ? V2M_KEPT_SHADOW : V2M_KEPT_VTLB);
	cpu->mode = to;
	if (nested) {
		vmx_write(VMCS_EPT_POINTER, ept_pointer());
		load_pdptes(cr0);
	}
	/* An unrestricted guest, whose paging may be off, there is with EPT alone (26.2.1.1). */
	set_bits(VMCS_SECONDARY_CONTROLS, vmx_controls.nested, nested);
	set_cr0(cpu, cr0);
	vmx_set_intercepts(cpu);
	vmx_choose_msr_bitmap(cpu);
	/* Without EPT the translations are linear, with it combined: each kind may be stale since the last time that it was used. */
	vmx_flush(cpu);
}

void vmx_set_intercepts(struct cpu *cpu)
{
	/* Its paging is or was off, or it has stepped aside: with its next CR3 load at the latest it goes back. */
	bool aside = cpu->mode == SCRIM_BACKEND_NESTED && !machine.guard && (!cpu->memory_on || shadow_is_v2m(cpu->backend));
	bool v2m = vmx_is_v2m(cpu);

	/*
	 * CR3 loads: where a starting CPU arrives in the OS, or where an OS that has emptied its IDT hands over to another.
	 * LIDT: leads to the latter; needless while CR3 loads are watched anyway. An OS in its stride executes no LIDT.
	 */
	vmx_set_primary(PRIMARY_CR3_LOAD, cpu->cr3_watched || v2m || aside);
	vmx_set_primary(PRIMARY_CR3_STORE | PRIMARY_INVLPG, v2m); /* and INVPCID along with INVLPG (25.1.3) */
	vmx_write(VMCS_EXCEPTION_BITMAP, v2m ? 1u << VECTOR_PF : 0);
	set_bits(VMCS_SECONDARY_CONTROLS, SECONDARY_DESCRIPTOR_TABLE, !cpu->cr3_watched);
}

void vmx_intercept_apic_msrs(struct cpu *cpu, bool on)
{
	cpu->guarded_msrs = on;
	vmx_choose_msr_bitmap(cpu);
}

void vmx_intercept_cr3_load(struct cpu *cpu, bool on)
{
	cpu->cr3_watched = on;
	vmx_set_intercepts(cpu);
}

/* --- events --- */

void vmx_skip(void)
{
	vmx_skip_to(vmx_read(VMCS_GUEST_RIP) + vmx_read(VMCS_EXIT_INSN_LENGTH));
}

void vmx_skip_to(uint64_t next_rip)
{
	uint64_t rflags = vmx_read(VMCS_GUEST_RFLAGS);

	vmx_write(VMCS_GUEST_RIP, next_rip);
	set_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI | BLOCKED_BY_MOV_SS, false);
	if (rflags & RFLAGS_RF)
		vmx_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	if (rflags & RFLAGS_TF)
		set_bits(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS, true);
}

void vmx_inject_exception(uint32_t vector, bool has_error)
{
	vmx_write(VMCS_ENTRY_EVENT_ERROR, 0);
	vmx_write(VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, vector) | (has_error ? VMX_EVENT_HAS_ERROR : 0));
}
