/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the start-up page's contents and the table that leads a CPU from its APIC id to its struct cpu. */
#include "virt/startup.h"

#include "base/fmt.h"
#include "base/str.h"
#include "hw/apic.h"
#include "hw/console.h"
#include "hw/delay.h"
#include "hw/descriptors.h"
#include "virt/guard.h"
#include "virt/own.h"
#include "virt/vendor.h"

#define STACK_BYTES KIB(8)
#define START_TIMEOUT_MS 5000u

extern const uint8_t startup_code[], startup_code_end[], startup_data[];
extern void startup_entry(void);

struct cpu *startup_cpu_by_apic_id[ACPI_CPUS_MAX + 1];

struct startup_data {
	uint32_t cr3;
	uint32_t entry;
	uint16_t selector, pad0;
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t pad1;
	uint64_t gdt[2];
} PACKED;

/* Why the CPU that Scrim has just started cannot serve; startup_all_cpus() reads it when `ready` stays false. */
static const char *volatile refusal;

void startup_install(uint64_t page, uint64_t cr3)
{
	uint8_t *to = (uint8_t *)(uintptr_t)page;
	uint64_t data_offset = (uint64_t)(startup_data - startup_code);
	struct startup_data *data = (struct startup_data *)(void *)(to + data_offset);

	memcpy(to, startup_code, (size_t)(startup_code_end - startup_code));
	data->cr3 = (uint32_t)cr3;
	data->entry = (uint32_t)(uintptr_t)startup_entry;
	data->gdt_base = (uint32_t)(page + data_offset + offsetof(struct startup_data, gdt));
}

uint64_t startup_cpu_bytes(void)
{
	return STACK_BYTES;
}

void startup_prepare_cpu(struct cpu *cpu)
{
	cpu->stack_top = (uint64_t)(uintptr_t)own_alloc(STACK_BYTES) + STACK_BYTES;
	startup_cpu_by_apic_id[cpu->apic_id] = cpu;
}

struct cpu *startup_find_cpu(uint32_t apic_id)
{
	return apic_id < ACPI_CPUS_MAX ? startup_cpu_by_apic_id[apic_id] : NULL;
}

static void start(const struct cpu *cpu)
{
	uint32_t vector = (uint32_t)(machine.memory.startup_page >> PAGE_SHIFT);

	/* AMD APM vol. 2, 14.8 and MultiProcessor Specification 1.4, B.4. */
	apic_send(cpu->apic_id, ICR_MODE_INIT << 8 | ICR_ASSERT | ICR_LEVEL);
	delay_us(10000);
	for (uint32_t tries = 0; tries < 2 && !__atomic_load_n(&cpu->ready, __ATOMIC_ACQUIRE); tries++) {
		apic_send(cpu->apic_id, ICR_MODE_STARTUP << 8 | ICR_ASSERT | vector);
		delay_us(200);
	}
}

const char *startup_all_cpus(char *line, size_t size)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		struct cpu *cpu = &machine.cpu[i];
		if (cpu->ready)
			continue; /* the one that runs this */
		refusal = NULL;
		start(cpu);
		for (uint32_t ms = 0; ms < START_TIMEOUT_MS && !__atomic_load_n(&cpu->ready, __ATOMIC_ACQUIRE) && !refusal; ms++)
			delay_us(1000);
		if (cpu->ready)
			continue;
		fmt(line, size, "CPU with APIC id %u %s", cpu->apic_id, refusal ? refusal : "did not start");
		return line;
	}
	return NULL;
}

void startup_stop_cpus(void)
{
	uint32_t self = apic_id_by_cpuid();

	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (machine.cpu[i].apic_id != self)
			apic_send(machine.cpu[i].apic_id, ICR_MODE_INIT << 8 | ICR_ASSERT | ICR_LEVEL);
	delay_us(10000);
}

void startup_main(struct cpu *cpu)
{
	descriptors_load();
	if (!cpu->ready) {
		refusal = machine.vendor->probe();
		if (!refusal)
			__atomic_store_n(&cpu->ready, true, __ATOMIC_RELEASE);
		/* Interrupts are off; what ends this is the OS's INIT. */
		for (;;)
			hlt();
	}
	machine.vendor->enable(cpu);
	machine.vendor->reset_to_startup(cpu, cpu->start_vector);
	guard_on_start(cpu);
	machine.vendor->run(cpu);
}
