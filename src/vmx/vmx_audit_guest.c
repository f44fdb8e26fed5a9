/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing. The guest's state (26.3.1): registers, segments, what holds back interrupts, the root of PAE tables. */
#include "hw/msr.h"
#include "vmx/vmx_audit_parts.h"
#include "vmx/vmx_capability.h"

#define RFLAGS_VM (1ull << 17)
#define RFLAGS_RESERVED (~0x3fffffull | 1ull << 15 | 1ull << 5 | 1ull << 3)
#define DEBUGCTL_RESERVED ~0xdfc3ull
#define DEBUGCTL_BTF (1ull << 1)
#define PENDING_DEBUG_RESERVED (~0x1ffffull | 0xaff0ull)
#define PDPTE_RESERVED 0x1e6ull
#define V86_RIGHTS 0xf3u
#define VECTOR_DB 1u
#define VECTOR_MC 18u

static bool is_long(const struct audit *a) { return a->entry & ENTRY_GUEST_64; }
static bool is_v86(const struct audit *a) { return a->rflags & RFLAGS_VM; }
static bool is_unrestricted(const struct audit *a) { return a->secondary & SECONDARY_UNRESTRICTED; }

/* --- registers --- */

static void audit_control_registers(struct audit *a)
{
	const struct vmx_capabilities *c = a->cpu->capabilities;
	uint64_t free = CR0_NW | CR0_CD | (is_unrestricted(a) ? CR0_PE | CR0_PG : 0);

	audit_expect(a, VMCS_GUEST_CR0, !(c->cr0_fixed0 & ~a->cr0 & ~free) && !(a->cr0 & ~c->cr0_fixed1 & ~free), "26.3.1.1: fixed bits of CR0");
	audit_expect(a, VMCS_GUEST_CR0, a->cr0 & CR0_PE || !(a->cr0 & CR0_PG), "26.3.1.1: CR0.PG needs PE");
	audit_expect(a, VMCS_GUEST_CR4, !(c->cr4_fixed0 & ~a->cr4) && !(a->cr4 & ~c->cr4_fixed1), "26.3.1.1: fixed bits of CR4");
	audit_expect(a, VMCS_GUEST_CR4, a->cr0 & CR0_WP || !(a->cr4 & CR4_CET), "26.3.1.1: CR4.CET needs CR0.WP");
	audit_expect(a, VMCS_GUEST_CR0, !is_long(a) || a->cr0 & CR0_PG, "26.3.1.1: IA-32e mode needs CR0.PG");
	audit_expect(a, VMCS_GUEST_CR4, !is_long(a) || a->cr4 & CR4_PAE, "26.3.1.1: IA-32e mode needs CR4.PAE");
	audit_expect(a, VMCS_GUEST_CR4, is_long(a) || !(a->cr4 & CR4_PCIDE), "26.3.1.1: CR4.PCIDE needs IA-32e mode");
	audit_expect(a, VMCS_GUEST_CR3, !(audit_get(a, VMCS_GUEST_CR3) >> a->cpu->address_bits), "26.3.1.1: bits of CR3 beyond MAXPHYADDR");
}

