/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the second CPU, where the command line asks for it. It changes a bit of an entry that means nothing, again and again, while the first
 * CPU has the marks of the same entry set: whoever sets marks by reading, changing and writing loses a bit sooner or later
 * (APM vol. 2, 5.4.2: the processor's update is atomic).
 */
#include "paging.h"

#include "../scrim_request.h"

#define START_PAGE 0x70000u
#define APIC_ICR_LOW memory_at(0xfee00300)
#define APIC_ICR_HIGH memory_at(0xfee00310)
#define ICR_INIT_OTHERS 0x000c4500u
#define ICR_START_OTHERS 0x000c4600u
#define PORT_DELAY 0x80u /* an access takes about a microsecond */
#define PATIENCE 3000000u
#define FREE_BIT BIT(9)
#define ROUNDS 2000u
#define TOGGLES_AT_LEAST 100u

extern const uint8_t second_code[], second_code_end[];
extern struct { uint16_t limit; uint32_t base; } __attribute__((packed)) second_gdt_pointer;
extern uint32_t second_root;
void second_main(void);

enum order { ORDER_NONE, ORDER_VISIT, ORDER_TOGGLE };

static volatile enum order order; /* taken back by the second CPU when it is done */
static volatile bool there, stop;
static volatile uint64_t visits_left;
static volatile uint32_t *volatile toggled;
static volatile uint32_t toggles, toggles_lost;

static void wait_us(uint32_t us)
{
	for (uint32_t i = 0; i < us; i++)
		port_read8(PORT_DELAY);
}

bool second_is_there(void)
{
	return there;
}

void second_start(void)
{
	uint8_t *page = memory_at(START_PAGE);

	second_root = address_of(&arena.roots[MODE_TWO]);
	for (uint32_t i = 0; i < (uint32_t)(second_code_end - second_code); i++)
		page[i] = second_code[i];
	__asm__ volatile("sgdt %0" : "=m"(page[address_of(&second_gdt_pointer) - address_of(second_code)]));
	*(volatile uint32_t *)APIC_ICR_HIGH = 0;
	*(volatile uint32_t *)APIC_ICR_LOW = ICR_INIT_OTHERS;
	wait_us(10000);
	*(volatile uint32_t *)APIC_ICR_LOW = ICR_START_OTHERS | START_PAGE / PAGE_SIZE;
	for (uint32_t i = 0; i < PATIENCE && !there; i++)
		port_read8(PORT_DELAY);
	console_check("the second CPU has started", there);
}

/* Each time the bit is as this CPU left it, or a change of its own has been lost. */
static void toggle(void)
{
	bool expected = (*toggled & FREE_BIT) != 0, found;

	while (!stop) {
		__asm__ volatile("lock btcl $9, %1" : "=@ccc"(found), "+m"(*toggled) : : "memory");
		toggles_lost += found != expected;
		expected = !found;
		toggles++;
	}
}

void second_main(void)
{
	there = true;
	for (;;) {
		if (order == ORDER_NONE) {
			__asm__ volatile("pause");
			continue;
		}
		if (order == ORDER_VISIT)
			visits_left = scrim_request(SCRIM_OP_VISIT, 0, 0).result[0];
		else
			toggle();
		order = ORDER_NONE;
	}
}

static void order_wait(void)
{
	while (order != ORDER_NONE)
		__asm__ volatile("pause");
}

uint64_t second_visit(void)
{
	order = ORDER_VISIT;
	order_wait();
	return visits_left;
}

/* Clears the marks of an entry without a moment in which anything else of it can be lost. */
static void clear_marks(volatile uint32_t *entry)
{
	__asm__ volatile("lock andl %1, %0" : "+m"(*entry) : "r"(~(uint32_t)(ENTRY_ACCESSED | ENTRY_DIRTY)) : "memory");
}

static void marks_of_level(uint32_t leaf, uint32_t level)
{
	uint64_t page = mode_address();
	uint32_t index = mode_index(page, level), missing = 0, faults = 0, want;
	union table *table = mode_table(level);

	mode_make_path(leaf, ENTRY_ALL);
	toggled = mode_shapes[mode_now()].entry_bytes == 8 ? (volatile uint32_t *)&table->wide[index] :
							     (volatile uint32_t *)&table->narrow[index];
	toggles = toggles_lost = 0;
	stop = false;
	order = ORDER_TOGGLE;
	/* On a busy host the other CPU may come late: what counts is that both are at it. */
	for (uint32_t round = 0; round < ROUNDS || toggles < TOGGLES_AT_LEAST; round++) {
		bool write = round % 2 == 0;

		clear_marks(toggled);
		mode_flush(page);
		faults += probe_raw(write ? PROBE_WRITE : PROBE_READ, page + OFFSET_DATA, round) != 0;
		want = ENTRY_ACCESSED | (write && level == leaf ? (uint32_t)ENTRY_DIRTY : 0);
		missing += (*toggled & (ENTRY_ACCESSED | ENTRY_DIRTY)) != want;
	}
	stop = true;
	order_wait();
	probe_expect("faults", faults, 0);
	probe_expect("accesses without their marks", missing, 0);
	probe_expect("changes that were lost", toggles_lost, 0);
	probe_expect("entry", *toggled & ~(uint32_t)(FREE_BIT | ENTRY_ACCESSED | ENTRY_DIRTY),
		     (uint32_t)mode_base(level, level == leaf) | (uint32_t)ENTRY_ALL | (level == leaf && level > 1 ? (uint32_t)ENTRY_LARGE : 0));
}

void second_run(void)
{
	uint32_t top = mode_now() == MODE_PAE ? 2 : mode_shapes[mode_now()].levels;

	probe_group_begin("atomic-marks");
	for (uint32_t leaf = 1; leaf <= top; leaf++)
		for (uint32_t level = leaf; level <= top && (leaf == 1 || mode_may_be_large(leaf)); level++)
			marks_of_level(leaf, level);
	mode_make_path(1, ENTRY_ALL);
	probe_group_end();
}
