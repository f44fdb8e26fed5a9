/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing. Here: controls (26.2.1) and host state (26.2.2 to 26.2.4), whose order is free to the hardware; it looks at them before the guest's. */
#include "vmx/vmx_audit.h"

#include "base/memory_type.h"
#include "hw/msr.h"
#include "vmx/vmx_audit_parts.h"
#include "vmx/vmx_capability.h"

#define EPTP_RESERVED 0xf80ull
#define ERROR_CODE_VECTORS (1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21)
#define VECTOR_NMI 2u
#define EXCEPTIONS 32u

void audit_expect(struct audit *audit, enum vmcs_field field, bool holds, const char *rule)
{
	if (!holds && !audit->fault.rule)
		audit->fault = (struct vmx_fault){ field, audit_get(audit, field), rule };
}

void audit_canonical(struct audit *audit, enum vmcs_field field, const char *rule)
{
	uint32_t above = 64 - audit->cpu->linear_bits;
	uint64_t value = audit_get(audit, field);

	audit_expect(audit, field, (uint64_t)((int64_t)(value << above) >> above) == value, rule);
}

void audit_address(struct audit *audit, enum vmcs_field field, uint64_t alignment, const char *rule)
{
	uint64_t value = audit_get(audit, field);

	audit_expect(audit, field, !(value & (alignment - 1)) && !(value >> audit->cpu->address_bits), rule);
}

void audit_pat(struct audit *audit, enum vmcs_field field, const char *rule)
{
	uint64_t value = audit_get(audit, field);

	for (uint32_t i = 0; i < 8; i++) {
		uint32_t type = value >> 8 * i & 0xff;
		audit_expect(audit, field, type <= 7 && type != 2 && type != 3, rule);
	}
}

void audit_efer(struct audit *audit, enum vmcs_field field, bool is_long, bool is_paging, const char *rule)
{
	uint64_t value = audit_get(audit, field);
	bool lma = value & EFER_LMA, lme = value & EFER_LME;

	audit_expect(audit, field,
		     !(value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) && lma == is_long && (!is_paging || lma == lme), rule);
}

/* --- controls --- */

static void expect_control(struct audit *a, enum vmcs_field field, uint32_t word, uint64_t capability, const char *rule)
{
	audit_expect(a, field, vmx_adjust(capability, word) == word, rule);
}

static void audit_ept(struct audit *a)
{
	uint64_t eptp = audit_get(a, VMCS_EPT_POINTER), cap = a->cpu->capabilities->ept_vpid;
	uint64_t type_cap = EPTP_TYPE(eptp) == MEMORY_WRITE_BACK ? EPT_CAP_WRITE_BACK : EPT_CAP_UNCACHEABLE;

	audit_expect(a, VMCS_EPT_POINTER, cap & type_cap && (EPTP_TYPE(eptp) == MEMORY_WRITE_BACK || EPTP_TYPE(eptp) == MEMORY_UNCACHEABLE),
		     "26.2.1.1: memory type of the EPT's tables");
	audit_expect(a, VMCS_EPT_POINTER, EPTP_LEVELS(eptp) == 4, "26.2.1.1: levels of the EPT");
	audit_expect(a, VMCS_EPT_POINTER, !(eptp & EPTP_ACCESSED_DIRTY) || cap & EPT_CAP_ACCESSED_DIRTY, "26.2.1.1: accessed and dirty bits in EPT");
	audit_expect(a, VMCS_EPT_POINTER, !(eptp & EPTP_RESERVED) && !(eptp >> a->cpu->address_bits), "26.2.1.1: reserved bits of the EPT pointer");
}

static void audit_execution_controls(struct audit *a)
{
	const struct vmx_capabilities *c = a->cpu->capabilities;

	expect_control(a, VMCS_PIN_CONTROLS, a->pin, c->pin, "26.2.1.1: fixed pin-based controls");
	expect_control(a, VMCS_PRIMARY_CONTROLS, a->primary, c->primary, "26.2.1.1: fixed primary controls");
	expect_control(a, VMCS_SECONDARY_CONTROLS, a->secondary, c->secondary, "26.2.1.1: fixed secondary controls");
	audit_expect(a, VMCS_CR3_TARGET_COUNT, audit_get(a, VMCS_CR3_TARGET_COUNT) <= 4, "26.2.1.1: at most 4 CR3 targets");
	if (a->primary & PRIMARY_IO_BITMAPS) {
		audit_address(a, VMCS_IO_BITMAP_A, PAGE_SIZE, "26.2.1.1: a page");
		audit_address(a, VMCS_IO_BITMAP_B, PAGE_SIZE, "26.2.1.1: a page");
	}
	if (a->primary & PRIMARY_MSR_BITMAPS)
		audit_address(a, VMCS_MSR_BITMAP, PAGE_SIZE, "26.2.1.1: a page");
	audit_expect(a, VMCS_PIN_CONTROLS, a->pin & PIN_NMI || !(a->pin & PIN_VIRTUAL_NMIS), "26.2.1.1: virtual NMIs need NMI exiting");
	audit_expect(a, VMCS_PRIMARY_CONTROLS, a->pin & PIN_VIRTUAL_NMIS || !(a->primary & PRIMARY_NMI_WINDOW),
		     "26.2.1.1: NMI-window exiting needs virtual NMIs");
	audit_expect(a, VMCS_SECONDARY_CONTROLS, a->secondary & SECONDARY_EPT || !(a->secondary & SECONDARY_UNRESTRICTED),
		     "26.2.1.1: the unrestricted guest needs EPT");
	if (a->secondary & SECONDARY_VPID)
		audit_expect(a, VMCS_VPID, audit_get(a, VMCS_VPID) != 0, "26.2.1.1: VPID 0 is the host's");
	if (a->secondary & SECONDARY_EPT)
		audit_ept(a);
}