static void audit_registers(struct audit *a)
{
	audit_control_registers(a);
	if (a->entry & ENTRY_LOAD_DEBUG) {
		audit_expect(a, VMCS_GUEST_DEBUGCTL, !(audit_get(a, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_RESERVED), "26.3.1.1: reserved bits of DEBUGCTL");
		audit_expect(a, VMCS_GUEST_DR7, !(audit_get(a, VMCS_GUEST_DR7) >> 32), "26.3.1.1: upper half of DR7");
	}
	audit_canonical(a, VMCS_GUEST_SYSENTER_ESP, "26.3.1.1: canonical");
	audit_canonical(a, VMCS_GUEST_SYSENTER_EIP, "26.3.1.1: canonical");
	if (a->entry & ENTRY_LOAD_PAT)
		audit_pat(a, VMCS_GUEST_PAT, "26.3.1.1: types in PAT");
	if (a->entry & ENTRY_LOAD_EFER)
		audit_efer(a, VMCS_GUEST_EFER, is_long(a), a->cr0 & CR0_PG, "26.3.1.1: EFER");
}

static void audit_rip_rflags(struct audit *a)
{
	bool is_64bit = is_long(a) && audit_get(a, VMCS_GUEST_CS_RIGHTS) & RIGHTS_LONG;

	if (is_64bit)
		audit_canonical(a, VMCS_GUEST_RIP, "26.3.1.4: bits beyond a linear address");
	else
		audit_expect(a, VMCS_GUEST_RIP, !(audit_get(a, VMCS_GUEST_RIP) >> 32), "26.3.1.4: 32 bits outside 64-bit mode");
	audit_expect(a, VMCS_GUEST_RFLAGS, !(a->rflags & RFLAGS_RESERVED) && a->rflags & RFLAGS_FIXED, "26.3.1.4: reserved bits of RFLAGS");
	audit_expect(a, VMCS_GUEST_RFLAGS, !is_v86(a) || (!is_long(a) && a->cr0 & CR0_PE), "26.3.1.4: RFLAGS.VM is for protected mode");
	if (a->event && VMX_EVENT_TYPE(a->event) == VMX_EVENT_EXTERNAL)
		audit_expect(a, VMCS_GUEST_RFLAGS, a->rflags & RFLAGS_IF, "26.3.1.4: an interrupt needs RFLAGS.IF");
}

/* --- segments --- */

struct segment {
	enum vmcs_segment number;
	uint16_t selector;
	uint64_t base;
	uint32_t limit, rights;
	bool is_usable;
};

static struct segment read_segment(const struct audit *a, enum vmcs_segment number)
{
	struct segment s = { .number = number,
			     .selector = (uint16_t)audit_get(a, VMCS_GUEST_SELECTOR(number)),
			     .base = audit_get(a, VMCS_GUEST_BASE(number)),
			     .limit = (uint32_t)audit_get(a, VMCS_GUEST_LIMIT(number)),
			     .rights = (uint32_t)audit_get(a, VMCS_GUEST_RIGHTS(number)) };

	s.is_usable = !(s.rights & RIGHTS_UNUSABLE);
	return s;
}

static void expect_rights(struct audit *a, const struct segment *s, bool holds, const char *rule)
{
	audit_expect(a, VMCS_GUEST_RIGHTS(s->number), holds, rule);
}

/* Of any segment but an unusable one. */
static void audit_common_rights(struct audit *a, const struct segment *s, bool is_system)
{
	bool pages = s->rights & RIGHTS_PAGES;

	expect_rights(a, s, !(s->rights & RIGHTS_NOT_SYSTEM) == is_system, "26.3.1.2: S");
	expect_rights(a, s, s->rights & RIGHTS_PRESENT, "26.3.1.2: P");
	expect_rights(a, s, !(s->rights & RIGHTS_RESERVED), "26.3.1.2: reserved bits");
	expect_rights(a, s, (s->limit & 0xfff) == 0xfff || !pages, "26.3.1.2: G set, and the limit does not end a page");
	expect_rights(a, s, !(s->limit >> 20) || pages, "26.3.1.2: G clear, and the limit has more than 20 bits");
}

static void audit_v86_segment(struct audit *a, const struct segment *s)
{
	audit_expect(a, VMCS_GUEST_BASE(s->number), s->base == (uint64_t)s->selector << 4, "26.3.1.2: virtual-8086 mode: base");
	audit_expect(a, VMCS_GUEST_LIMIT(s->number), s->limit == 0xffff, "26.3.1.2: virtual-8086 mode: limit");
	expect_rights(a, s, s->rights == V86_RIGHTS, "26.3.1.2: virtual-8086 mode: rights");
}

static void audit_cs(struct audit *a, const struct segment *cs, const struct segment *ss)
{
	uint32_t type = RIGHTS_TYPE(cs->rights), dpl = RIGHTS_DPL(cs->rights), ss_dpl = RIGHTS_DPL(ss->rights);
	bool is_data = type == 3 && is_unrestricted(a);

	expect_rights(a, cs, is_data || (type & 9) == 9, "26.3.1.2: CS is accessed code");
	audit_common_rights(a, cs, false);
	if (is_data)
		expect_rights(a, cs, dpl == 0, "26.3.1.2: DPL of CS that is data");
	else
		expect_rights(a, cs, type & RIGHTS_CONFORMING ? dpl <= ss_dpl : dpl == ss_dpl, "26.3.1.2: DPL of CS by that of SS");
	expect_rights(a, cs, !is_long(a) || !(cs->rights & RIGHTS_LONG) || !(cs->rights & RIGHTS_32BIT), "26.3.1.2: L and D/B");
	audit_expect(a, VMCS_GUEST_CS_BASE, !(cs->base >> 32), "26.3.1.2: upper half of a base");
}

static void audit_ss(struct audit *a, const struct segment *ss, const struct segment *cs)
{
	uint32_t dpl = RIGHTS_DPL(ss->rights);

	if (!is_unrestricted(a)) {
		audit_expect(a, VMCS_GUEST_SS_SELECTOR, (ss->selector & 3) == (cs->selector & 3), "26.3.1.2: RPL of SS and CS");
		expect_rights(a, ss, dpl == (ss->selector & 3), "26.3.1.2: DPL and RPL of SS");
	}
	expect_rights(a, ss, dpl == 0 || (RIGHTS_TYPE(cs->rights) != 3 && a->cr0 & CR0_PE), "26.3.1.2: DPL of SS in real mode");
	if (!ss->is_usable)
		return;
	expect_rights(a, ss, RIGHTS_TYPE(ss->rights) == 3 || RIGHTS_TYPE(ss->rights) == 7, "26.3.1.2: SS is accessed data that may be written");
	audit_common_rights(a, ss, false);
	audit_expect(a, VMCS_GUEST_SS_BASE, !(ss->base >> 32), "26.3.1.2: upper half of a base");
}

static void audit_data(struct audit *a, const struct segment *s)
{
	uint32_t type = RIGHTS_TYPE(s->rights);

	if (s->number == VMCS_FS || s->number == VMCS_GS)
		audit_canonical(a, VMCS_GUEST_BASE(s->number), "26.3.1.2: canonical");
	if (!s->is_usable)
		return;
	expect_rights(a, s, type & RIGHTS_ACCESSED && (!(type & RIGHTS_CODE) || type & RIGHTS_WRITABLE), "26.3.1.2: accessed, and code readable");
	audit_common_rights(a, s, false);
	if (!is_unrestricted(a) && type <= 11)
		expect_rights(a, s, RIGHTS_DPL(s->rights) >= (s->selector & 3u), "26.3.1.2: DPL and RPL");
	if (s->number == VMCS_DS || s->number == VMCS_ES)
		audit_expect(a, VMCS_GUEST_BASE(s->number), !(s->base >> 32), "26.3.1.2: upper half of a base");
}

static void audit_system_segments(struct audit *a)
{
	const struct segment tr = read_segment(a, VMCS_TR), ldtr = read_segment(a, VMCS_LDTR);
	uint32_t type = RIGHTS_TYPE(tr.rights);

	audit_expect(a, VMCS_GUEST_TR_SELECTOR, !(tr.selector & 4), "26.3.1.2: TI of TR");
	audit_canonical(a, VMCS_GUEST_TR_BASE, "26.3.1.2: canonical");
	expect_rights(a, &tr, tr.is_usable, "26.3.1.2: TR is usable");
	expect_rights(a, &tr, type == 11 || (type == 3 && !is_long(a)), "26.3.1.2: TR is a busy TSS");
	audit_common_rights(a, &tr, true);
	if (!ldtr.is_usable)
		return;
	audit_expect(a, VMCS_GUEST_LDTR_SELECTOR, !(ldtr.selector & 4), "26.3.1.2: TI of LDTR");
	audit_canonical(a, VMCS_GUEST_LDTR_BASE, "26.3.1.2: canonical");
	expect_rights(a, &ldtr, RIGHTS_TYPE(ldtr.rights) == 2, "26.3.1.2: LDTR is an LDT");
	audit_common_rights(a, &ldtr, true);
}

static void audit_segments(struct audit *a)
{
	const struct segment cs = read_segment(a, VMCS_CS), ss = read_segment(a, VMCS_SS);
	static const uint8_t data[] = { VMCS_DS, VMCS_ES, VMCS_FS, VMCS_GS };

	if (is_v86(a)) {
		for (uint32_t i = VMCS_ES; i <= VMCS_GS; i++) {
			const struct segment segment = read_segment(a, (enum vmcs_segment)i);
			audit_v86_segment(a, &segment);
		}
	} else {
		audit_cs(a, &cs, &ss);
		audit_ss(a, &ss, &cs);
		for (uint32_t i = 0; i < ARRAY_SIZE(data); i++) {
			const struct segment segment = read_segment(a, (enum vmcs_segment)data[i]);
			audit_data(a, &segment);
		}
	}
	audit_system_segments(a);
	audit_canonical(a, VMCS_GUEST_GDTR_BASE, "26.3.1.3: canonical");
	audit_canonical(a, VMCS_GUEST_IDTR_BASE, "26.3.1.3: canonical");
	audit_expect(a, VMCS_GUEST_GDTR_LIMIT, !(audit_get(a, VMCS_GUEST_GDTR_LIMIT) >> 16), "26.3.1.3: 16 bits");
	audit_expect(a, VMCS_GUEST_IDTR_LIMIT, !(audit_get(a, VMCS_GUEST_IDTR_LIMIT) >> 16), "26.3.1.3: 16 bits");
}

/* --- what is no register --- */

/* Events that a CPU in this state takes. */
static bool is_awake_for(uint64_t activity, uint32_t event)
{
	uint32_t type = VMX_EVENT_TYPE(event), vector = VMX_EVENT_VECTOR(event);

	switch (activity) {
	case ACTIVITY_HLT:
		return type == VMX_EVENT_EXTERNAL || type == VMX_EVENT_NMI || type == VMX_EVENT_OTHER ||
		       (type == VMX_EVENT_EXCEPTION && (vector == VECTOR_DB || vector == VECTOR_MC));
	case ACTIVITY_SHUTDOWN:
		return type == VMX_EVENT_NMI || (type == VMX_EVENT_EXCEPTION && vector == VECTOR_MC);
	default:
		return activity == ACTIVITY_ACTIVE;
	}
}

static void audit_activity(struct audit *a, uint64_t blocked)
{
	uint64_t activity = audit_get(a, VMCS_GUEST_ACTIVITY), misc = a->cpu->capabilities->misc;
	bool has_state = activity == ACTIVITY_ACTIVE || (activity <= ACTIVITY_WAIT_FOR_STARTUP && misc & VMX_MISC_HLT << (activity - 1));

	audit_expect(a, VMCS_GUEST_ACTIVITY, has_state, "26.3.1.5: an activity that the CPU has");
	audit_expect(a, VMCS_GUEST_ACTIVITY, activity != ACTIVITY_HLT || RIGHTS_DPL(audit_get(a, VMCS_GUEST_SS_RIGHTS)) == 0,
		     "26.3.1.5: HLT is for DPL 0");
	audit_expect(a, VMCS_GUEST_ACTIVITY, activity == ACTIVITY_ACTIVE || !(blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)),
		     "26.3.1.5: blocked by STI or MOV SS, and not active");
	if (a->event)
		audit_expect(a, VMCS_GUEST_ACTIVITY, is_awake_for(activity, a->event), "26.3.1.5: the event that is injected does not wake it");
}

