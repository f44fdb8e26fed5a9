/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot as a readable list of calls. Two halves: boot_main() runs where the loader has put Scrim, decides everything and
 * changes nothing; boot_continue() runs in Scrim's own block at the top of low memory and carries it out. Whatever keeps Scrim
 * from serving this machine is told in one line, and the first module is booted natively where there is one to boot.
 */
#include "base/fmt.h"
#include "base/str.h"
#include "base/version.h"
#include "hw/apic.h"
#include "hw/console.h"
#include "hw/delay.h"
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/mtrr.h"
#include "main/boot_state.h"
#include "svm/svm.h"
#include "virt/dma.h"
#include "virt/guard.h"
#include "virt/guest_memory.h"
#include "virt/memvirt.h"
#include "virt/shadow.h"
#include "virt/startup.h"
#include "virt/trace.h"
#include "virt/watching.h"
#include "vmx/vmx.h"

#define MULTIBOOT2_MAGIC 0x36d76289u
#define EGA_TEXT 0xb8000ull
#define OWN_RANGES 4u /* that the map grows by at most when Scrim's block and page are taken out of it; and 2 for each IOMMU's registers */
#define CPUID_HYPERVISOR (1u << 31) /* 1 ECX */
#define HYPERVISOR_LEAF 0x40000000u

extern uint8_t boot_only_start[], boot_stack_top[];
extern uint8_t svm_room_start[], boot_room_start[], boot_room_end[], vmx_room_end[]; /* in this order */
extern void image_relocate(uint64_t start);
extern void NORETURN call_on_stack(uint64_t function, uint64_t stack_top);
extern void NORETURN enter_natively(uint32_t entry, const struct descriptor_table_pointer *gdt, uint32_t eax, uint32_t ebx,
				    uint32_t esi);
void NORETURN boot_main(uint32_t magic, uint32_t information);
static void NORETURN boot_continue(void);

struct boot_state boot BOOT_ONLY;

/* Where one memory type ends and another begins, for the back-ends. */
static uint64_t boundary[MTRR_BOUNDARIES_MAX];

static char line[200];

/* Until boot_continue() its memory is the page tables of entry.S. */
_Alignas(PAGE_SIZE) struct machine machine;
_Static_assert(sizeof(struct machine) >= 6 * PAGE_SIZE, "entry.S: six page tables");

void stop(const char *why)
{
	console_line("%s", why);
	for (;;)
		hlt();
}

static void refuse(const char *why)
{
	console_line("%s", why);
	boot.serve = false;
}

static bool read_below_4g(void *context, uint64_t address, void *to, uint32_t bytes)
{
	(void)context;
	if (!address || address >= GIB(4) || bytes > GIB(4) - address)
		return false;
	memcpy(to, (const void *)(uintptr_t)address, bytes);
	return true;
}

static const char *read_multiboot(uint32_t magic, uint32_t information)
{
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)information;
	uint32_t limit;

	if (magic == MULTIBOOT1_MAGIC)
		return multiboot1_parse(bytes, 128, read_below_4g, NULL, &boot.info);
	if (magic != MULTIBOOT2_MAGIC)
		return "not started by a multiboot loader; use GRUB's multiboot2 command, or qemu -kernel";
	memcpy(&limit, bytes, sizeof(limit)); /* total_size, Multiboot2 3.4 */
	return multiboot2_parse(bytes, limit, &boot.info);
}

static void open_screen(void)
{
	const struct boot_framebuffer *fb = &boot.info.framebuffer;
	struct console_screen screen = { .address = EGA_TEXT, .width = 80, .height = 25, .text = true };

	if (fb->address && fb->type == 1)
		screen = (struct console_screen){ .address = fb->address, .pitch = fb->pitch, .width = fb->width,
						  .height = fb->height, .bits_per_pixel = fb->bpp };
	else if (boot.info.efi.system_table)
		screen.address = 0; /* UEFI has no text mode */
	if (screen.address < GIB(4))
		console_use_screen(&screen);
}

static void read_options(void)
{
	const char *why = boot_options_parse(boot.info.cmdline, &boot.options, line, sizeof(line));

	if (why) {
		refuse(why);
		return;
	}
	console_use_serial(boot.options.console_serial);
	if (!boot.options.console_screen)
		console_use_screen(&(struct console_screen){ 0 });
}

