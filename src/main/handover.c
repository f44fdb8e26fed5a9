/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the last acts before the guest: its parameters, its modules and itself are put where the plan says. No loader's memory is needed afterwards. */
#include "base/str.h"
#include "boot/linux_params.h"
#include "main/boot_state.h"

static void fill_params(void)
{
	uint8_t *block = (uint8_t *)(uintptr_t)boot.place.params_start;
	bool is_linux = boot.guest.kind == GUEST_LINUX;
	const struct guest_handover handover = {
		.boot = &boot.info, .image = &boot.guest,
		.kernel_image = (const uint8_t *)(uintptr_t)boot.info.kernel.start,
		.kernel_bytes = boot.info.kernel.end - boot.info.kernel.start, .kernel_start = boot.place.kernel_start,
		.initrd_start = boot.place.initrd_start, .initrd_end = boot.place.initrd_end, .memory = &boot.info.memory,
		.own_start = boot.serve ? boot.place.own_start : 0, .own_end = boot.serve ? boot.place.own_end : 0,
		.startup_page = boot.serve ? boot.place.startup_page : 0,
		.rsdp = boot.info.rsdp_bytes ? 0 : boot.acpi.rsdp, .params = boot.place.params_start
	};
	uint32_t bytes = PLACEMENT_PARAMS_BYTES - PAGE_SIZE; /* the last page is the guest's first GDT and stack */
	const char *why = is_linux ? linux_params_fill(block, bytes, &handover)
				   : multiboot1_info_fill(block, bytes, &handover);

	if (why)
		stop(why);
}

/* boot/placement.h says why in this order: the initrd, the kernel's module where it must move, the parameters, the kernel. */
static void move_modules(void)
{
	struct boot_module *kernel = &boot.info.kernel;
	const struct boot_module *initrd = &boot.info.initrd;
	uint64_t bytes = kernel->end - kernel->start;

	memmove((void *)(uintptr_t)boot.place.initrd_start, (const void *)(uintptr_t)initrd->start,
		initrd->end - initrd->start);
	memmove((void *)(uintptr_t)boot.place.kernel_file, (const void *)(uintptr_t)kernel->start, bytes);
	kernel->start = boot.place.kernel_file;
	kernel->end = boot.place.kernel_file + bytes;
}

static void place_kernel(void)
{
	for (uint32_t i = 0; i < boot.guest.segment_count; i++) {
		const struct guest_segment *segment = &boot.guest.segment[i];
		uint64_t to = boot.guest.kind == GUEST_LINUX ? boot.place.kernel_start : segment->address;
		memmove((void *)(uintptr_t)to, (const void *)(uintptr_t)(boot.info.kernel.start + segment->file_offset),
			segment->file_bytes);
		memset((void *)(uintptr_t)(to + segment->file_bytes), 0, segment->memory_bytes - segment->file_bytes);
	}
}

/* GDT with flat 0x10 and 0x18, as Linux's boot protocol asks for; memory of the guest's, behind the parameters. */
static void make_entry(struct guest_entry *entry)
{
	static const uint64_t gdt[BOOT_GDT_BYTES / 8] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	bool is_linux = boot.guest.kind == GUEST_LINUX;
	uint32_t params = (uint32_t)boot.place.params_start;

	entry->gdt = boot.place.params_end - BOOT_GDT_BYTES;
	entry->gdt_bytes = BOOT_GDT_BYTES;
	memcpy((void *)(uintptr_t)entry->gdt, gdt, sizeof(gdt));
	entry->rsp = (uint32_t)entry->gdt;
	entry->rip = (uint32_t)(is_linux ? boot.place.kernel_start + boot.guest.entry : boot.guest.entry);
	entry->rax = is_linux ? 0 : MULTIBOOT1_MAGIC;
	entry->rbx = is_linux ? 0 : params;
	entry->rsi = is_linux ? params : 0;
}

void hand_over(struct guest_entry *entry)
{
	move_modules();
	fill_params();
	place_kernel();
	make_entry(entry);
}