static void audit_interruptibility(struct audit *a, uint64_t blocked)
{
	enum vmcs_field field = VMCS_GUEST_INTERRUPTIBILITY;
	bool by_sti = blocked & BLOCKED_BY_STI, by_mov_ss = blocked & BLOCKED_BY_MOV_SS;
	uint32_t type = a->event ? VMX_EVENT_TYPE(a->event) : VMX_EVENT_OTHER;

	audit_expect(a, field, !(blocked & BLOCKED_RESERVED), "26.3.1.5: reserved bits");
	audit_expect(a, field, !by_sti || !by_mov_ss, "26.3.1.5: blocked by STI and by MOV SS");
	audit_expect(a, field, !by_sti || a->rflags & RFLAGS_IF, "26.3.1.5: blocked by STI without RFLAGS.IF");
	audit_expect(a, field, !(blocked & BLOCKED_BY_SMI), "26.3.1.5: blocked by SMI outside SMM");
	if (type == VMX_EVENT_EXTERNAL)
		audit_expect(a, field, !by_sti && !by_mov_ss, "26.3.1.5: an interrupt is injected where it is blocked");
	if (type == VMX_EVENT_NMI) /* by STI as well on some CPUs */
		audit_expect(a, field, !by_mov_ss && !by_sti && (!(a->pin & PIN_VIRTUAL_NMIS) || !(blocked & BLOCKED_BY_NMI)),
			     "26.3.1.5: an NMI is injected where it is blocked");
}

