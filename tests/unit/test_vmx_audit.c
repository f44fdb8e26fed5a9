/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the audit of a VMCS: guests as Scrim runs them pass, in every mode; and each field that is made wrong, alone, is the one that is named, by the
 * rule that it breaks.
 */
#include "boot_bytes.h"
#include "hw/msr.h"
#include "vmx/vmx_audit.h"
#include "vmx_cpus.h"

#define FIELDS 0x8000u
#define PAGE 0x1234000ull
#define NOT_CANONICAL (1ull << 47)
#define BEYOND (1ull << 39) /* MAXPHYADDR */
#define RFLAGS_VM (1ull << 17)
#define CR0_NE (1ull << 5)
#define CR4_VMXE (1ull << 13)

static struct vmx_capabilities capabilities;
static const struct vmx_audit_cpu cpu = { &capabilities, 39, 48 };
static uint64_t fields[FIELDS];

static uint64_t read_msr(uint32_t msr) { return vmx_cpu_bochs_haswell.msr[msr - MSR_VMX_BASIC]; }

static uint64_t read_field(void *context, enum vmcs_field field)
{
	assert_ptr_equal(context, fields);
	assert_in_range(field, 0, FIELDS - 1);
	return fields[field];
}

/* --- good ones --- */

static void set_segment(enum vmcs_segment segment, uint16_t selector, uint64_t base, uint32_t limit, uint32_t rights)
{
	fields[VMCS_GUEST_SELECTOR(segment)] = selector;
	fields[VMCS_GUEST_BASE(segment)] = base;
	fields[VMCS_GUEST_LIMIT(segment)] = limit;
	fields[VMCS_GUEST_RIGHTS(segment)] = rights;
}

static void set_segments(uint32_t code, uint32_t data, uint32_t limit)
{
	for (uint32_t i = VMCS_ES; i <= VMCS_GS; i++)
		set_segment((enum vmcs_segment)i, i == VMCS_CS ? 0x10 : 0x18, 0, limit, i == VMCS_CS ? code : data);
	set_segment(VMCS_TR, 0, 0, 0xffff, 0x8b);
	set_segment(VMCS_LDTR, 0, 0, 0xffff, 0x82);
}

static void set_host(void)
{
	fields[VMCS_HOST_CR0] = 0x80000021;
	fields[VMCS_HOST_CR4] = CR4_PAE | CR4_VMXE;
	fields[VMCS_HOST_CR3] = PAGE;
	fields[VMCS_HOST_EFER] = EFER_LME | EFER_LMA;
	fields[VMCS_HOST_CS_SELECTOR] = 8;
	fields[VMCS_HOST_TR_SELECTOR] = 0x18;
	fields[VMCS_HOST_RIP] = fields[VMCS_HOST_RSP] = PAGE;
}

