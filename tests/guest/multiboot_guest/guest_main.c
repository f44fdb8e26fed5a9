/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot test guest: boot as a list of calls, then the verdict. */
#include "guest.h"

#define DEBUG_EXIT_PORT 0xf4u
#define DEBUG_EXIT_OK   0x10u
#define DEBUG_EXIT_BAD  0x11u

void guest_main(void)
{
	const struct multiboot_info *info = memory_at(entry_ebx);

	console_start();
	timer_load_idt();
	console_print("multiboot guest: start\n");
	cpu_check_entry();
	loader_check(info);
	cpu_check_cpuid(false);
	cpu_check_efer();
	cpu_check_apic();
	timer_check();
	ram_check(info);
	cpu_check_paging();
	cpu_check_long_mode();
	cpu_check_cpuid(true);
	console_print("multiboot guest: %s\n", console_all_held() ? "ok" : "FAILURE");
	port_write32(DEBUG_EXIT_PORT, console_all_held() ? DEBUG_EXIT_OK : DEBUG_EXIT_BAD);
}