/* Asked again in the second half: the addresses are other ones then. */
const struct vendor_ops *boot_vendor(void)
{
	return vmx_vendor.is_there() ? &vmx_vendor : svm_vendor.is_there() ? &svm_vendor : NULL;
}

static void read_cpu(void)
{
	boot.address_bits = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
	boot.boundary_count = mtrr_boundaries(boundary, boot.address_bits);
	const char *why = boot_vendor() ? boot_vendor()->probe() : "has neither AMD SVM nor Intel VMX; Scrim needs one of them: booting without Scrim";
	if (why) {
		fmt(line, sizeof(line), "this CPU %s", why);
		refuse(line);
	} else {
		boot.has_1g = boot_vendor()->has_1g();
	}
}

/* A piece of RAM that devices use at firmware's behest. */
static bool find_used_by_devices(struct range *piece)
{
	const struct range_list *map = &boot.info.memory;

	for (uint32_t i = 0; i < map->count; i++)
		for (uint32_t j = 0; j < boot.iommu.reserved_count; j++) {
			const struct range *ram = &map->entry[i], *used = &boot.iommu.reserved[j];
			piece->start = ram->start > used->start ? ram->start : used->start;
			piece->end = ram->end < used->end ? ram->end : used->end;
			if (ram->type == RANGE_RAM && piece->start < piece->end)
				return true;
		}
	return false;
}

/* Firmware should not call it RAM (VT-d specification, 8.4; AMD's, 5.2). Where it does all the same, the OS gets none of it, and so it never moves. */
static void reserve_used_by_devices(void)
{
	struct range piece;

	while (find_used_by_devices(&piece))
		if (!ranges_set_type(&boot.info.memory, piece.start, piece.end, RANGE_RESERVED)) {
			refuse("firmware's memory map has too many pieces to take out of it what its devices use: booting without Scrim");
			return;
		}
}

static void read_machine(void)
{
	const struct range_list *memory = &boot.info.memory;

	for (uint32_t i = 0; i < memory->count; i++)
		if (memory->entry[i].type == RANGE_RAM)
			boot.ram_end = memory->entry[i].end;
	acpi_read(boot.info.rsdp, boot.info.rsdp_bytes, &boot.acpi);
	const char *why = iommu_find(&boot.acpi, boot.ram_end, boot.address_bits, &boot.iommu);
	if (why && boot.serve)
		console_line("%s; pages may be displaced only where dma-free= says", why);
	reserve_used_by_devices();
	if (memory->count + OWN_RANGES + 2 * boot.iommu.unit_count > RANGES_MAX)
		refuse("firmware's memory map has too many pieces to take Scrim's own out of it: booting without Scrim");
	if (boot.acpi.id_too_large)
		refuse("a CPU has an APIC id of 255 or more, which needs interrupt remapping: booting without Scrim");
}

static const char *plan(void)
{
	measure_demand();
	return placement_plan(&boot.info.memory, &boot.info, &boot.guest, own_bytes(&boot.demand),
			      (uint64_t)(uintptr_t)image_start, (uint64_t)(uintptr_t)image_end, &boot.place);
}

static void plan_or_stop(void)
{
	const char *why = plan();

	if (!why)
		return;
	boot.serve = false;
	const char *why_not_natively = plan();
	if (why_not_natively)
		stop(why_not_natively);
	console_line("%s", why);
}

void boot_main(uint32_t magic, uint32_t information)
{
	console_use_serial(true);
	boot.serve = true;
	const char *why = read_multiboot(magic, information);
	open_screen();
	if (why)
		stop(why);
	console_line("Scrim %u.%u.%u", SCRIM_VERSION_MAJOR, SCRIM_VERSION_MINOR, SCRIM_VERSION_PATCH);
	read_options();
	if (!boot.info.module_count)
		stop("no kernel to boot; give one as the first module: `module2 /vmlinuz ARGS` in GRUB, -initrd in QEMU");
	why = guest_image_parse((const uint8_t *)(uintptr_t)boot.info.kernel.start,
				boot.info.kernel.end - boot.info.kernel.start, &boot.guest);
	if (why)
		stop(why);
	read_cpu();
	read_machine();
	plan_or_stop();

	/* Point of no return: from here on memory is written that the loader has not given to Scrim. */
	uint64_t to = boot.place.own_start, from = (uint64_t)(uintptr_t)image_start;
	memcpy((void *)(uintptr_t)to, image_start, boot.demand.image_bytes);
	image_relocate(to);
	call_on_stack((uint64_t)(uintptr_t)boot_continue - from + to, (uint64_t)(uintptr_t)boot_stack_top - from + to);
}