static void set_common(bool nested)
{
	struct vmx_controls controls;

	memset(fields, 0, sizeof(fields));
	vmx_capabilities_read(&capabilities, read_msr);
	assert_null(vmx_controls_choose(&capabilities, &controls));
	fields[VMCS_PIN_CONTROLS] = controls.pin;
	fields[VMCS_PRIMARY_CONTROLS] = controls.primary;
	fields[VMCS_SECONDARY_CONTROLS] = controls.secondary | (nested ? controls.nested : 0);
	fields[VMCS_EXIT_CONTROLS] = controls.exit;
	fields[VMCS_ENTRY_CONTROLS] = controls.entry;
	fields[VMCS_VPID] = 1;
	fields[VMCS_IO_BITMAP_A] = fields[VMCS_IO_BITMAP_B] = fields[VMCS_MSR_BITMAP] = PAGE;
	fields[VMCS_EPT_POINTER] = nested ? PAGE | EPTP_WRITE_BACK | EPTP_FOUR_LEVELS : 0;
	fields[VMCS_GUEST_LINK_POINTER] = LINK_POINTER_NONE;
	fields[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	fields[VMCS_GUEST_DR7] = 0x400;
	fields[VMCS_GUEST_CR4] = CR4_VMXE;
	fields[VMCS_GUEST_RIP] = 0x1000;
	set_host();
}

/* Debian in its stride: 64 bits, nothing in its access path. */
static void native(void)
{
	set_common(false);
	fields[VMCS_ENTRY_CONTROLS] |= ENTRY_GUEST_64;
	fields[VMCS_GUEST_CR0] = 0x80050033;
	fields[VMCS_GUEST_CR3] = PAGE;
	fields[VMCS_GUEST_CR4] = CR4_VMXE | CR4_PAE | CR4_PSE | CR4_PCIDE;
	fields[VMCS_GUEST_EFER] = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	fields[VMCS_GUEST_RIP] = fields[VMCS_GUEST_SYSENTER_EIP] = 0xffffffff81000000;
	fields[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	set_segments(0xa09b, 0xc093, 0xffffffff);
	set_segment(VMCS_ES, 0, 0, 0, RIGHTS_UNUSABLE);
	set_segment(VMCS_FS, 0, 0x7f0012345000, 0, RIGHTS_UNUSABLE);
	set_segment(VMCS_GS, 0, 0xffff888000000000, 0, RIGHTS_UNUSABLE);
	set_segment(VMCS_TR, 0x40, 0xfffffe0000003000, 0x206f, 0x8b);
	set_segment(VMCS_LDTR, 0, 0, 0, RIGHTS_UNUSABLE);
	fields[VMCS_GUEST_GDTR_BASE] = fields[VMCS_GUEST_IDTR_BASE] = 0xfffffe0000001000;
	fields[VMCS_GUEST_GDTR_LIMIT] = 0x7f;
	fields[VMCS_GUEST_IDTR_LIMIT] = 0xfff;
}

/* A program of 64 bits under it, at CPL 3. */
static void native_user(void)
{
	native();
	set_segment(VMCS_CS, 0x33, 0, 0xffffffff, 0xa0fb);
	set_segment(VMCS_SS, 0x2b, 0, 0xffffffff, 0xc0f3);
	fields[VMCS_GUEST_DS_RIGHTS] = RIGHTS_UNUSABLE;
}

/* Entered by Scrim: protected mode, no paging, behind EPT. */
static void flat(void)
{
	set_common(true);
	fields[VMCS_GUEST_CR0] = CR0_PE | CR0_ET | CR0_NE;
	set_segments(0xc09b, 0xc093, 0xffffffff);
}

/* A CPU after STARTUP. */
static void real_mode(void)
{
	set_common(true);
	fields[VMCS_GUEST_CR0] = CR0_ET | CR0_NE | CR0_CD | CR0_NW;
	set_segments(0x9b, 0x93, 0xffff);
	set_segment(VMCS_CS, 0x9a00, 0x9a000, 0xffff, 0x9b);
}

/* On its way out of it: CS is still what real mode loaded, data. */
static void leaving_real_mode(void)
{
	real_mode();
	fields[VMCS_GUEST_CR0] |= CR0_PE;
	fields[VMCS_GUEST_CS_RIGHTS] = 0x93;
}

static void virtual_8086(void)
{
	flat();
	fields[VMCS_GUEST_CR0] |= CR0_PG;
	fields[VMCS_GUEST_RFLAGS] |= RFLAGS_VM;
	for (uint32_t i = VMCS_ES; i <= VMCS_GS; i++)
		set_segment((enum vmcs_segment)i, (uint16_t)(0x1000 + i), (0x1000ull + i) << 4, 0xffff, 0xf3);
}

/* A 686-pae kernel behind EPT. */
static void pae(void)
{
	flat();
	fields[VMCS_GUEST_CR0] |= CR0_PG | CR0_WP;
	fields[VMCS_GUEST_CR4] |= CR4_PAE;
	fields[VMCS_GUEST_PDPTE0] = PAGE | 1;
	fields[VMCS_GUEST_PDPTE3] = PAGE | 0x19 | 0xe00;
}

/* One without PAE, at home, in NATIVE. */
static void two_levels(void)
{
	set_common(false);
	fields[VMCS_GUEST_CR0] = CR0_PG | CR0_PE | CR0_ET | CR0_NE | CR0_WP;
	set_segments(0xc09b, 0xc093, 0xffffffff);
	fields[VMCS_GUEST_TR_RIGHTS] = 0x83; /* a TSS of 16 bits */
}

static void halted(void)
{
	native();
	fields[VMCS_GUEST_ACTIVITY] = ACTIVITY_HLT;
	fields[VMCS_GUEST_PENDING_DEBUG] = 0;
}

static void inject(uint32_t type, uint32_t vector)
{
	native();
	fields[VMCS_ENTRY_EVENT] = VMX_EVENT_MAKE(type, vector);
}

static void interrupt(void) { inject(VMX_EVENT_EXTERNAL, 0x20); }
static void nmi(void) { inject(VMX_EVENT_NMI, 2); }
static void general_protection(void) { inject(VMX_EVENT_EXCEPTION | 1u << 3, 13); }
static void int3(void)
{
	inject(VMX_EVENT_SOFT_EXCEPTION, 3);
	fields[VMCS_ENTRY_INSN_LENGTH] = 1;
}

/* In real mode an exception has no error code. */
static void real_mode_fault(void)
{
	real_mode();
	fields[VMCS_ENTRY_EVENT] = VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, 13);
}

static void assert_passes(void (*build)(void))
{
	build();
	struct vmx_fault fault = vmx_audit(&cpu, read_field, fields);
	if (fault.rule)
		fail_msg("field %x is %" PRIx64 ": %s", fault.field, fault.value, fault.rule);
}

static void test_good(void **unused)
{
	void (*const good[])(void) = { native,	   native_user, flat,	    real_mode, leaving_real_mode, virtual_8086, pae,
				       two_levels, halted,	interrupt,  nmi,       general_protection, int3,	real_mode_fault };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_passes(good[i]);
}

/* --- broken ones --- */

struct broken {
	void (*build)(void);
	enum vmcs_field field;
	uint64_t value;
	const char *rule;
	enum vmcs_field named;
};

#define BROKEN(build, field, value, rule) { build, field, value, rule, field }
/* Two fields do not go together, and it is the other one that the manual names. */
#define BROKEN_AS(build, field, value, rule, named) { build, field, value, rule, named }

static void assert_named(const struct broken *broken)
{
	broken->build();
	assert_int_not_equal(fields[broken->field], broken->value);
	fields[broken->field] = broken->value;
	struct vmx_fault fault = vmx_audit(&cpu, read_field, fields);
	if (!fault.rule)
		fail_msg("field %x with %" PRIx64 " passes: %s", broken->field, broken->value, broken->rule);
	if (fault.field != broken->named || !strstr(fault.rule, broken->rule))
		fail_msg("not field %x, %s, but field %x: %s", broken->named, broken->rule, fault.field, fault.rule);
	assert_int_equal(fault.value, fields[broken->named]);
}

/* What fields[] has now. */
static void assert_now(enum vmcs_field field, const char *rule)
{
	struct vmx_fault fault = vmx_audit(&cpu, read_field, fields);

	assert_non_null(fault.rule);
	assert_int_equal(fault.field, field);
	assert_non_null(strstr(fault.rule, rule));
}

static void assert_passes_now(void) { assert_null(vmx_audit(&cpu, read_field, fields).rule); }

static void assert_all_named(const struct broken *broken, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_named(&broken[i]);
}

static void test_controls(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_PIN_CONTROLS, 0x28, "fixed pin"),
		BROKEN(native, VMCS_PIN_CONTROLS, 0x36, "need NMI exiting"),
		BROKEN(native, VMCS_PRIMARY_CONTROLS, 0x92006173, "fixed primary"),
		BROKEN(native, VMCS_SECONDARY_CONTROLS, 1u << 31, "fixed secondary"),
		BROKEN(native, VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED, "unrestricted guest needs EPT"),
		BROKEN(native, VMCS_CR3_TARGET_COUNT, 5, "CR3 targets"),
		BROKEN(native, VMCS_IO_BITMAP_A, PAGE + 8, "a page"),
		BROKEN(native, VMCS_IO_BITMAP_B, BEYOND, "a page"),
		BROKEN(native, VMCS_MSR_BITMAP, 1, "a page"),
		BROKEN(native, VMCS_VPID, 0, "VPID"),
		BROKEN(flat, VMCS_EPT_POINTER, PAGE | 5 | EPTP_FOUR_LEVELS, "memory type"),
		BROKEN(flat, VMCS_EPT_POINTER, PAGE | 6 | 2 << 3, "levels"),
		BROKEN(flat, VMCS_EPT_POINTER, PAGE | 6 | EPTP_FOUR_LEVELS | 1 << 7, "reserved"),
		BROKEN(flat, VMCS_EPT_POINTER, BEYOND | 6 | EPTP_FOUR_LEVELS, "reserved"),
		BROKEN(native, VMCS_EXIT_CONTROLS, 0, "fixed exit"),
		BROKEN(native, VMCS_EXIT_CONTROLS, 0x736fff, "timer"),
		BROKEN_AS(native, VMCS_EXIT_CONTROLS, 0x336dff, "26.2.2: EFER", VMCS_HOST_EFER), /* which belongs to the mode */
		BROKEN(native, VMCS_ENTRY_CONTROLS, 0, "fixed entry"),
		BROKEN(native, VMCS_ENTRY_CONTROLS, 0x97ff, "SMM"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
	flat();
	fields[VMCS_EPT_POINTER] |= EPTP_ACCESSED_DIRTY;
	assert_passes_now();
	capabilities.ept_vpid &= ~EPT_CAP_ACCESSED_DIRTY;
	assert_now(VMCS_EPT_POINTER, "accessed and dirty");
	native();
	fields[VMCS_PRIMARY_CONTROLS] |= PRIMARY_NMI_WINDOW;
	assert_passes_now();
	fields[VMCS_PIN_CONTROLS] &= ~(uint64_t)PIN_VIRTUAL_NMIS;
	assert_now(VMCS_PRIMARY_CONTROLS, "needs virtual NMIs");
	native();
	fields[VMCS_EXIT_MSR_STORE_COUNT] = 1;
	fields[VMCS_EXIT_MSR_STORE] = PAGE + 8;
	assert_now(VMCS_EXIT_MSR_STORE, "area of MSRs");
	fields[VMCS_EXIT_MSR_STORE_COUNT] = 0;
	fields[VMCS_ENTRY_MSR_LOAD_COUNT] = 1;
	fields[VMCS_ENTRY_MSR_LOAD] = BEYOND;
	assert_now(VMCS_ENTRY_MSR_LOAD, "area of MSRs");
}

static void test_events(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(1, 3), "type"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_NMI, 3), "vector"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, 32), "vector"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_OTHER, 1), "vector"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, 14), "error code"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, 6) | VMX_EVENT_HAS_ERROR, "error code"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXTERNAL, 32) | VMX_EVENT_HAS_ERROR, "error code"),
		BROKEN(real_mode, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_EXCEPTION, 13) | VMX_EVENT_HAS_ERROR, "error code"),
		BROKEN(native, VMCS_ENTRY_EVENT, VMX_EVENT_MAKE(VMX_EVENT_NMI, 2) | 1u << 12, "reserved"),
		BROKEN(general_protection, VMCS_ENTRY_EVENT_ERROR, 1u << 16, "16 bits"),
		BROKEN(int3, VMCS_ENTRY_INSN_LENGTH, 16, "length"),
		BROKEN(int3, VMCS_ENTRY_INSN_LENGTH, 0, "length"),
		BROKEN(interrupt, VMCS_GUEST_RFLAGS, RFLAGS_FIXED, "needs RFLAGS.IF"),
		BROKEN(interrupt, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI, "interrupt is injected"),
		BROKEN(interrupt, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_MOV_SS, "interrupt is injected"),
		BROKEN(nmi, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI, "NMI is injected"),
		BROKEN(nmi, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_MOV_SS, "NMI is injected"),
		BROKEN(general_protection, VMCS_GUEST_ACTIVITY, ACTIVITY_HLT, "does not wake"),
		BROKEN(interrupt, VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN, "does not wake"),
		BROKEN(nmi, VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_STARTUP, "does not wake"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
}

