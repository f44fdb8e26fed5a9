/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the choice of VMX controls: what comes out on CPUs that are there, that every lack is named, that an OS at work exits for nothing it need not; and
 * the judgement of a CPU's VMX.
 */
#include "boot_bytes.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_probe.h"
#include "vmx_cpus.h"

/* Of primary controls: what makes an instruction or an event exit. Not from the code that is tested. */
#define PRIMARY_EXITS 0x69d99e84u /* bits 2, 7, 9-12, 15, 16, 19-23 but the TPR shadow, 24, 27, 29, 30 */
/* What has to be set because the manual says so (A.3.2, default 1), without CR3's two. */
#define PRIMARY_DEFAULT1 0x04006172u

static const struct vmx_cpu *reading;

static uint64_t read_msr(uint32_t msr)
{
	assert_in_range(msr, MSR_VMX_BASIC, MSR_VMX_TRUE_ENTRY);
	if (!reading->msr[msr - MSR_VMX_BASIC])
		fail_msg("%s raises #GP at MSR %x", reading->name, msr);
	return reading->msr[msr - MSR_VMX_BASIC];
}

static struct vmx_capabilities capabilities_of(const struct vmx_cpu *cpu)
{
	struct vmx_capabilities capabilities;

	reading = cpu;
	vmx_capabilities_read(&capabilities, read_msr);
	return capabilities;
}

static void refuse(const struct vmx_capabilities *capabilities, const char *part)
{
	struct vmx_controls controls;
	const char *given = vmx_controls_choose(capabilities, &controls);

	assert_line(given, part);
	assert_line(given, ": booting without Scrim");
	assert_memory_equal(given, "has VMX without ", 16);
}

static struct vmx_controls choose(const struct vmx_capabilities *capabilities)
{
	struct vmx_controls controls;

	assert_no_line(vmx_controls_choose(capabilities, &controls));
	return controls;
}

/* The CPU takes the word: the hardware's own check at an entry (26.2.1.1). */
static void assert_taken(uint64_t capability, uint32_t word)
{
	assert_int_equal((uint32_t)capability & ~word, 0);
	assert_int_equal(word & ~(uint32_t)(capability >> 32), 0);
}

static void assert_good(const struct vmx_capabilities *c)
{
	struct vmx_controls controls = choose(c);

	assert_taken(c->pin, controls.pin);
	assert_taken(c->primary, controls.primary);
	assert_taken(c->secondary, controls.secondary);
	assert_taken(c->secondary, controls.secondary | controls.nested);
	assert_taken(c->exit, controls.exit);
	assert_taken(c->entry, controls.entry);
	assert_taken(c->entry, controls.entry | ENTRY_GUEST_64);
	assert_int_equal(controls.pin, 0x16 | PIN_NMI | PIN_VIRTUAL_NMIS);
	assert_int_equal(controls.primary & PRIMARY_EXITS, 0);
	assert_int_equal(controls.primary, PRIMARY_DEFAULT1 | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY);
	assert_int_equal(controls.nested, SECONDARY_EPT | SECONDARY_UNRESTRICTED);
	assert_int_equal(controls.secondary & controls.nested, 0); /* in NATIVE neither */
	assert_true(controls.secondary & SECONDARY_WBINVD);
	assert_int_equal(controls.exit & ~0x36dffu, EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER);
	assert_int_equal(controls.entry & ~0x11ffu, ENTRY_LOAD_EFER);
}

static void test_haswell(void **unused)
{
	const struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);

	(void)unused;
	assert_good(&c);
	struct vmx_controls controls = choose(&c);
	assert_int_equal(controls.secondary, SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_VPID | SECONDARY_WBINVD);
	assert_int_equal(controls.exit, 0x336fff);
	assert_int_equal(controls.entry, 0x91ff);
	assert_true(controls.has_vpid && controls.has_1g && controls.invalidates_address && controls.invalidates_single);
}

