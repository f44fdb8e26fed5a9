/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the units, their caches and the devices. A machine address is a pointer. */
#include "sim.h"

#include "hw/console.h"
#include "hw/delay.h"
#include "hw/insn.h"
#include "hw/pci.h"

#define FIXED AMDVI_FIXED_BYTES(SIM_UNITS)
#define BYTES (FIXED + SIM_TABLES * PAGE_SIZE)
#define TLB 32u
#define POISON 0x5a5a5a5a5a5a5a5bull
#define ADDRESS 0x000ffffffffff000ull
#define TSC_HZ 1000000000ull
#define TSC_STEP 1000000ull

_Alignas(4096) uint8_t sim_memory[BYTES];
static uint8_t written_back[BYTES];
static bool in_use[SIM_TABLES];
struct sim_hot sim_hot[SIM_HOT];
uint64_t sim_accesses, sim_translated, sim_commands;
static struct sim_config config;
static struct random chance;
static uint64_t tsc;
static uint32_t capability;
static uint64_t features;
static uint16_t class_of[0x10000];

struct cached {
	bool valid;
	uint16_t domain;
	uint64_t start, bytes; /* of addresses */
	uint64_t to;           /* where they are, or the table of 4 KiB entries for them */
};

static struct unit {
	uint64_t device_table, command_base, command_head, command_tail, event_base, event_head, event_tail, control, status, exclusion;
	enum sim_fault fault;
	bool has_device[AMDVI_DEVICES];
	struct amdvi_device device[AMDVI_DEVICES];
	struct cached page[TLB], table[TLB];
	struct amdvi_event late;
	uint64_t late_at;
} units[SIM_UNITS];

/* Some that firmware's table names, some that come later. */
static const uint16_t devices[] = { 0x0008, 0x00a1, 0x4100, 0xffff };

/* --- memory --- */

static bool is_ours(uint64_t machine)
{
	uint64_t start = (uint64_t)(uintptr_t)sim_memory;

	return machine >= start && machine < start + BYTES;
}

/* As a unit reads tables. */
static uint64_t read_table(uint64_t machine)
{
	uint64_t value, offset = machine - (uint64_t)(uintptr_t)sim_memory;

	assert_true(is_ours(machine));
	memcpy(&value, (config.past_cache ? written_back : sim_memory) + offset, sizeof(value));
	return value;
}

void clflush(const void *line)
{
	uint64_t offset = (uint64_t)((const uint8_t *)line - sim_memory);

	assert_true(is_ours((uint64_t)(uintptr_t)line) && offset % 64 == 0);
	memcpy(written_back + offset, sim_memory + offset, 64);
}

static uint8_t *table_page(uint32_t i)
{
	return sim_memory + FIXED + i * PAGE_SIZE;
}

static void *table_alloc(void *context)
{
	uint32_t i = (uint32_t)random_below(&chance, SIM_TABLES);

	(void)context;
	assert_true(sim_tables_out() < SIM_TABLES);
	while (in_use[i])
		i = (i + 1) % SIM_TABLES;
	in_use[i] = true;
	return memset(table_page(i), 0, PAGE_SIZE);
}

static void table_free(void *context, void *page)
{
	uint64_t i = (uint64_t)((uint8_t *)page - table_page(0)) / PAGE_SIZE;

	(void)context;
	assert_true(i < SIM_TABLES && in_use[i]);
	in_use[i] = false;
	memset(page, 0x5a, PAGE_SIZE);
	memset(written_back + ((uint8_t *)page - sim_memory), 0x5a, PAGE_SIZE);
}

static uint64_t machine_of(void *context, const void *page)
{
	(void)context;
	return (uint64_t)(uintptr_t)page;
}

static void *page_of(void *context, uint64_t machine)
{
	(void)context;
	assert_true(is_ours(machine));
	return (void *)(uintptr_t)machine;
}

static void wrote(void *context, const void *at, uint64_t bytes);

const struct xlat_port sim_port = { table_alloc, table_free, machine_of, page_of, wrote, NULL, NULL, NULL };