static void audit_pending_debug(struct audit *a, uint64_t blocked)
{
	uint64_t pending = audit_get(a, VMCS_GUEST_PENDING_DEBUG);
	bool steps = a->rflags & RFLAGS_TF && !(audit_get(a, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	bool stands = blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS) || audit_get(a, VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;

	audit_expect(a, VMCS_GUEST_PENDING_DEBUG, !(pending & PENDING_DEBUG_RESERVED), "26.3.1.5: reserved bits");
	if (stands)
		audit_expect(a, VMCS_GUEST_PENDING_DEBUG, !(pending & PENDING_DEBUG_BS) == !steps, "26.3.1.5: BS by RFLAGS.TF and DEBUGCTL.BTF");
}

static void audit_pdptes(struct audit *a)
{
	static const uint16_t field[] = { VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE1, VMCS_GUEST_PDPTE2, VMCS_GUEST_PDPTE3 };

	if (!(a->secondary & SECONDARY_EPT) || !(a->cr0 & CR0_PG) || !(a->cr4 & CR4_PAE) || is_long(a))
		return;
	for (uint32_t i = 0; i < ARRAY_SIZE(field); i++) {
		uint64_t entry = audit_get(a, (enum vmcs_field)field[i]);
		audit_expect(a, (enum vmcs_field)field[i], !(entry & 1) || (!(entry & PDPTE_RESERVED) && !(entry >> a->cpu->address_bits)),
			     "26.3.1.6: reserved bits of PAE's root");
	}
}

void audit_guest(struct audit *a)
{
	uint64_t blocked = audit_get(a, VMCS_GUEST_INTERRUPTIBILITY);

	audit_registers(a);
	audit_segments(a);
	audit_rip_rflags(a);
	audit_activity(a, blocked);
	audit_interruptibility(a, blocked);
	audit_pending_debug(a, blocked);
	audit_expect(a, VMCS_GUEST_LINK_POINTER, audit_get(a, VMCS_GUEST_LINK_POINTER) == LINK_POINTER_NONE, "26.3.1.5: no VMCS is linked");
	audit_pdptes(a);
}