static void become_resident(void)
{
	own_init(boot.place.own_start, boot.place.own_end, &boot.demand);
	uint64_t cr3 = paging_build(own_alloc(paging_bytes(boot.ram_end)), boot.ram_end);
	write_cr3(cr3);
	descriptors_build();
	descriptors_load();
	/* Again: what the first half read points into the place that Scrim has left. */
	acpi_read(boot.info.rsdp, boot.info.rsdp_bytes, &boot.acpi);
	if (!delay_calibrate())
		refuse("the timer (PIT) does not run, so that no other CPU can be started: booting without Scrim");
	if (boot.serve)
		startup_install(boot.place.startup_page, cr3);
}

static void make_cpus(void)
{
	machine.vendor = boot_vendor();
	machine.cpu_count = boot.acpi.cpu_count;
	machine.cpu = own_alloc(machine.cpu_count * sizeof(struct cpu));
	for (uint32_t i = 0; i < machine.cpu_count; i++) {
		machine.cpu[i].index = i;
		machine.cpu[i].apic_id = boot.acpi.apic_id[i];
		startup_prepare_cpu(&machine.cpu[i]);
	}
	machine.vendor->init();
}

static struct cpu *this_cpu(void)
{
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		if (machine.cpu[i].apic_id == apic_id_by_cpuid())
			return &machine.cpu[i];
	return NULL;
}

/* Of the image, what this machine does not need once it has booted: the other vendor's room, and the parsers between the two. */
static uint8_t *needless_start(void)
{
	return machine.vendor == &svm_vendor ? boot_room_start : svm_room_start;
}

static uint8_t *needless_end(void)
{
	return machine.vendor == &svm_vendor ? vmx_room_end : boot_room_end;
}

static void start_cpus(void)
{
	make_cpus();
	machine.memory = (struct machine_memory){
		.own_start = boot.place.own_start, .own_end = boot.place.own_end, .image_bytes = (uint64_t)(boot_only_start - image_start - (needless_end() - needless_start())),
		.frames_start = own_frames_start(), .frames_end = own_frames_end(), .startup_page = boot.place.startup_page,
		.reserve_bytes = boot.demand.reserve_bytes, .v2m_bytes = v2m_bytes()
	};
	struct cpu *self = this_cpu();
	if (!self) {
		refuse("firmware's list of CPUs (ACPI MADT) lacks the one that boots: booting without Scrim");
		return;
	}
	self->ready = true;
	const char *why = startup_all_cpus(line, sizeof(line));
	if (why) {
		startup_stop_cpus();
		refuse(why);
	}
}

/* The OS's map: the machine's own, less what is Scrim's. */
static void reserve_own_memory(void)
{
	struct range_list *map = &boot.info.memory;
	const struct placement *p = &boot.place;

	CHECK(ranges_set_type(map, p->own_start, p->own_end, RANGE_RESERVED));
	CHECK(ranges_set_type(map, p->startup_page, p->startup_page + PAGE_SIZE, RANGE_RESERVED));
	for (uint32_t i = 0; i < boot.iommu.unit_count; i++)
		CHECK(ranges_set_type(map, boot.iommu.registers[i].start, boot.iommu.registers[i].end, RANGE_RESERVED));
	for (uint32_t i = 0; i < map->count; i++)
		if (map->entry[i].type == RANGE_RAM)
			CHECK(ranges_add(&machine.os_ram, map->entry[i].start, map->entry[i].end, RANGE_RAM));
}

/* Devices are Scrim's to translate from here on, where that can be; the OS finds no IOMMU. */
static void take_iommu(void)
{
	const struct dma_ops *ops = NULL;

	if (boot.iommu.kind != SCRIM_IOMMU_NONE) {
		ops = iommu_take(&boot.iommu, own_alloc(iommu_fixed_bytes(&boot.iommu)));
		console_line(ops ? "%u IOMMU unit(s): devices translate while memory is virtualized" :
				   "%u IOMMU unit(s) do not obey: pages may be displaced only where dma-free= says", boot.iommu.limits.units);
		machine.dma.xlat.near = own_alloc(near_bytes(boot.ram_end));
		machine.dma.xlat.near_count = near_bytes(boot.ram_end) / sizeof(*machine.dma.xlat.near);
		dma_init(ops, &boot.iommu.limits, own_alloc(dma_fixed_bytes(machine.cpu_count)));
	}
	machine.dma_free = boot.options.dma_free_all ? machine.os_ram : boot.options.dma_free;
	if (iommu_hide(&boot.acpi))
		console_line("the IOMMUs are hidden from the OS");
}

