/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. AMD64 Architecture Programmer's Manual, volume 2: 5.2 (legacy formats), 5.3 (long mode), 5.4 (bits), 5.6 (rights),
 * 8.4.2 (error code). One walk for all formats; what differs between them is asked of `struct walk`.
 */
#include "model.h"

#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

#define BIT(n) (1ull << (n))
#define BITS(high, low) ((BIT(high) - 1 + BIT(high)) & ~(BIT(low) - 1))

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_NX BIT(63)
#define ENTRY_ADDRESS BITS(51, 12)

#define ERROR_PRESENT 1u
#define ERROR_WRITE 2u
#define ERROR_USER 4u
#define ERROR_RESERVED 8u
#define ERROR_FETCH 16u

#define VECTOR_GP 13u
#define VECTOR_PF 14u

struct walk {
	const struct model_cpu *cpu;
	const struct model_access *access;
	struct model_result *result;
	bool wide; /* entries of 64 bits */
	bool long_mode;
	uint32_t levels;
	uint32_t level;
	uint64_t entry;
	bool may_write, may_user, no_execute;
};

/* Asked only where it makes a difference. True: this machine does it, not what the manual says. */
static bool quirk(struct walk *walk, enum model_quirk which)
{
	walk->result->quirks |= walk->cpu->quirks & 1u << which;
	return (walk->cpu->quirks & 1u << which) != 0;
}

static bool is_pdpte(const struct walk *walk)
{
	return walk->wide && !walk->long_mode && walk->level == 3;
}

static bool is_leaf(const struct walk *walk)
{
	if (walk->level == 1)
		return true;
	if ((walk->entry & ENTRY_LARGE) == 0 || is_pdpte(walk))
		return false;
	if (!walk->wide)
		return (walk->cpu->cr4 & CR4_PSE) != 0;
	return walk->level == 2 || (walk->level == 3 && walk->cpu->gib_pages);
}

static uint32_t shift_of(const struct walk *walk)
{
	return 12 + (walk->level - 1) * (walk->wide ? 9 : 10);
}

/* APM 5.2.2: a 4 MiB page has address bits 39 to 32 in bits 20 to 13; bit 21 must be zero. */
static uint64_t reserved_narrow(const struct walk *walk)
{
	uint32_t high = walk->cpu->physical_bits > 40 ? 40 : walk->cpu->physical_bits;

	if (walk->level == 1 || !is_leaf(walk))
		return 0;
	return BIT(21) | (BITS(20, 13) & ~(BIT(high - 32 + 13) - 1));
}

static uint64_t reserved_wide(struct walk *walk)
{
	uint64_t mask = BITS(51, 12) & ~(BIT(walk->cpu->physical_bits) - 1);

	if (!walk->long_mode)
		mask |= BITS(62, 52);
	if ((walk->cpu->efer & EFER_NXE) == 0 || is_pdpte(walk))
		mask |= ENTRY_NX;
	if (is_pdpte(walk)) {
		if ((walk->entry & (BITS(8, 5) | BITS(2, 1))) != 0 && !quirk(walk, QUIRK_PDPTE_LOW_IGNORED))
			mask |= BITS(8, 5) | BITS(2, 1);
		return mask;
	}
	if (walk->level >= 4 || (walk->level == 3 && !walk->cpu->gib_pages))
		mask |= ENTRY_LARGE;
	if (walk->level >= 4 && (walk->entry & BIT(8)) != 0 && !quirk(walk, QUIRK_TOP_GLOBAL_IGNORED))
		mask |= BIT(8);
	if (walk->level > 1 && is_leaf(walk))
		mask |= BITS(shift_of(walk) - 1, 13);
	return mask;
}

/* What the entry of a step held before the walk: an earlier step may have been at this very entry. */
static uint64_t held_before(const struct model_result *result, uint32_t step)
{
	uint32_t first = 0;

	while (result->steps[first].at != result->steps[step].at)
		first++;
	return result->steps[first].before;
}