static void test_host(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_HOST_CR0, 0x80000001, "fixed bits of CR0"),
		BROKEN(native, VMCS_HOST_CR4, CR4_PAE, "fixed bits of CR4"),
		BROKEN(native, VMCS_HOST_CR4, CR4_VMXE, "CR4.PAE"),
		BROKEN(native, VMCS_HOST_CR3, BEYOND, "CR3"),
		BROKEN(native, VMCS_HOST_SYSENTER_ESP, NOT_CANONICAL, "26.2.2: canonical"),
		BROKEN(native, VMCS_HOST_SYSENTER_EIP, NOT_CANONICAL, "26.2.2: canonical"),
		BROKEN(native, VMCS_HOST_EFER, 0, "EFER"),
		BROKEN(native, VMCS_HOST_EFER, EFER_LMA | EFER_LME | EFER_SVME, "EFER"),
		BROKEN(native, VMCS_HOST_RIP, NOT_CANONICAL, "26.2.4: canonical"),
		BROKEN(native, VMCS_HOST_ES_SELECTOR, 1, "RPL"),
		BROKEN(native, VMCS_HOST_GS_SELECTOR, 4, "RPL"),
		BROKEN(native, VMCS_HOST_CS_SELECTOR, 0, "null"),
		BROKEN(native, VMCS_HOST_TR_SELECTOR, 0, "null"),
		BROKEN(native, VMCS_HOST_FS_BASE, NOT_CANONICAL, "26.2.3: canonical"),
		BROKEN(native, VMCS_HOST_GS_BASE, NOT_CANONICAL, "26.2.3: canonical"),
		BROKEN(native, VMCS_HOST_TR_BASE, NOT_CANONICAL, "26.2.3: canonical"),
		BROKEN(native, VMCS_HOST_GDTR_BASE, NOT_CANONICAL, "26.2.3: canonical"),
		BROKEN(native, VMCS_HOST_IDTR_BASE, NOT_CANONICAL, "26.2.3: canonical"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
	native();
	fields[VMCS_EXIT_CONTROLS] |= EXIT_LOAD_PAT;
	fields[VMCS_HOST_PAT] = 0x0007040600070402;
	assert_now(VMCS_HOST_PAT, "PAT");
}