static void test_bochs_haswell(void **unused)
{
	const struct vmx_capabilities c = capabilities_of(&vmx_cpu_bochs_haswell);

	(void)unused;
	assert_good(&c);
	assert_true(choose(&c).has_vpid && choose(&c).has_1g);
}

/* Their bits 2 are no part of the true MSRs' default 1: still both are set. */
static void test_debug_is_switched(void **unused)
{
	const struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);

	(void)unused;
	assert_int_equal(c.exit, vmx_cpu_haswell.msr[MSR_VMX_TRUE_EXIT - MSR_VMX_BASIC]);
	assert_true(choose(&c).exit & EXIT_SAVE_DEBUG && choose(&c).entry & ENTRY_LOAD_DEBUG);
}

static void test_cpus_that_lack(void **unused)
{
	static const struct vmx_cpu *const without_ept[] = { &vmx_cpu_penryn, &vmx_cpu_bochs_penryn };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(without_ept); i++) {
		struct vmx_capabilities c = capabilities_of(without_ept[i]);
		refuse(&c, "without EPT;");
	}
	struct vmx_capabilities c = capabilities_of(&vmx_cpu_bochs_lynnfield);
	refuse(&c, "the unrestricted guest, by which");
}

/* One bit is taken from a good CPU at a time: a lack is named, or the CPU is good without it. */
static void test_each_lack(void **unused)
{
	static const struct {
		size_t word;
		uint64_t bit;
		const char *part; /* NULL: it does without */
	} lacks[] = {
#define WORD(name) offsetof(struct vmx_capabilities, name)
#define MAY(bit) ((uint64_t)(bit) << 32)
		{ WORD(secondary), MAY(SECONDARY_EPT), "EPT;" },
		{ WORD(secondary), MAY(SECONDARY_UNRESTRICTED), "unrestricted guest" },
		{ WORD(secondary), MAY(SECONDARY_WBINVD), "WBINVD" },
		{ WORD(secondary), MAY(SECONDARY_DESCRIPTOR_TABLE), "LIDT" },
		{ WORD(secondary), MAY(SECONDARY_VPID), NULL },
		{ WORD(secondary), MAY(SECONDARY_RDTSCP), NULL },
		{ WORD(secondary), MAY(SECONDARY_INVPCID), NULL },
		{ WORD(ept_vpid), EPT_CAP_FOUR_LEVELS, "four levels" },
		{ WORD(ept_vpid), EPT_CAP_WRITE_BACK, "write-back" },
		{ WORD(ept_vpid), EPT_CAP_2M, "2 MiB" },
		{ WORD(ept_vpid), EPT_CAP_INVEPT, "INVEPT" },
		{ WORD(ept_vpid), EPT_CAP_INVEPT_SINGLE, NULL },
		{ WORD(ept_vpid), EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT" },
		{ WORD(ept_vpid), EPT_CAP_1G, NULL },
		{ WORD(ept_vpid), VPID_CAP_INVVPID, NULL },
		{ WORD(ept_vpid), VPID_CAP_INVVPID_SINGLE, NULL },
		{ WORD(ept_vpid), VPID_CAP_INVVPID_ADDRESS, NULL },
		{ WORD(pin), MAY(PIN_NMI), "virtual NMIs" },
		{ WORD(pin), MAY(PIN_VIRTUAL_NMIS), "virtual NMIs" },
		{ WORD(primary), MAY(PRIMARY_NMI_WINDOW), "virtual NMIs" },
		{ WORD(primary), MAY(PRIMARY_IO_BITMAPS), "bitmaps" },
		{ WORD(primary), MAY(PRIMARY_MSR_BITMAPS), "bitmaps" },
		{ WORD(primary), MAY(PRIMARY_CR3_LOAD), "CR3" },
		{ WORD(primary), MAY(PRIMARY_CR3_STORE), "CR3" },
		{ WORD(primary), MAY(PRIMARY_INVLPG), "INVLPG" },
		{ WORD(exit), MAY(EXIT_HOST_64), "64-bit hosts" },
		{ WORD(exit), MAY(EXIT_SAVE_DEBUG), "DEBUGCTL" },
		{ WORD(exit), MAY(EXIT_SAVE_EFER), "EFER" },
		{ WORD(exit), MAY(EXIT_LOAD_EFER), "EFER" },
		{ WORD(entry), MAY(ENTRY_LOAD_DEBUG), "DEBUGCTL" },
		{ WORD(entry), MAY(ENTRY_LOAD_EFER), "EFER" },
		{ WORD(entry), MAY(ENTRY_GUEST_64), "64-bit" },
	};

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);
		uint64_t *word = (uint64_t *)((uint8_t *)&c + lacks[i].word);
		assert_int_equal(*word & lacks[i].bit, lacks[i].bit); /* a good CPU has it */
		*word &= ~lacks[i].bit;
		if (lacks[i].part)
			refuse(&c, lacks[i].part);
		else
			assert_good(&c);
	}
}