/* Devices run while tables are written, too. */
static void wrote(void *context, const void *at, uint64_t bytes)
{
	const uint8_t *line = (const uint8_t *)at - ((uintptr_t)at & 63);

	(void)context;
	for (; line < (const uint8_t *)at + bytes; line += 64)
		clflush(line);
	sim_run(1);
}

uint32_t sim_tables_out(void)
{
	uint32_t out = 0;

	for (uint32_t i = 0; i < SIM_TABLES; i++)
		out += in_use[i];
	return out;
}

/* --- what a unit does with an access --- */

/* The whole entry, as the specification has it: nothing reserved, no guest tables, no ATS, nothing suppressed, interrupts not remapped. */
static void check_device(const struct amdvi_device *entry)
{
	assert_int_equal(entry->word[0] & ~(ADDRESS | 7ull << 9 | 3ull << 61 | 3), 0);
	assert_int_equal(entry->word[0] & 3, 3);
	assert_true((entry->word[0] >> 9 & 7) != 0 || !(entry->word[0] & ADDRESS));
	assert_int_equal(entry->word[1] & ~(0xffffull | 3ull << 35 | 3ull << 40), 0);
	assert_int_equal(entry->word[1] >> 35 & 3, 1);
	assert_int_equal(entry->word[1] >> 40 & 3, 1);
	assert_int_equal(entry->word[2], 0xd700000000000000ull);
	assert_int_equal(entry->word[3], 0);
}

static const struct amdvi_device *device_entry(struct unit *unit, uint16_t device)
{
	if (unit->has_device[device])
		return &unit->device[device];
	assert_int_equal(unit->device_table & PAGE_MASK, AMDVI_DEVICES * 32 / PAGE_SIZE - 1);
	for (uint32_t i = 0; i < 4; i++)
		unit->device[device].word[i] = read_table((unit->device_table & ADDRESS) + device * 32u + i * 8);
	check_device(&unit->device[device]);
	unit->has_device[device] = true;
	return &unit->device[device];
}

static const struct cached *find(const struct cached *cache, uint16_t domain, uint64_t address)
{
	for (uint32_t i = 0; i < TLB; i++)
		if (cache[i].valid && cache[i].domain == domain && address >= cache[i].start && address - cache[i].start < cache[i].bytes)
			return &cache[i];
	return NULL;
}

static void keep(struct cached *cache, struct cached what)
{
	cache[random_below(&chance, TLB)] = what;
}

/* From the device's root, or the table that is cached. A table that was given back is none. */
static uint64_t walk(struct unit *unit, const struct amdvi_device *entry, uint64_t address)
{
	uint16_t domain = (uint16_t)entry->word[1];
	const struct cached *near = find(unit->table, domain, address);
	uint64_t table = near ? near->to : entry->word[0] & ADDRESS;

	for (uint32_t level = near ? 1 : (uint32_t)(entry->word[0] >> 9 & 7);; level--) {
		uint32_t shift = 12 + 9 * (level - 1);
		uint64_t bytes = 1ull << shift, value = read_table(table + (address >> shift & 511) * 8);

		assert_true(in_use[(table - (uint64_t)(uintptr_t)table_page(0)) / PAGE_SIZE]);
		assert_int_not_equal(value, POISON);
		assert_int_equal(value & ~(ADDRESS | 7ull << 9), (value >> 9 & 7 ? 6ull : 7ull) << 60 | 1);
		if (!(value >> 9 & 7)) {
			uint64_t start = address & ~(bytes - 1), to = value & ADDRESS;
			assert_int_equal(to & (bytes - 1), 0);
			keep(unit->page, (struct cached){ true, domain, start, bytes, to });
			return to + (address - start);
		}
		assert_int_equal(value >> 9 & 7, level - 1);
		table = value & ADDRESS;
		if (level == 2)
			keep(unit->table, (struct cached){ true, domain, address & ~(bytes - 1), bytes, table });
	}
}

