/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests what an OS reads of machine-check banks: both kinds of banks, with a page in the frame and without, and all that is left as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/machine_check.h"

#define ADDRV   (1ull << 58)
#define STATUS  (1ull << 63 | 0x150)
#define FRAME   0x1234040ull /* a page is there: 0x5678000 */
#define PAGE    0x5678040ull
#define NOBODY  0x9999000ull
#define UMC     (0x96ull << 32)
#define CORE    (0xb0ull << 32)

static struct { uint32_t msr; uint64_t value; } registers[4];
static uint32_t told;

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		if (registers[i].msr == msr) {
			*value = registers[i].value;
			return true;
		}
	return false;
}

bool machine_check_translate(struct cpu *self, uint64_t *address)
{
	(void)self;
	if (*address != FRAME)
		return false;
	*address = PAGE;
	return true;
}

bool machine_check_tell(struct cpu *self, uint64_t *address)
{
	bool found = machine_check_translate(self, address);

	told += found;
	return found;
}

static void set(uint32_t at, uint32_t msr, uint64_t value)
{
	registers[at].msr = msr;
	registers[at].value = value;
}

static void set_bank(uint32_t status, uint32_t address, uint64_t status_value, uint64_t address_value)
{
	told = 0;
	set(0, status, status_value);
	set(1, address, address_value);
}

/* It is served here, and reads as `expected`. */
static void reads(uint32_t msr, uint64_t expected)
{
	struct cpu cpu = { .translating = true };
	uint64_t value = 0;
	bool ok = false;

	assert_true(machine_check_read(&cpu, msr, &value, &ok));
	assert_true(ok);
	assert_int_equal(value, expected);
	cpu.translating = false;
	assert_false(machine_check_read(&cpu, msr, &value, &ok));
}

static void check_bank(uint32_t status, uint32_t address)
{
	set_bank(status, address, STATUS | ADDRV, FRAME);
	reads(status, STATUS | ADDRV);
	assert_int_equal(told, 0);
	reads(address, PAGE);
	assert_int_equal(told, 1);
	set_bank(status, address, STATUS | ADDRV, NOBODY);
	reads(status, STATUS);
	reads(address, 0);
	set_bank(status, address, STATUS, FRAME); /* no address: whatever is there is left */
	reads(status, STATUS);
	reads(address, FRAME);
	assert_int_equal(told, 0);
}

static void test_legacy_banks(void **unused)
{
	(void)unused;
	check_bank(0x401, 0x402);
	check_bank(0x401 + 4 * 31, 0x402 + 4 * 31);
}

static void test_scalable_banks(void **unused)
{
	(void)unused;
	set(2, 0xc0002005, CORE);
	set(3, 0xc0002005 + 16 * 63, CORE);
	check_bank(0xc0002001, 0xc0002002);
	check_bank(0xc0002008, 0xc0002009); /* deferred */
	check_bank(0xc0002001 + 16 * 63, 0xc0002002 + 16 * 63);
}

/* What a memory controller says is no machine address. */
static void test_memory_controller(void **unused)
{
	(void)unused;
	set(2, 0xc0002025, UMC);
	set_bank(0xc0002021, 0xc0002022, STATUS | ADDRV, FRAME);
	reads(0xc0002021, STATUS);
	reads(0xc0002022, 0);
	assert_int_equal(told, 0);
}

static void test_others(void **unused)
{
	static const uint32_t others[] = { 0x179, 0x3fe, 0x400, 0x403, 0x400 + 4 * 32 + 1, 0xc0002000, 0xc0002003, 0xc000200a,
					   0xc0002401, 0xc0000080, 0xc0010114 };
	struct cpu cpu = { .translating = true };
	uint64_t value;
	bool ok = true;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(machine_check_read(&cpu, others[i], &value, &ok));
	set_bank(0, 0, 0, 0); /* a bank that the CPU has not */
	assert_true(machine_check_read(&cpu, 0x401, &value, &ok));
	assert_false(ok);
	assert_true(machine_check_read(&cpu, 0x402, &value, &ok));
	assert_false(ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_legacy_banks),
		cmocka_unit_test(test_scalable_banks),
		cmocka_unit_test(test_memory_controller),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