static void audit_msr_area(struct audit *a, enum vmcs_field count, enum vmcs_field address)
{
	if (audit_get(a, count))
		audit_address(a, address, 16, "26.2.1.2, 26.2.1.3: an area of MSRs");
}

static void audit_exit_controls(struct audit *a)
{
	expect_control(a, VMCS_EXIT_CONTROLS, a->exit, a->cpu->capabilities->exit, "26.2.1.2: fixed exit controls");
	audit_expect(a, VMCS_EXIT_CONTROLS, a->pin & PIN_PREEMPTION_TIMER || !(a->exit & EXIT_SAVE_PREEMPTION_TIMER),
		     "26.2.1.2: the timer is saved and not in use");
	audit_msr_area(a, VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE);
	audit_msr_area(a, VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD);
}

static bool is_vector_right(uint32_t type, uint32_t vector)
{
	switch (type) {
	case VMX_EVENT_NMI:
		return vector == VECTOR_NMI;
	case VMX_EVENT_EXCEPTION:
		return vector < EXCEPTIONS;
	case VMX_EVENT_OTHER:
		return vector == 0;
	default:
		return true;
	}
}

static void audit_event(struct audit *a)
{
	uint32_t type = VMX_EVENT_TYPE(a->event), vector = VMX_EVENT_VECTOR(a->event);
	bool has_error = a->event & VMX_EVENT_HAS_ERROR, has_type = type != 1;
	bool is_protected = a->cr0 & CR0_PE || !(a->secondary & SECONDARY_UNRESTRICTED);
	bool wants_error = type == VMX_EVENT_EXCEPTION && is_protected && vector < EXCEPTIONS && ERROR_CODE_VECTORS >> vector & 1;
	uint64_t length = audit_get(a, VMCS_ENTRY_INSN_LENGTH), shortest = a->cpu->capabilities->misc & VMX_MISC_SOFT_WITHOUT_LENGTH ? 0 : 1;

	if (type == VMX_EVENT_OTHER)
		has_type = VMX_MAY_BE_ONE(a->cpu->capabilities->primary) & PRIMARY_MONITOR_TRAP;
	audit_expect(a, VMCS_ENTRY_EVENT, has_type, "26.2.1.3: type of the event");
	audit_expect(a, VMCS_ENTRY_EVENT, is_vector_right(type, vector), "26.2.1.3: vector of the event");
	audit_expect(a, VMCS_ENTRY_EVENT, has_error == wants_error, "26.2.1.3: whether the event has an error code");
	audit_expect(a, VMCS_ENTRY_EVENT, !(a->event & VMX_EVENT_RESERVED), "26.2.1.3: reserved bits");
	if (has_error)
		audit_expect(a, VMCS_ENTRY_EVENT_ERROR, !(audit_get(a, VMCS_ENTRY_EVENT_ERROR) >> 16), "26.2.1.3: an error code has 16 bits");
	if (type >= VMX_EVENT_SOFT_INTERRUPT && type <= VMX_EVENT_SOFT_EXCEPTION)
		audit_expect(a, VMCS_ENTRY_INSN_LENGTH, length >= shortest && length <= 15, "26.2.1.3: length of the instruction that raised the event");
}

static void audit_entry_controls(struct audit *a)
{
	expect_control(a, VMCS_ENTRY_CONTROLS, a->entry, a->cpu->capabilities->entry, "26.2.1.3: fixed entry controls");
	audit_expect(a, VMCS_ENTRY_CONTROLS, !(a->entry & (ENTRY_TO_SMM | ENTRY_DEACTIVATE_DUAL_MONITOR)), "26.2.1.3: for SMM alone");
	if (a->event)
		audit_event(a);
	audit_msr_area(a, VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD);
}

/* --- host --- */