static uint64_t translate(struct unit *unit, uint16_t device, uint64_t address)
{
	const struct amdvi_device *entry;
	const struct cached *cached;

	if (!(unit->control & CONTROL_IOMMU_EN))
		return address;
	entry = device_entry(unit, device);
	assert_int_equal(entry->word[0] >> 61 & 3, 3);
	if (!(entry->word[0] >> 9 & 7))
		return address;
	sim_translated++;
	cached = find(unit->page, (uint16_t)entry->word[1], address);
	return cached ? cached->to + (address - cached->start) : walk(unit, entry, address);
}

void sim_run(uint32_t times)
{
	while (times--) {
		const struct sim_hot *hot = &sim_hot[random_below(&chance, SIM_HOT)];
		struct unit *unit = &units[random_below(&chance, SIM_UNITS)];
		uint64_t address = hot->page + random_below(&chance, PAGE_SIZE), offset = address - hot->page;
		uint64_t where = translate(unit, devices[random_below(&chance, ARRAY_SIZE(devices))], address);

		sim_accesses++;
		assert_true(where == hot->frame + offset || where == hot->old_frame + offset);
	}
}

void sim_check_caches(uint32_t i)
{
	for (uint32_t j = 0; j < TLB; j++) {
		const struct cached *page = &units[i].page[j];

		for (uint32_t k = 0; page->valid && k < SIM_HOT; k++)
			if (sim_hot[k].page >= page->start && sim_hot[k].page - page->start < page->bytes)
				assert_int_equal(page->to + (sim_hot[k].page - page->start), sim_hot[k].frame);
	}
}

/* --- commands --- */

static void forget_all(struct unit *unit)
{
	memset(unit->page, 0, sizeof(unit->page));
	memset(unit->table, 0, sizeof(unit->table));
}

/* Only whole domains, as Scrim asks; a unit need not forget more than it is told. */
static void forget_domain(struct unit *unit, uint16_t domain)
{
	for (uint32_t i = 0; i < TLB; i++) {
		unit->page[i].valid &= unit->page[i].domain != domain;
		unit->table[i].valid &= unit->table[i].domain != domain;
	}
}

static void take_command(struct unit *unit, const struct amdvi_command *command)
{
	uint64_t low = command->low & ~(15ull << 60);

	switch (command->low >> 60) {
	case 1:
		assert_int_equal(low & 7, 1);
		*(uint64_t *)(uintptr_t)(low & ~7ull) = command->high;
		return;
	case 2:
		assert_true(low < AMDVI_DEVICES && !command->high);
		unit->has_device[low] = false;
		return;
	case 3:
		assert_int_equal(low & ~(0xffffull << 32), 0);
		assert_int_equal(command->high, 0x7ffffffffffff003ull);
		forget_domain(unit, (uint16_t)(low >> 32));
		return;
	case 8:
		assert_true(config.has_all && !low && !command->high);
		memset(unit->has_device, 0, sizeof(unit->has_device));
		forget_all(unit);
		return;
	default:
		fail_msg("command %" PRIx64, command->low);
	}
}

static void run_commands(struct unit *unit)
{
	if (!(unit->status & STATUS_CMD_BUF_RUN) || unit->command_head == unit->command_tail || unit->fault == SIM_STUCK)
		return;
	if (unit->fault == SIM_MISREADS) {
		unit->status &= ~STATUS_CMD_BUF_RUN;
		return;
	}
	sim_commands++;
	take_command(unit, (const struct amdvi_command *)(uintptr_t)((unit->command_base & ADDRESS) + unit->command_head));
	unit->command_head = (unit->command_head + 16) % 4096;
}

/* --- time, and registers --- */

static void tick(void)
{
	sim_run(1);
	for (uint32_t i = 0; i < SIM_UNITS; i++) {
		run_commands(&units[i]);
		if (units[i].late_at && random_below(&chance, 8) == 0) {
			memcpy((void *)(uintptr_t)units[i].late_at, &units[i].late, sizeof(units[i].late));
			units[i].late_at = 0;
		}
	}
}