static bool has_marked(const struct model_result *result)
{
	for (uint32_t i = 0; i < result->step_count; i++)
		if (result->steps[i].after != held_before(result, i))
			return true;
	return false;
}

static void unmark(struct model_result *result)
{
	for (uint32_t i = 0; i < result->step_count; i++)
		result->steps[i].after = held_before(result, i);
}

static void fault(struct walk *walk, uint32_t cause)
{
	const struct model_access *access = walk->access;
	bool tells_fetch = (walk->wide && (walk->cpu->efer & EFER_NXE) != 0) || (walk->cpu->cr4 & CR4_SMEP) != 0;

	walk->result->vector = VECTOR_PF;
	walk->result->cr2 = access->address;
	walk->result->error = cause | (access->write ? ERROR_WRITE : 0) | (access->user && !access->implicit ? ERROR_USER : 0) |
			      (access->fetch && tells_fetch ? ERROR_FETCH : 0);
	if (has_marked(walk->result) && quirk(walk, QUIRK_FAULT_UNMARKED))
		unmark(walk->result);
}

/* Of the whole walk, looked at when the leaf has been read (APM 5.6). */
static bool rights_allow(const struct walk *walk)
{
	const struct model_access *access = walk->access;
	uint32_t cr4 = walk->cpu->cr4;

	if (access->user && !access->implicit)
		return walk->may_user && (!access->write || walk->may_write) && (!access->fetch || !walk->no_execute);
	if (access->fetch)
		return !walk->no_execute && !(walk->may_user && (cr4 & CR4_SMEP) != 0);
	if (walk->may_user && (cr4 & CR4_SMAP) != 0 && (access->implicit || !access->ac))
		return false;
	return !access->write || walk->may_write || (walk->cpu->cr0 & CR0_WP) == 0;
}

/* An earlier step may have been at this very entry: tables may name themselves. */
static uint64_t entry_read(struct walk *walk, uint64_t at)
{
	struct model_step *step = &walk->result->steps[walk->result->step_count++];
	uint32_t bytes = walk->wide ? 8 : 4;
	uint64_t value = 0;

	if (at < walk->cpu->identity_end)
		value = walk->wide ? *(volatile uint64_t *)(uintptr_t)at : *(volatile uint32_t *)(uintptr_t)at;
	else if (quirk(walk, QUIRK_HOLE_ONES))
		value = walk->wide ? UINT64_MAX : UINT32_MAX;
	for (struct model_step *earlier = walk->result->steps; earlier < step; earlier++)
		if (earlier->at == at)
			value = earlier->after;
	*step = (struct model_step){ at, bytes, value, value };
	return value;
}

/* All steps at this entry: what is in memory afterwards is the last. */
static void entry_mark(struct walk *walk, uint64_t bits)
{
	struct model_result *result = walk->result;
	uint64_t at = result->steps[result->step_count - 1].at;

	walk->entry |= bits;
	for (uint32_t i = 0; i < result->step_count; i++)
		if (result->steps[i].at == at)
			result->steps[i].after |= bits;
}

/* The entry is a leaf. */
static void leaf_access(struct walk *walk)
{
	uint64_t offset = BIT(shift_of(walk)) - 1, base = walk->entry & ENTRY_ADDRESS & ~offset;

	if (!rights_allow(walk)) {
		if (walk->level == 3 && quirk(walk, QUIRK_GIB_ACCESSED))
			entry_mark(walk, ENTRY_ACCESSED);
		fault(walk, ERROR_PRESENT);
		return;
	}
	if (!walk->wide && walk->level == 2)
		base = (walk->entry & BITS(31, 22)) | (walk->entry >> 13 & 0xff) << 32;
	entry_mark(walk, ENTRY_ACCESSED | (walk->access->write ? ENTRY_DIRTY : 0));
	walk->result->physical = base | (walk->access->address & offset);
}