static void test_registers(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_GUEST_CR0, 0x33, "fixed bits of CR0"),       /* paging off in NATIVE */
		BROKEN(native, VMCS_GUEST_CR0, 0x80050013, "fixed bits of CR0"), /* NE */
		BROKEN(flat, VMCS_GUEST_CR0, 1ull << 32 | 0x31, "fixed bits of CR0"),
		BROKEN(flat, VMCS_GUEST_CR0, 0x80000030, "needs PE"),
		BROKEN(native, VMCS_GUEST_CR4, CR4_PAE, "fixed bits of CR4"),
		BROKEN(native, VMCS_GUEST_CR4, CR4_VMXE, "IA-32e mode needs CR4.PAE"),
		BROKEN(flat, VMCS_GUEST_CR4, CR4_VMXE | CR4_PCIDE, "PCIDE"),
		BROKEN_AS(flat, VMCS_ENTRY_CONTROLS, 0x93ff, "IA-32e mode needs CR0.PG", VMCS_GUEST_CR0),
		BROKEN(native, VMCS_GUEST_CR3, BEYOND, "CR3"),
		BROKEN(native, VMCS_GUEST_DEBUGCTL, 1ull << 2, "DEBUGCTL"),
		BROKEN(native, VMCS_GUEST_DR7, 1ull << 32, "DR7"),
		BROKEN(native, VMCS_GUEST_SYSENTER_ESP, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_SYSENTER_EIP, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_EFER, EFER_LME, "EFER"),
		BROKEN(native, VMCS_GUEST_EFER, EFER_LMA, "EFER"),
		BROKEN(native, VMCS_GUEST_EFER, EFER_LMA | EFER_LME | EFER_SVME, "EFER"),
		BROKEN(pae, VMCS_GUEST_EFER, EFER_LME, "EFER"),
		BROKEN(native, VMCS_GUEST_RIP, NOT_CANONICAL, "linear address"),
		BROKEN(flat, VMCS_GUEST_RIP, 1ull << 32, "32 bits"),
		BROKEN(native, VMCS_GUEST_RFLAGS, 0, "reserved bits of RFLAGS"),
		BROKEN(native, VMCS_GUEST_RFLAGS, RFLAGS_FIXED | 1 << 15, "reserved bits of RFLAGS"),
		BROKEN(native, VMCS_GUEST_RFLAGS, RFLAGS_FIXED | 1 << 22, "reserved bits of RFLAGS"),
		BROKEN(pae, VMCS_GUEST_PDPTE0, PAGE | 3, "PAE's root"),
		BROKEN(pae, VMCS_GUEST_PDPTE3, BEYOND | 1, "PAE's root"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
	native();
	fields[VMCS_ENTRY_CONTROLS] |= ENTRY_LOAD_PAT;
	fields[VMCS_GUEST_PAT] = 8;
	assert_now(VMCS_GUEST_PAT, "PAT");
	pae(); /* without EPT they are not looked at */
	fields[VMCS_GUEST_PDPTE0] = PAGE | 3;
	fields[VMCS_SECONDARY_CONTROLS] &= ~(uint64_t)(SECONDARY_EPT | SECONDARY_UNRESTRICTED);
	set_segments(0xc09b, 0xc093, 0xffffffff);
	assert_passes_now();
	native(); /* a kernel that writes to code must not have CET */
	capabilities.cr4_fixed1 |= CR4_CET;
	fields[VMCS_GUEST_CR4] |= CR4_CET;
	assert_passes_now();
	fields[VMCS_GUEST_CR0] &= ~CR0_WP;
	assert_now(VMCS_GUEST_CR4, "CET needs");
}