uint64_t rdtsc(void)
{
	return tsc += TSC_STEP;
}

uint64_t delay_tsc_hz(void)
{
	return TSC_HZ;
}

void cpu_pause(void)
{
	tick();
}

void mfence(void)
{
	tick();
}

static struct unit *unit_at(uint64_t address, uint64_t *offset)
{
	uint64_t i = (address - SIM_REGISTERS) / SIM_STRIDE;

	*offset = (address - SIM_REGISTERS) % SIM_STRIDE;
	assert_true(address >= SIM_REGISTERS && i < SIM_UNITS && *offset % 8 == 0 && *offset < AMDVI_REGISTERS_BYTES);
	return &units[i];
}

static uint64_t *value_of(struct unit *unit, uint64_t offset)
{
	switch (offset) {
	case 0x0000:
		return &unit->device_table;
	case 0x0008:
		return &unit->command_base;
	case 0x0010:
		return &unit->event_base;
	case 0x0018:
		return &unit->control;
	case 0x0020:
		return &unit->exclusion;
	case 0x0030:
		return &features;
	case 0x2000:
		return &unit->command_head;
	case 0x2008:
		return &unit->command_tail;
	case 0x2010:
		return &unit->event_head;
	case 0x2018:
		return &unit->event_tail;
	case 0x2020:
		return &unit->status;
	default:
		fail_msg("register %" PRIx64, offset);
		return NULL;
	}
}

uint64_t mmio_read64(uint64_t address)
{
	uint64_t offset;
	struct unit *unit = unit_at(address, &offset);

	tick();
	return *value_of(unit, offset);
}

/* What is on runs, at its own time; both rings only while the unit is on. */
static void write_control(struct unit *unit, uint64_t value)
{
	bool on = value & CONTROL_IOMMU_EN && unit->fault != SIM_DEAF;

	assert_int_equal(value & ~(CONTROL_ON | CONTROL_COHERENT | CONTROL_HT_TUN_EN | CONTROL_PASS_PW | CONTROL_RES_PASS_PW | CONTROL_ISOC), 0);
	if (unit->fault == SIM_STUBBORN && !on)
		return;
	if (on && !(unit->control & CONTROL_IOMMU_EN)) {
		assert_true(unit->device_table && unit->command_base && unit->event_base && !(unit->exclusion & 1));
		assert_true(!unit->command_head && !unit->command_tail && !unit->event_head && !unit->event_tail);
	}
	unit->control = value;
	unit->status &= ~STATUS_RUN;
	if (on && value & CONTROL_CMD_BUF_EN)
		unit->status |= STATUS_CMD_BUF_RUN;
	if (on && value & CONTROL_EVENT_LOG_EN && !(unit->status & STATUS_EVENT_OVERFLOW))
		unit->status |= STATUS_EVENT_LOG_RUN;
}

static bool is_ring_on(const struct unit *unit, uint64_t offset)
{
	bool events = offset == 0x0010 || offset == 0x2018;

	return unit->status & (events ? STATUS_EVENT_LOG_RUN : STATUS_CMD_BUF_RUN);
}

void mmio_write64(uint64_t address, uint64_t value)
{
	uint64_t offset;
	struct unit *unit = unit_at(address, &offset);

	tick();
	if (offset == 0x0018) {
		write_control(unit, value);
	} else if (offset == 0x2020) {
		unit->status &= ~(value & STATUS_EVENT_OVERFLOW);
	} else {
		assert_int_not_equal(offset, 0x0030);
		if (offset != 0x2008 && offset != 0x2010)
			assert_false(is_ring_on(unit, offset));
		*value_of(unit, offset) = value;
	}
	tick();
}

bool sim_is_off(uint32_t i)
{
	return !(units[i].control & CONTROL_IOMMU_EN) && !(units[i].status & STATUS_RUN);
}

/* --- events --- */