/* The emulator says who it is: "TCGTCGTCGTCG", where a hypervisor would. Its page walk has ways of its own (xlat/guest_mmu.h). */
static bool is_tcg(void)
{
	const struct cpuid_result r = cpuid(HYPERVISOR_LEAF, 0);

	return cpuid(1, 0).ecx & CPUID_HYPERVISOR && r.ebx == 0x54474354 && r.ecx == 0x43544743 && r.edx == 0x47435447;
}

static void make_memory(void)
{
	struct mem_config config = {
		.ram = &machine.os_ram, .dma_free = &machine.dma_free, .reserve_first = mfn_of_address(own_frames_start()),
		.reserve_frames = own_reserve_frames(boot.demand.reserve_bytes),
		.storage = own_alloc(mem_storage_bytes(boot.ram_end, boot.ram_end))
	};

	machine.share_slots = own_alloc(share_slots_bytes(boot.ram_end));
	machine.share_slot_count = share_slots_bytes(boot.ram_end) / sizeof(uint64_t);
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		machine.cpu[i].batch = own_alloc(sizeof(struct mem_batch));
	for (uint32_t i = 0; trace_ring_bytes(boot.options.trace_bytes) && i < machine.cpu_count; i++)
		trace_give_memory(&machine.cpu[i], own_alloc(trace_ring_bytes(boot.options.trace_bytes)), trace_ring_bytes(boot.options.trace_bytes));
	machine.xlat.near = own_alloc(cpu_near_bytes());
	machine.xlat.near_count = cpu_near_bytes() / sizeof(*machine.xlat.near);
	machine.xlat.address_bits = boot.address_bits;
	machine.xlat.has_1g = boot.has_1g;
	machine.xlat.boundary = boundary;
	machine.xlat.boundary_count = boot.boundary_count;
	machine.is_tcg = is_tcg();
	guest_memory_init(boot.ram_end > GIB(4) ? align_up(boot.ram_end, GIB(1)) : GIB(4));
	shadow_init(own_alloc(shadow_shared_bytes()));
	for (uint32_t i = 0; v2m_bytes() && i < machine.cpu_count; i++)
		shadow_give_memory(&machine.cpu[i], own_alloc(shadow_cpu_bytes(boot.options.shadow_bytes)),
				   shadow_cpu_bytes(boot.options.shadow_bytes));
	machine.map_late = boot.options.map_late;
	take_iommu();
	machine.guard = true;
	memvirt_init(&config);
	watching_init(own_alloc(watch_storage_bytes(boot.ram_end)));
	guard_trap_apic();
}

void boot_continue(void)
{
	struct guest_entry entry;

	memset(&machine, 0, sizeof(machine)); /* the tables in use are those that the loader's copy of the image has */
	become_resident();
	if (boot.serve)
		start_cpus();
	if (boot.serve) {
		reserve_own_memory();
		make_memory();
		if (acpi_hide_s3(&boot.acpi))
			console_line("suspend to RAM is hidden from the OS: it would wake outside Scrim; it suspends to idle instead");
		console_line("%u CPUs, %lu KiB reserved at 0x%lx, %lu free frames", machine.cpu_count,
			     (boot.place.own_end - boot.place.own_start) / 1024, boot.place.own_start,
			     own_reserve_frames(boot.demand.reserve_bytes));
	}
	hand_over(&entry);
	if (!boot.serve) {
		const struct descriptor_table_pointer gdt = { BOOT_GDT_BYTES - 1, entry.gdt };
		enter_natively(entry.rip, &gdt, entry.rax, entry.rbx, entry.rsi);
	}
	own_give_boot_memory(boot_only_start, image_end);
	own_give_boot_memory(needless_start(), needless_end());
	struct cpu *self = this_cpu();
	machine.vendor->enable(self);
	machine.vendor->reset_to_entry(self, &entry);
	guard_on_start(self);
	machine.vendor->run(self);
}