static void audit_host_registers(struct audit *a)
{
	const struct vmx_capabilities *c = a->cpu->capabilities;
	uint64_t cr0 = audit_get(a, VMCS_HOST_CR0), cr4 = audit_get(a, VMCS_HOST_CR4);

	audit_expect(a, VMCS_HOST_CR0, !(c->cr0_fixed0 & ~cr0 & ~(CR0_NW | CR0_CD)) && !(cr0 & ~c->cr0_fixed1 & ~(CR0_NW | CR0_CD)),
		     "26.2.2: fixed bits of CR0");
	audit_expect(a, VMCS_HOST_CR4, !(c->cr4_fixed0 & ~cr4) && !(cr4 & ~c->cr4_fixed1), "26.2.2: fixed bits of CR4");
	audit_expect(a, VMCS_HOST_CR3, !(audit_get(a, VMCS_HOST_CR3) >> a->cpu->address_bits), "26.2.2: bits of CR3 beyond MAXPHYADDR");
	audit_canonical(a, VMCS_HOST_SYSENTER_ESP, "26.2.2: canonical");
	audit_canonical(a, VMCS_HOST_SYSENTER_EIP, "26.2.2: canonical");
	if (a->exit & EXIT_LOAD_PAT)
		audit_pat(a, VMCS_HOST_PAT, "26.2.2: types in PAT");
	if (a->exit & EXIT_LOAD_EFER)
		audit_efer(a, VMCS_HOST_EFER, a->exit & EXIT_HOST_64, true, "26.2.2: EFER");
	audit_expect(a, VMCS_EXIT_CONTROLS, a->exit & EXIT_HOST_64, "26.2.4: the host is in 64-bit mode");
	audit_expect(a, VMCS_HOST_CR4, cr4 & CR4_PAE, "26.2.4: CR4.PAE in 64-bit mode");
	audit_canonical(a, VMCS_HOST_RIP, "26.2.4: canonical");
}

static void audit_host_segments(struct audit *a)
{
	static const uint16_t selectors[] = { VMCS_HOST_ES_SELECTOR, VMCS_HOST_CS_SELECTOR, VMCS_HOST_SS_SELECTOR, VMCS_HOST_DS_SELECTOR,
					      VMCS_HOST_FS_SELECTOR, VMCS_HOST_GS_SELECTOR, VMCS_HOST_TR_SELECTOR };
	static const uint16_t bases[] = { VMCS_HOST_FS_BASE, VMCS_HOST_GS_BASE, VMCS_HOST_TR_BASE, VMCS_HOST_GDTR_BASE, VMCS_HOST_IDTR_BASE };

	for (uint32_t i = 0; i < ARRAY_SIZE(selectors); i++)
		audit_expect(a, (enum vmcs_field)selectors[i], !(audit_get(a, (enum vmcs_field)selectors[i]) & 7), "26.2.3: RPL and TI");
	audit_expect(a, VMCS_HOST_CS_SELECTOR, audit_get(a, VMCS_HOST_CS_SELECTOR) != 0, "26.2.3: no null selector");
	audit_expect(a, VMCS_HOST_TR_SELECTOR, audit_get(a, VMCS_HOST_TR_SELECTOR) != 0, "26.2.3: no null selector");
	for (uint32_t i = 0; i < ARRAY_SIZE(bases); i++)
		audit_canonical(a, (enum vmcs_field)bases[i], "26.2.3: canonical");
}

struct vmx_fault vmx_audit(const struct vmx_audit_cpu *cpu, vmx_read_field_fn read, void *context)
{
	struct audit a = { .cpu = cpu, .read = read, .context = context };

	a.pin = (uint32_t)audit_get(&a, VMCS_PIN_CONTROLS);
	a.primary = (uint32_t)audit_get(&a, VMCS_PRIMARY_CONTROLS);
	if (a.primary & PRIMARY_SECONDARY)
		a.secondary = (uint32_t)audit_get(&a, VMCS_SECONDARY_CONTROLS);
	a.exit = (uint32_t)audit_get(&a, VMCS_EXIT_CONTROLS);
	a.entry = (uint32_t)audit_get(&a, VMCS_ENTRY_CONTROLS);
	a.event = (uint32_t)audit_get(&a, VMCS_ENTRY_EVENT);
	if (!(a.event & VMX_EVENT_VALID))
		a.event = 0;
	a.cr0 = audit_get(&a, VMCS_GUEST_CR0);
	a.cr4 = audit_get(&a, VMCS_GUEST_CR4);
	a.rflags = audit_get(&a, VMCS_GUEST_RFLAGS);
	audit_execution_controls(&a);
	audit_exit_controls(&a);
	audit_entry_controls(&a);
	audit_host_registers(&a);
	audit_host_segments(&a);
	audit_guest(&a);
	return a.fault;
}