bool sim_log(uint32_t i, uint16_t device, uint32_t code, uint64_t address)
{
	struct unit *unit = &units[i];
	uint64_t next = (unit->event_tail + 16) % 4096, at = (unit->event_base & ADDRESS) + unit->event_tail;
	struct amdvi_event event = { device | (uint64_t)AMDVI_DOMAIN << 32 | (uint64_t)code << 60, address };

	if (!(unit->status & STATUS_EVENT_LOG_RUN))
		return false;
	if (next == unit->event_head) {
		unit->status |= STATUS_EVENT_OVERFLOW;
		unit->status &= ~STATUS_EVENT_LOG_RUN;
		return false;
	}
	if (config.late && !unit->late_at) {
		unit->late = event;
		unit->late_at = at;
	} else {
		memcpy((void *)(uintptr_t)at, &event, sizeof(event));
	}
	unit->event_tail = next;
	return true;
}

/* --- PCI --- */

bool pci_is_there(uint8_t bus, uint8_t function)
{
	return class_of[bus << 8 | function];
}

uint16_t pci_class(uint8_t bus, uint8_t function)
{
	return class_of[bus << 8 | function];
}

uint32_t pci_read(uint8_t bus, uint8_t function, uint32_t offset)
{
	assert_true(bus == 0 && function == 2 && offset == 0x40);
	return capability;
}

void sim_set_capability(uint32_t word, uint64_t all_features)
{
	capability = word;
	features = all_features;
}

void sim_set_function(uint16_t id, uint16_t class)
{
	class_of[id] = class;
}

/* --- the start --- */

void sim_reset(const struct sim_config *how)
{
	chance = random_start("simulated units");
	config = *how;
	memset(units, 0, sizeof(units));
	memset(sim_memory, 0, BYTES);
	memset(written_back, 0x5a, BYTES);
	memset(in_use, 0, sizeof(in_use));
	memset(class_of, 0, sizeof(class_of));
	sim_set_function(0x0000, 0x0600);
	sim_set_function(0x0001, 0x0604);
	sim_set_function(0x0002, 0x0806);
	sim_set_capability(0x0b03000f | 1u << 27, how->has_all ? FEATURE_IA_SUP : 0);
	for (uint32_t i = 0; i < SIM_HOT; i++)
		sim_hot[i] = (struct sim_hot){ .page = i * 7 * PAGE_SIZE + i % 4 * GIB(1) };
	for (uint32_t i = 0; i < SIM_HOT; i++)
		sim_hot[i].frame = sim_hot[i].old_frame = sim_hot[i].page;
	sim_accesses = sim_translated = sim_commands = 0;
}

void sim_set_fault(uint32_t unit, enum sim_fault fault)
{
	units[unit].fault = fault;
}

void sim_leave_on(uint32_t i)
{
	struct unit *unit = &units[i];

	unit->control = CONTROL_IOMMU_EN | CONTROL_CMD_BUF_EN | 3ull << 13 | 1ull << 17;
	unit->status = STATUS_CMD_BUF_RUN | STATUS_PPR_LOG_RUN | STATUS_EVENT_OVERFLOW;
	unit->exclusion = 0x100000 | 1;
	unit->device_table = GIB(1);
	unit->command_base = GIB(2) | 8ull << 56;
	unit->command_head = unit->command_tail = 0x40;
	for (uint32_t device = 0; device < AMDVI_DEVICES; device++) {
		unit->has_device[device] = true;
		unit->device[device].word[0] = 3 | 3ull << 61;
		unit->device[device].word[1] = AMDVI_DOMAIN;
	}
	for (uint32_t j = 0; j < TLB; j++) {
		unit->page[j] = (struct cached){ true, AMDVI_DOMAIN, 0, GIB(512), GIB(8) };
		unit->table[j] = (struct cached){ true, AMDVI_DOMAIN, 0, GIB(512), GIB(9) };
	}
}

/* --- the end --- */

static jmp_buf panicked;

void panic(const char *format, ...)
{
	(void)format;
	longjmp(panicked, 1);
}

bool sim_panics(void (*call)(void))
{
	if (setjmp(panicked))
		return true;
	call();
	return false;
}
