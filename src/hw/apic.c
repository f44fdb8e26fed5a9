/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns no state: the mode is read from APIC_BASE each time, since the OS may change it. */
#include "hw/apic.h"

#include "hw/insn.h"
#include "hw/msr.h"

#define CPUID_FEATURES 1u
#define CPUID_TOPOLOGY 0xbu

uint32_t apic_id_by_cpuid(void)
{
	if (cpuid(0, 0).eax >= CPUID_TOPOLOGY) {
		struct cpuid_result topology = cpuid(CPUID_TOPOLOGY, 0);
		if (topology.ebx & 0xffff) /* leaf implemented (Intel SDM vol. 2, CPUID leaf 0BH) */
			return topology.edx;
	}
	return cpuid(CPUID_FEATURES, 0).ebx >> 24;
}

bool apic_is_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

bool apic_is_enabled(void)
{
	if (!(rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLE))
		return false;
	uint64_t svr = apic_is_x2apic() ? rdmsr(MSR_X2APIC_SVR) : apic_read(APIC_REG_SVR);
	return svr & APIC_SVR_ENABLE;
}

void apic_write(uint32_t reg, uint32_t value)
{
	mmio_write32(APIC_PAGE + reg, value);
}

uint32_t apic_read(uint32_t reg)
{
	return mmio_read32(APIC_PAGE + reg);
}

static void wait_until_sent(void)
{
	/* Bounded: an APIC that is off in APIC_BASE reads all-ones. */
	for (uint32_t tries = 0; tries < 1000000 && apic_read(APIC_REG_ICR_LOW) & ICR_PENDING; tries++)
		cpu_pause();
}

void apic_send(uint32_t apic_id, uint32_t icr_low)
{
	if (apic_is_x2apic()) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | icr_low);
		return;
	}
	uint32_t os_high = apic_read(APIC_REG_ICR_HIGH);
	wait_until_sent();
	apic_write(APIC_REG_ICR_HIGH, apic_id << 24);
	apic_write(APIC_REG_ICR_LOW, icr_low);
	wait_until_sent();
	apic_write(APIC_REG_ICR_HIGH, os_high);
}