static void test_segments(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa093, "accessed code"), /* data is for the unrestricted guest */
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa09a, "accessed code"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa08b, "S"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa01b, "P"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa0fb, "DPL of CS"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa0ff, "DPL of CS"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xe09b, "L and D/B"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0xa19b, "reserved"),
		BROKEN(native, VMCS_GUEST_CS_RIGHTS, 0x209b, "G clear"),
		BROKEN_AS(flat, VMCS_GUEST_CS_LIMIT, 0xfffff000, "G set", VMCS_GUEST_CS_RIGHTS),
		BROKEN(native, VMCS_GUEST_CS_BASE, 1ull << 32, "upper half"),
		BROKEN(leaving_real_mode, VMCS_GUEST_CS_RIGHTS, 0xf3, "data"),
		BROKEN(native, VMCS_GUEST_SS_SELECTOR, 0x1b, "RPL of SS"),
		BROKEN_AS(native_user, VMCS_GUEST_SS_RIGHTS, 0xc093, "DPL of CS", VMCS_GUEST_CS_RIGHTS),
		BROKEN(native, VMCS_GUEST_SS_RIGHTS, 0xc091, "may be written"),
		BROKEN(native, VMCS_GUEST_SS_RIGHTS, 0xc013, "P"),
		BROKEN(native, VMCS_GUEST_SS_BASE, 1ull << 32, "upper half"),
		BROKEN_AS(real_mode, VMCS_GUEST_SS_RIGHTS, 0xf3, "DPL of CS", VMCS_GUEST_CS_RIGHTS),
		BROKEN(native, VMCS_GUEST_DS_RIGHTS, 0xc092, "accessed"),
		BROKEN(native, VMCS_GUEST_DS_RIGHTS, 0xc099, "readable"),
		BROKEN_AS(native, VMCS_GUEST_DS_SELECTOR, 0x1b, "DPL and RPL", VMCS_GUEST_DS_RIGHTS),
		BROKEN(native, VMCS_GUEST_DS_BASE, 1ull << 32, "upper half"),
		BROKEN(native, VMCS_GUEST_FS_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_GS_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_TR_SELECTOR, 0x44, "TI"),
		BROKEN(native, VMCS_GUEST_TR_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_TR_RIGHTS, 0x1008b, "TR is usable"),
		BROKEN(native, VMCS_GUEST_TR_RIGHTS, 0x89, "busy"),
		BROKEN(native, VMCS_GUEST_TR_RIGHTS, 0x83, "busy"),
		BROKEN(native, VMCS_GUEST_TR_RIGHTS, 0x9b, "S"),
		BROKEN(flat, VMCS_GUEST_LDTR_SELECTOR, 4, "TI"),
		BROKEN(flat, VMCS_GUEST_LDTR_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(flat, VMCS_GUEST_LDTR_RIGHTS, 0x83, "an LDT"),
		BROKEN(flat, VMCS_GUEST_LDTR_RIGHTS, 0x02, "P"),
		BROKEN(virtual_8086, VMCS_GUEST_DS_BASE, 0, "base"),
		BROKEN(virtual_8086, VMCS_GUEST_GS_LIMIT, 0xfffff, "limit"),
		BROKEN(virtual_8086, VMCS_GUEST_CS_RIGHTS, 0xfb, "rights"),
		BROKEN(native, VMCS_GUEST_GDTR_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_IDTR_BASE, NOT_CANONICAL, "canonical"),
		BROKEN(native, VMCS_GUEST_GDTR_LIMIT, 0x10000, "16 bits"),
		BROKEN(native, VMCS_GUEST_IDTR_LIMIT, 0x10000, "16 bits"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
	real_mode(); /* the same in protected mode is right */
	fields[VMCS_GUEST_CR0] |= CR0_PE;
	fields[VMCS_GUEST_SS_RIGHTS] = 0xf3;
	fields[VMCS_GUEST_CS_RIGHTS] = 0xfb;
	assert_passes_now();
	fields[VMCS_GUEST_CR0] &= ~CR0_PE; /* but not in real mode */
	assert_now(VMCS_GUEST_SS_RIGHTS, "real mode");
	virtual_8086(); /* is none without protection */
	fields[VMCS_GUEST_CR0] = CR0_ET | CR0_NE;
	assert_now(VMCS_GUEST_RFLAGS, "VM is for");
}

static void test_what_is_no_register(void **unused)
{
	static const struct broken broken[] = {
		BROKEN(native, VMCS_GUEST_ACTIVITY, 4, "an activity"),
		BROKEN(native_user, VMCS_GUEST_ACTIVITY, ACTIVITY_HLT, "DPL 0"),
		BROKEN_AS(halted, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI, "not active", VMCS_GUEST_ACTIVITY),
		BROKEN(native, VMCS_GUEST_INTERRUPTIBILITY, 1u << 5, "reserved"),
		BROKEN(native, VMCS_GUEST_INTERRUPTIBILITY, 3, "by STI and by MOV SS"),
		BROKEN(flat, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI, "without RFLAGS.IF"),
		BROKEN(native, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_SMI, "SMI"),
		BROKEN(native, VMCS_GUEST_PENDING_DEBUG, 1u << 4, "reserved"),
		BROKEN(native, VMCS_GUEST_PENDING_DEBUG, 1u << 13, "reserved"),
		BROKEN(halted, VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS, "BS by"),
		BROKEN(native, VMCS_GUEST_LINK_POINTER, 0, "linked"),
	};

	(void)unused;
	assert_all_named(broken, ARRAY_SIZE(broken));
	halted();
	fields[VMCS_GUEST_RFLAGS] |= RFLAGS_TF; /* a step is due then */
	assert_now(VMCS_GUEST_PENDING_DEBUG, "BS by");
	fields[VMCS_GUEST_PENDING_DEBUG] = PENDING_DEBUG_BS;
	assert_passes_now();
	fields[VMCS_GUEST_DEBUGCTL] = 2; /* BTF: by branches, not here */
	assert_now(VMCS_GUEST_PENDING_DEBUG, "BS by");
	halted();
	capabilities.misc &= ~VMX_MISC_HLT;
	assert_now(VMCS_GUEST_ACTIVITY, "that the CPU has");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	  cmocka_unit_test(test_controls), cmocka_unit_test(test_events),
		cmocka_unit_test(test_host),	  cmocka_unit_test(test_registers), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_what_is_no_register),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