/* A control that Scrim does not want and that cannot be clear. */
static void test_forced_exits(void **unused)
{
	(void)unused;
	for (uint32_t bit = 0; bit < 32; bit++) {
		struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);
		if (!(PRIMARY_EXITS >> bit & 1))
			continue;
		c.primary |= 1u << bit;
		refuse(&c, "true controls");
	}
	struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);
	c.pin |= PIN_EXTERNAL_INTERRUPT;
	refuse(&c, "true controls");
	c = capabilities_of(&vmx_cpu_haswell); /* its legacy MSR has CR3 loads and stores exit */
	c.primary = vmx_cpu_haswell.msr[MSR_VMX_PRIMARY - MSR_VMX_BASIC];
	refuse(&c, "true controls");
}

static void test_without(void **unused)
{
	struct vmx_capabilities c = capabilities_of(&vmx_cpu_haswell);

	(void)unused;
	c.ept_vpid &= ~(EPT_CAP_1G | EPT_CAP_INVEPT_SINGLE | VPID_CAP_INVVPID_ADDRESS);
	struct vmx_controls controls = choose(&c);
	assert_false(controls.has_1g || controls.invalidates_single || controls.invalidates_address);
	assert_true(controls.has_vpid);
	c.ept_vpid &= ~VPID_CAP_INVVPID_SINGLE; /* a VPID that could not be flushed is none */
	controls = choose(&c);
	assert_false(controls.has_vpid || controls.secondary & SECONDARY_VPID);
	c.secondary |= (uint64_t)(SECONDARY_XSAVES | SECONDARY_USER_WAIT) << 32;
	assert_int_equal(choose(&c).secondary & (SECONDARY_XSAVES | SECONDARY_USER_WAIT), SECONDARY_XSAVES | SECONDARY_USER_WAIT);
}

/* --- the judgement --- */

static void test_judgement(void **unused)
{
	struct vmx_features features = { .has_vmx = false };
	struct vmx_controls controls;

	(void)unused;
	assert_line(vmx_probe_judge(&features, &controls), "has no Intel VMX");
	features = (struct vmx_features){ .has_vmx = true, .capabilities = capabilities_of(&vmx_cpu_haswell) };
	assert_no_line(vmx_probe_judge(&features, &controls));
	features.firmware_disabled = true;
	assert_line(vmx_probe_judge(&features, &controls), "VMX disabled by firmware; enable it");
	features.firmware_disabled = false;
	features.has_unknown_mtrrs = true;
	assert_line(vmx_probe_judge(&features, &controls), "MTRRs of a kind");
	features.firmware_disabled = true;
	features.capabilities = capabilities_of(&vmx_cpu_bochs_lynnfield); /* nobody is told to change what would not be enough */
	assert_line(vmx_probe_judge(&features, &controls), "unrestricted guest");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_haswell),	       cmocka_unit_test(test_bochs_haswell), cmocka_unit_test(test_debug_is_switched),
		cmocka_unit_test(test_cpus_that_lack), cmocka_unit_test(test_each_lack),     cmocka_unit_test(test_forced_exits),
		cmocka_unit_test(test_without),	       cmocka_unit_test(test_judgement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
