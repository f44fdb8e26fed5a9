/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that starts its CPUs as an OS with x2APIC does, by writes of the ICR's MSR (Intel SDM vol. 3, 10.12.9): one after another and all at once,
 * and again. Each CPU that begins asks Scrim for its version: on the bare machine nobody answers, and on Scrim nobody may be outside.
 */
#include "../kernel/console.h"
#include "../kernel/insn.h"
#include "scrim_request.h"
#include "start.h"

#include <stddef.h>

#define MSR_APIC_BASE   0x1bu
#define APIC_BASE_X2    0x400u
#define MSR_X2APIC_ID   0x802u
#define MSR_X2APIC_ICR  0x830u
#define CPUID_X2APIC    (1u << 21) /* 1 ECX */
#define ICR_INIT        0x4500u
#define ICR_STARTUP     (0x4600u | START_PAGE >> 12)
#define ICR_ALL_OTHERS  0xc0000u
#define CPUS            3u /* what the machine has been given */
#define ROUNDS          5u
#define POST_PORT       0x80u
#define WAIT_IO         200000u /* a port access is about a microsecond */

extern const uint8_t start_code[], start_code_end[];
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void guest_main(void);

_Static_assert(START_PORT == SCRIM_PORT && START_REQUEST == SCRIM_REQUEST(SCRIM_OP_VERSION), "start.h");

static volatile uint32_t *at(uint32_t offset)
{
	return memory_at(START_PAGE + offset);
}

static void wait_io(uint32_t count)
{
	while (count-- > 0)
		(void)port_read8(POST_PORT);
}

/* INIT and STARTUP to whom `target` names; true when `count` CPUs have begun. */
static bool start(uint64_t target, uint32_t count)
{
	*at(START_ANSWER) = *at(START_RESULT) = *at(START_COUNT) = 0;
	msr_write(MSR_X2APIC_ICR, target | ICR_INIT);
	wait_io(10000);
	msr_write(MSR_X2APIC_ICR, target | ICR_STARTUP);
	for (uint32_t i = 0; i < WAIT_IO && *at(START_COUNT) < count; i++)
		wait_io(1);
	return *at(START_COUNT) == count;
}

static uint64_t info(enum scrim_info item)
{
	return scrim_request(SCRIM_OP_INFO, item, 0).result[0];
}

void guest_main(void)
{
	bool on_scrim = scrim_request(SCRIM_OP_VERSION, 0, 0).status == SCRIM_OK, began = true, answered = true;
	const uint32_t status = on_scrim ? SCRIM_OK : SCRIM_ABSENT;

	console_start();
	console_print("x2apic guest: %s\n", on_scrim ? "on Scrim" : "bare");
	console_check("the CPU has x2APIC", (cpuid_read(1, 0).ecx & CPUID_X2APIC) != 0);
	msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2);
	console_check("x2APIC is on", (msr_read(MSR_APIC_BASE) & APIC_BASE_X2) != 0 && msr_read(MSR_X2APIC_ID) == 0);
	memcpy(memory_at(START_PAGE), start_code, (size_t)(start_code_end - start_code));
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t id = 1; id < CPUS; id++) {
			began = began && start((uint64_t)id << 32, 1);
			answered = answered && *at(START_ANSWER) == status;
			answered = answered && (!on_scrim || *at(START_RESULT) == SCRIM_ABI_VERSION);
		}
		began = began && start(ICR_ALL_OTHERS, CPUS - 1);
		answered = answered && *at(START_ANSWER) == status;
	}
	console_check("each CPU begins whenever it is told", began);
	console_check("each CPU has Scrim beneath it, or none has", answered);
	if (on_scrim) /* none has paging on: all are guarded, and said to be */
		console_check("no CPU is lost, and the state is told", info(SCRIM_INFO_CPUS_LOST) == 0 && info(SCRIM_INFO_STATE) == SCRIM_GUARDED);
	console_print("x2apic guest: %s\n", console_all_held() ? "ok" : "FAILURE");
}
