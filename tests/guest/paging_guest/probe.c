/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the count of cases and their hash. A case is one access: predicted, made, compared in all that can be seen of it, and hashed as it
 * was seen, right or wrong, so that two machines can be compared by a line for each group.
 */
#include "paging.h"

#define VECTOR_DONE 0x81u
#define STUB_DONE 32u /* the number of its stub, behind those of the exceptions */
#define VECTOR_PF 14u
#define HASH_START 0x811c9dc5u
#define HASH_PRIME 0x01000193u
#define LINES_MAX 8u /* of a group's disagreements, told one by one */
#define LDT_DESCRIPTOR 0x00cff3000000ffffull
#define LDT_RIGHTS 0x00c0f300u /* bits 19 to 16 of what LAR gives are undefined (APM vol. 3) */
#define LDT_RIGHTS_DEFINED 0x00f0ff00u
#define WORD_START 0x5ca1ab1eu

static const struct kind {
	const char *name;
	struct model_access access;
	uint32_t offset;
} kinds[PROBE_COUNT] = {
	[PROBE_READ] = { "read", { 0 }, OFFSET_DATA },
	[PROBE_WRITE] = { "write", { .write = true }, OFFSET_DATA },
	[PROBE_FETCH] = { "fetch", { .fetch = true }, OFFSET_CODE },
	[PROBE_READ_AC] = { "read-ac", { .ac = true }, OFFSET_DATA },
	[PROBE_WRITE_AC] = { "write-ac", { .write = true, .ac = true }, OFFSET_DATA },
	[PROBE_USER_READ] = { "user-read", { .user = true }, OFFSET_DATA },
	[PROBE_USER_WRITE] = { "user-write", { .user = true, .write = true }, OFFSET_DATA },
	[PROBE_USER_FETCH] = { "user-fetch", { .user = true, .fetch = true }, OFFSET_CODE },
	[PROBE_USER_IMPLICIT] = { "user-implicit", { .user = true, .implicit = true }, OFFSET_LDT },
};

static const char *group_name;
static uint32_t group_cases, group_differ, group_hash;
static uint32_t total_cases, total_differ, total_hash = HASH_START;
static uint32_t quirk_cases[QUIRK_COUNT];
static uint32_t disturb_every, disturb_in;
static uint32_t word = WORD_START;
static struct model_result want;

static void hash(uint64_t value)
{
	group_hash = (group_hash ^ (uint32_t)value) * HASH_PRIME;
	group_hash = (group_hash ^ (uint32_t)(value >> 32)) * HASH_PRIME;
	group_hash ^= group_hash >> 15;
}

/* Of an address that the guest's own tables reach, or NULL. */
static volatile uint32_t *reach(uint64_t physical)
{
	return physical < mode_cpu()->identity_end ? memory_at((uint32_t)physical) : NULL;
}

/* A word of data before the access. */
static uint32_t held(uint64_t physical)
{
	if (reach(physical) != NULL)
		return *reach(physical);
	return (mode_cpu()->quirks & 1u << QUIRK_HOLE_ONES) != 0 ? UINT32_MAX : 0;
}

void probe_fill_frames(void)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		union table *frame = &arena.frames[i];

		for (uint32_t j = 0; j < ARRAY_SIZE(frame->narrow); j++)
			frame->narrow[j] = (i + 1) << 24 | j;
		frame->wide[OFFSET_LDT / 8] = LDT_DESCRIPTOR;
		frame->bytes[OFFSET_CODE] = 0xcd;
		frame->bytes[OFFSET_CODE + 1] = VECTOR_DONE;
	}
}

uint32_t probe_raw(enum probe_kind kind, uint64_t address, uint32_t value)
{
	if (disturb_every != 0 && disturb_in-- == 0) {
		disturb_in = disturb_every - 1;
		drive_disturb();
	}
	probe_kind = kind;
	probe_address = address;
	probe_value = value;
	if (mode_is_long())
		probe_run64();
	else
		probe_run32();
	return seen_vector == STUB_DONE ? 0 : seen_vector;
}

static void tell(const char *what, uint64_t seen, uint64_t expected)
{
	if (group_differ++ >= LINES_MAX)
		return;
	console_print("DIFFERS: %s %s case %u, controls %x: %s is %X, expected %X\n", mode_shapes[mode_now()].name, group_name,
		      group_cases, mode_controls(), what, seen, expected);
}

void probe_expect(const char *what, uint64_t seen, uint64_t expected)
{
	group_cases++;
	hash(seen);
	if (seen != expected)
		tell(what, seen, expected);
}

/* What the model says that a word holds after the access, if the walk has marked it; else what it held. */
static uint32_t word_after_walk(uint64_t physical, uint32_t value)
{
	for (uint32_t i = 0; i < want.step_count; i++)
		if (physical - want.steps[i].at < want.steps[i].bytes)
			value = (uint32_t)(want.steps[i].after >> (physical - want.steps[i].at) * 8);
	return value;
}