/* Reads the entry of this level. False: the walk ends here, by a fault or at a leaf. */
static bool level_walk(struct walk *walk, uint64_t table)
{
	uint32_t index_mask = walk->wide ? 0x1ff : 0x3ff;
	uint64_t index = walk->access->address >> shift_of(walk) & (is_pdpte(walk) ? 3 : index_mask);

	walk->entry = entry_read(walk, table + index * (walk->wide ? 8 : 4));
	if ((walk->entry & ENTRY_PRESENT) == 0) {
		fault(walk, 0);
		return false;
	}
	if ((walk->entry & (walk->wide ? reserved_wide(walk) : reserved_narrow(walk))) != 0) {
		if (is_pdpte(walk))
			quirk(walk, QUIRK_PDPTE_LATE);
		if (walk->level == 3 && is_leaf(walk) && (walk->entry & reserved_wide(walk) & ~BITS(29, 13)) == 0 &&
		    quirk(walk, QUIRK_GIB_ACCESSED))
			entry_mark(walk, ENTRY_ACCESSED);
		fault(walk, ERROR_RESERVED | (quirk(walk, QUIRK_RESERVED_WITHOUT_P) ? 0 : ERROR_PRESENT));
		return false;
	}
	if (!is_pdpte(walk)) {
		walk->may_write = walk->may_write && (walk->entry & ENTRY_WRITE) != 0;
		walk->may_user = walk->may_user && (walk->entry & ENTRY_USER) != 0;
		walk->no_execute = walk->no_execute || (walk->entry & ENTRY_NX) != 0;
	}
	if (is_leaf(walk)) {
		leaf_access(walk);
		return false;
	}
	/* A table that is read is accessed, whatever comes of it (APM 5.4.2). */
	if (!is_pdpte(walk) || quirk(walk, QUIRK_PDPTE_ACCESSED))
		entry_mark(walk, ENTRY_ACCESSED);
	return true;
}

void model_predict(const struct model_cpu *cpu, const struct model_access *access, struct model_result *result)
{
	struct model_access made = *access;
	struct walk walk = { .cpu = cpu, .access = &made, .result = result, .may_write = true, .may_user = true };
	uint64_t table;

	*result = (struct model_result){ 0 };
	if ((cpu->cr0 & CR0_PG) == 0) {
		result->physical = access->address;
		return;
	}
	walk.wide = (cpu->cr4 & CR4_PAE) != 0;
	walk.long_mode = (cpu->efer & EFER_LMA) != 0;
	walk.levels = !walk.wide ? 2 : !walk.long_mode ? 3 : (cpu->cr4 & CR4_LA57) != 0 ? 5 : 4;
	if (walk.long_mode && made.implicit && made.address >> 32 != 0 && quirk(&walk, QUIRK_LDT_NARROW))
		made.address &= 0xffffffffu;
	if (walk.long_mode) {
		uint32_t sign = 64 - (12 + 9 * walk.levels);

		if ((uint64_t)((int64_t)(made.address << sign) >> sign) != made.address) {
			result->vector = VECTOR_GP;
			return;
		}
	}
	table = cpu->cr3 & (walk.wide && !walk.long_mode ? 0xffffffe0u : 0xfffff000u);
	for (walk.level = walk.levels; level_walk(&walk, table); walk.level--)
		table = walk.entry & (walk.wide ? ENTRY_ADDRESS : 0xfffff000u);
}

bool model_refuses_pointers(const struct model_cpu *cpu)
{
	struct model_result result = { 0 };
	struct walk walk = { .cpu = cpu, .result = &result, .wide = true, .level = 3 };

	if ((cpu->cr4 & CR4_PAE) == 0 || (cpu->efer & EFER_LMA) != 0 || (cpu->quirks & 1u << QUIRK_PDPTE_LATE) != 0)
		return false;
	for (uint32_t i = 0; i < 4; i++) {
		walk.entry = *(volatile uint64_t *)(uintptr_t)((cpu->cr3 & 0xffffffe0u) + i * 8);
		if ((walk.entry & ENTRY_PRESENT) != 0 && (walk.entry & reserved_wide(&walk)) != 0)
			return true;
	}
	return false;
}