/* Returns whether all is as the model says. */
static bool steps_hold(bool written, uint32_t value)
{
	bool hold = true;

	for (uint32_t i = 0; i < want.step_count; i++) {
		const struct model_step *step = &want.steps[i];
		uint64_t seen = 0, after = step->after;

		if (reach(step->at) == NULL)
			continue;
		seen = step->bytes == 8 ? *(volatile uint64_t *)memory_at((uint32_t)step->at) : *reach(step->at);
		/* A table may map itself: the write comes after the marks. */
		if (written && want.physical - step->at < step->bytes) {
			uint32_t shift = (uint32_t)(want.physical - step->at) * 8;

			after = (after & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
		}
		hash(seen);
		hold = hold && seen == after;
	}
	return hold;
}

static bool fault_holds(enum probe_kind kind, const struct model_access *access, uint32_t vector)
{
	uint32_t site = mode_is_long() ? probe_sites64[kind] : probe_sites32[kind];

	hash(vector);
	hash(seen_rip);
	if (vector == 0)
		return want.vector == 0 && (!access->fetch || seen_rip == access->address + 2);
	hash(seen_error);
	if (vector == VECTOR_PF)
		hash(seen_cr2);
	return vector == want.vector && seen_error == want.error && (vector != VECTOR_PF || seen_cr2 == want.cr2) &&
	       seen_rip == (access->fetch ? access->address : site);
}

static void tell_case(enum probe_kind kind, const struct model_access *access, uint32_t vector)
{
	if (group_differ++ >= LINES_MAX)
		return;
	console_print("DIFFERS: %s %s case %u, controls %x: %s of %X gives %u error %x cr2 %X rip %X value %x", mode_shapes[mode_now()].name,
		      group_name, group_cases, mode_controls(), kinds[kind].name, access->address, vector, seen_error, seen_cr2, seen_rip,
		      seen_value);
	console_print(", expected %u error %x cr2 %X physical %X;", want.vector, want.error, want.cr2, want.physical);
	for (uint32_t i = 0; i < want.step_count; i++) {
		const struct model_step *step = &want.steps[i];
		uint64_t seen = reach(step->at) == NULL ? 0 :
				step->bytes == 8 ? *(volatile uint64_t *)memory_at((uint32_t)step->at) : *reach(step->at);

		console_print(" entry %X -> %X, expected %X;", step->before, seen, step->after);
	}
	console_print("\n");
}

static void quirks_count(void)
{
	for (uint32_t i = 0; i < QUIRK_COUNT; i++)
		quirk_cases[i] += want.quirks >> i & 1;
}

/* A table of ones leads there: firmware's, on every PC, whatever it is. */
static bool is_firmware(uint64_t physical)
{
	return physical >> 12 == 0xfffff;
}

/* The word that a data access is about; what it holds is known before and after. */
static bool data_holds(enum probe_kind kind, uint32_t vector, uint32_t before, uint32_t value)
{
	const struct model_access *access = &kinds[kind].access;
	volatile uint32_t *at = reach(want.physical);
	uint32_t expected = access->implicit ? LDT_RIGHTS : word_after_walk(want.physical, before);

	if (vector != 0 || access->fetch || is_firmware(want.physical))
		return true;
	if (access->write) {
		hash(at == NULL ? 0 : *at);
		return at == NULL || *at == value;
	}
	if (access->implicit)
		seen_value &= LDT_RIGHTS_DEFINED;
	hash(seen_value);
	return seen_value == expected;
}

static bool probe_case(enum probe_kind kind, uint64_t address, uint32_t value)
{
	struct model_access access = kinds[kind].access;
	uint32_t vector, before, bystander = arena.frames[0].narrow[OFFSET_DATA / 4];
	bool holds;

	access.address = address;
	if (access.implicit)
		mode_set_ldt(address);
	model_predict(mode_cpu(), &access, &want);
	before = want.vector != 0 ? 0 : held(want.physical);
	vector = probe_raw(kind, address, value);
	group_cases++;
	holds = fault_holds(kind, &access, vector);
	holds = steps_hold(vector == 0 && access.write, value) && holds;
	holds = data_holds(kind, vector, before, value) && holds;
	/* What was forbidden has not happened. */
	if (vector != 0)
		holds = holds && *(volatile uint32_t *)&arena.frames[0].narrow[OFFSET_DATA / 4] == bystander;
	if (!holds)
		tell_case(kind, &access, vector);
	quirks_count();
	return vector == 0;
}

bool probe_page(enum probe_kind kind, uint64_t page)
{
	word = word * 0x19660d + 0x3c6ef35f;
	return probe_case(kind, page + kinds[kind].offset, word);
}

bool probe_read(uint64_t address)
{
	return probe_case(PROBE_READ, address, 0);
}

bool probe_write(uint64_t address, uint32_t value)
{
	return probe_case(PROBE_WRITE, address, value);
}

void probe_page_lenient(enum probe_kind kind, uint64_t page)
{
	probe_raw(kind, page + kinds[kind].offset, 0);
	probe_page(kind, page);
}

uint32_t probe_steps(void)
{
	return want.step_count;
}

void probe_group_begin(const char *name)
{
	group_name = name;
	group_cases = group_differ = 0;
	group_hash = HASH_START;
	probe_fill_frames();
}

void probe_group_end(void)
{
	console_print("%s %s: %u cases, hash %x, %u differ\n", mode_shapes[mode_now()].name, group_name, group_cases, group_hash,
		      group_differ);
	total_cases += group_cases;
	total_differ += group_differ;
	total_hash = (total_hash ^ group_hash) * HASH_PRIME;
}

void probe_disturb_every(uint32_t cases)
{
	disturb_every = disturb_in = cases;
}

bool probe_verdict(void)
{
	static const char *const names[QUIRK_COUNT] = QUIRK_NAMES;

	for (uint32_t i = 0; i < QUIRK_COUNT; i++)
		console_print("exception %s: %u cases\n", names[i], quirk_cases[i]);
	console_print("%u cases, hash %x, %u differ\n", total_cases, total_hash, total_differ);
	return total_differ == 0 && total_cases > 0;
}

/* An interrupt that no probe asked for. */
void probe_unexpected(void)
{
	console_print("UNEXPECTED: %s, vector %u, error %x, rip %X, cr2 %X\n", mode_shapes[mode_now()].name, seen_vector, seen_error,
		      seen_rip, seen_cr2);
	port_write32(0xf4, 0x11);
}
