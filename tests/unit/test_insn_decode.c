/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests the decoder against an independent one, Zydis. Whatever it claims, Zydis must see as well: length, operation, operand,
 * and that 32 bits of memory are written. What it is to know, it must claim, with every ModRM, SIB and REX. The bytes end
 * where readable memory ends, so that a read beyond them kills the test.
 */
#include "boot_bytes.h"
#include "virt/insn_decode.h"

#include <sys/mman.h>
#include <Zydis/Zydis.h>

#define RANDOM_STRINGS 3000000u

static const uint8_t known_opcodes[] = { 0x89, 0xc7, 0xa3, 0x87, 0x01, 0x09, 0x21, 0x29, 0x31, 0x81, 0x83 };
static const uint32_t modes[] = { 16, 32, 64 };

static uint8_t *readable_end; /* of a page before one that cannot be read */
static ZydisDecoder decoders[3];
static uint64_t claims, refusals;

struct truth {
	bool valid;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

static int start(void **unused)
{
	static const ZydisMachineMode mode[] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth width[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	uint8_t *pages = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	if (pages == MAP_FAILED || mprotect(pages + PAGE_SIZE, PAGE_SIZE, PROT_NONE))
		return -1;
	readable_end = pages + PAGE_SIZE;
	for (uint32_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoders[i], mode[i], width[i])))
			return -1;
	return 0;
}

static int stop(void **unused)
{
	(void)unused;
	return munmap(readable_end - PAGE_SIZE, 2 * PAGE_SIZE);
}

/* The bytes moved to where nothing can be read behind them. */
static struct insn_code place(const uint8_t *bytes, uint32_t count, uint32_t bits)
{
	memcpy(readable_end - count, bytes, count);
	return (struct insn_code){ readable_end - count, count, bits };
}

static const struct truth *ask_zydis(const struct insn_code *code)
{
	static struct truth truth;
	const ZydisDecoder *decoder = &decoders[code->bits == 16 ? 0 : code->bits == 32 ? 1 : 2];

	truth.valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, code->bytes, code->count, &truth.insn, truth.operand));
	return &truth;
}

static void NORETURN disagree(const struct insn_code *code, const char *what)
{
	char text[3 * INSN_BYTES_MAX + 1] = "";

	for (uint32_t i = 0; i < code->count; i++)
		snprintf(text + 3 * i, 4, "%02x ", code->bytes[i]);
	fail_msg("%u-bit code %s: %s", code->bits, text, what);
	abort();
}

static ZydisMnemonic mnemonic_of(enum insn_operation operation)
{
	switch (operation) {
	case INSN_MOV:
		return ZYDIS_MNEMONIC_MOV;
	case INSN_XCHG:
		return ZYDIS_MNEMONIC_XCHG;
	case INSN_ADD:
		return ZYDIS_MNEMONIC_ADD;
	case INSN_OR:
		return ZYDIS_MNEMONIC_OR;
	case INSN_AND:
		return ZYDIS_MNEMONIC_AND;
	case INSN_SUB:
		return ZYDIS_MNEMONIC_SUB;
	case INSN_XOR:
		return ZYDIS_MNEMONIC_XOR;
	}
	return ZYDIS_MNEMONIC_INVALID;
}

static bool is_store32(const struct truth *truth)
{
	return truth->operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY && truth->operand[0].size == 32 &&
	       truth->operand[0].actions & ZYDIS_OPERAND_ACTION_WRITE;
}

/* Whether the bytes are of a form that the decoder is to know. Addresses of 16 bits do not reach the APIC. */
static bool is_known_form(const struct truth *truth)
{
	if (!truth->valid || truth->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    truth->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || !is_store32(truth) || truth->insn.address_width == 16)
		return false;
	for (enum insn_operation operation = INSN_MOV; operation <= INSN_XOR; operation++)
		if (truth->insn.mnemonic == mnemonic_of(operation))
			return memchr(known_opcodes, truth->insn.opcode, sizeof(known_opcodes)) != NULL;
	return false;
}

static void check_operand(const struct insn_code *code, const struct insn_store *store, const ZydisDecodedOperand *operand)
{
	if (store->is_immediate) {
		if (operand->type != ZYDIS_OPERAND_TYPE_IMMEDIATE || (uint32_t)operand->imm.value.u != store->immediate)
			disagree(code, "another immediate");
	} else if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER || operand->reg.value != ZYDIS_REGISTER_EAX + store->reg) {
		disagree(code, "another register");
	}
}

static void check_store(const struct insn_code *code)
{
	const struct truth *truth = ask_zydis(code);
	struct insn_store store;

	if (!insn_decode_store(code, &store)) {
		refusals++;
		if (is_known_form(truth))
			disagree(code, "a known form is refused");
		return;
	}
	claims++;
	if (!truth->valid)
		disagree(code, "no instruction");
	if (!is_store32(truth))
		disagree(code, "no 32-bit store to memory");
	if (store.length != truth->insn.length)
		disagree(code, "another length");
	if (truth->insn.mnemonic != mnemonic_of(store.operation) || truth->insn.operand_count_visible != 2)
		disagree(code, "another operation");
	check_operand(code, &store, &truth->operand[1]);
}

static void check_mov_to_cr3(const struct insn_code *code)
{
	const struct truth *truth = ask_zydis(code);
	bool is_it = truth->valid && truth->insn.mnemonic == ZYDIS_MNEMONIC_MOV &&
		     truth->operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER && truth->operand[0].reg.value == ZYDIS_REGISTER_CR3;
	uint32_t reg, length;

	if (insn_decode_mov_to_cr3(code, &reg, &length) != is_it)
		disagree(code, is_it ? "MOV CR3 is refused" : "no MOV CR3");
	if (!is_it)
		return;
	claims++;
	ZydisRegister first = code->bits == 64 ? ZYDIS_REGISTER_RAX : ZYDIS_REGISTER_EAX;
	if (length != truth->insn.length || truth->operand[1].reg.value != first + reg)
		disagree(code, "another length or register of MOV CR3");
}

/* Where a two-byte instruction without operands ends, guest_insn_skip_0f() adds up from the prefixes. */
static void check_two_bytes(const struct insn_code *code)
{
	const struct truth *truth = ask_zydis(code);
	struct insn_prefixes prefixes;

	if (!truth->valid)
		return;
	claims++;
	if (!insn_decode_prefixes(code, &prefixes) || prefixes.opcode + 2 != truth->insn.length)
		disagree(code, "another length of a two-byte instruction");
	if (prefixes.rex != (truth->insn.attributes & ZYDIS_ATTRIB_HAS_REX ? code->bytes[truth->insn.raw.rex.offset] : 0))
		disagree(code, "another REX");
}

/* --- every form --- */

static uint32_t put_prefixes(uint8_t *bytes, uint32_t kind, uint32_t rex)
{
	static const uint8_t prefix[] = { 0x66, 0x67, 0xf0 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(prefix); i++)
		if (kind >> i & 1)
			bytes[count++] = prefix[i];
	if (rex)
		bytes[count++] = (uint8_t)(0x40 | (rex - 1));
	return count;
}

static bool has_sib(uint32_t modrm)
{
	return modrm >> 6 != 3 && (modrm & 7) == 4;
}

static void check_operands_of(uint8_t *bytes, uint32_t at, uint32_t bits)
{
	for (uint32_t modrm = 0; modrm < 256; modrm++) {
		bytes[at] = (uint8_t)modrm;
		for (uint32_t sib = 0; sib < (has_sib(modrm) ? 256u : 1u); sib++) {
			bytes[at + 1] = (uint8_t)sib;
			const struct insn_code code = place(bytes, INSN_BYTES_MAX, bits);
			check_store(&code);
		}
	}
}

/* Each opcode with no prefix, 66, 67, LOCK and all of their sets; no REX and all sixteen; each ModRM with each SIB. */
static void test_every_form(void **unused)
{
	(void)unused;
	claims = refusals = 0;
	for (uint32_t form = 0; form < ARRAY_SIZE(modes) * ARRAY_SIZE(known_opcodes) * 8; form++) {
		uint32_t bits = modes[form % ARRAY_SIZE(modes)], rest = form / ARRAY_SIZE(modes);
		for (uint32_t rex = 0; rex < (bits == 64 ? 17u : 1u); rex++) {
			uint8_t bytes[INSN_BYTES_MAX] = { 0 };
			memset(bytes, 0x9c, sizeof(bytes));
			uint32_t at = put_prefixes(bytes, rest & 7, rex);
			bytes[at] = known_opcodes[rest / 8];
			check_operands_of(bytes, at + 1, bits);
		}
	}
	printf("%" PRIu64 " claimed, %" PRIu64 " refused\n", claims, refusals);
	assert_true(claims > 100000 && refusals > 100000);
}

/* Each form cut short at every byte is refused: what is missing could be anything. */
static void test_cut_short(void **unused)
{
	static const struct {
		uint32_t bits, length;
		uint8_t bytes[INSN_BYTES_MAX];
	} forms[] = {
		{ 32, 5, { 0xa3, 0x00, 0x03, 0xe0, 0xfe } },
		{ 32, 6, { 0x89, 0x05, 0x00, 0x03, 0xe0, 0xfe } },
		{ 32, 10, { 0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x00, 0x45, 0x0c, 0x00 } },
		{ 64, 9, { 0xa3, 0x00, 0x03, 0xe0, 0xfe, 0xff, 0xff, 0xff, 0xff } },
		{ 64, 8, { 0x44, 0x89, 0x84, 0x24, 0x00, 0x03, 0x00, 0x00 } },
		{ 64, 6, { 0x89, 0xb7, 0x00, 0xd0, 0x5f, 0xff } },
		{ 64, 6, { 0x41, 0x83, 0x4c, 0xb0, 0x10, 0xfe } },
		{ 64, 11, { 0xc7, 0x04, 0x25, 0xb0, 0xd0, 0x5f, 0xff, 0x00, 0x00, 0x00, 0x00 } },
		{ 16, 8, { 0x66, 0x67, 0xc7, 0x00, 0x00, 0x45, 0x0c, 0x00 } },
	};
	struct insn_store store;

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct insn_code code = place(forms[i].bytes, INSN_BYTES_MAX, forms[i].bits);
		assert_true(insn_decode_store(&code, &store));
		assert_int_equal(store.length, forms[i].length);
		for (uint32_t count = 0; count <= INSN_BYTES_MAX; count++) {
			code = place(forms[i].bytes, count, forms[i].bits);
			assert_int_equal(insn_decode_store(&code, &store), count >= forms[i].length);
			check_store(&code);
		}
	}
}

static void test_mov_to_cr3(void **unused)
{
	(void)unused;
	claims = 0;
	for (uint32_t form = 0; form < ARRAY_SIZE(modes) * 4; form++) {
		uint32_t bits = modes[form % ARRAY_SIZE(modes)];
		for (uint32_t rex = 0; rex < (bits == 64 ? 17u : 1u); rex++) {
			uint8_t bytes[INSN_BYTES_MAX] = { 0 };
			uint32_t at = put_prefixes(bytes, form / ARRAY_SIZE(modes), rex);
			bytes[at] = 0x0f;
			bytes[at + 1] = 0x22;
			for (uint32_t modrm = 0; modrm < 256; modrm++) {
				bytes[at + 2] = (uint8_t)modrm;
				for (uint32_t count = 0; count <= at + 3; count++) {
					const struct insn_code code = place(bytes, count, bits);
					check_mov_to_cr3(&code);
				}
			}
		}
	}
	assert_true(claims > 1000);
}

/* APM vol. 3, MOV CRn: LOCK makes CR0 CR8 on some CPUs; of CR3 it makes nothing. */
static void test_locked_mov_to_cr3(void **unused)
{
	static const uint8_t bytes[] = { 0xf0, 0x0f, 0x22, 0xd8 };
	const struct insn_code code = place(bytes, sizeof(bytes), 32);
	uint32_t reg, length;

	(void)unused;
	assert_false(insn_decode_mov_to_cr3(&code, &reg, &length));
}

/* --- random bytes --- */

static uint8_t random_prefix(struct random *random, uint32_t bits)
{
	static const uint8_t prefixes[] = { 0x66, 0x66, 0x67, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	if (bits == 64 && random_below(random, 2))
		return (uint8_t)(0x40 + random_below(random, 16));
	return prefixes[random_below(random, ARRAY_SIZE(prefixes))];
}

/* Prefixes, of which there are mostly few. */
static uint32_t random_prefixes(struct random *random, uint8_t *bytes, uint32_t bits)
{
	uint32_t count = 0;

	while (count < INSN_BYTES_MAX - 2 && random_below(random, 8) < (random_below(random, 8) ? 3u : 7u))
		bytes[count++] = random_prefix(random, bits);
	return count;
}

static uint32_t random_bytes(struct random *random, uint8_t *bytes)
{
	for (uint32_t i = 0; i < INSN_BYTES_MAX; i++)
		bytes[i] = (uint8_t)random_next(random);
	return random_below(random, 4) ? INSN_BYTES_MAX : (uint32_t)random_below(random, INSN_BYTES_MAX + 1);
}

static void test_random_stores(void **unused)
{
	struct random random = random_start("stores");
	uint8_t bytes[INSN_BYTES_MAX];

	(void)unused;
	claims = refusals = 0;
	for (uint32_t i = 0; i < RANDOM_STRINGS; i++) {
		uint32_t bits = modes[random_below(&random, ARRAY_SIZE(modes))];
		uint32_t count = random_bytes(&random, bytes);
		uint32_t at = random_below(&random, 16) ? random_prefixes(&random, bytes, bits) : 0;
		if (random_below(&random, 16))
			bytes[at] = known_opcodes[random_below(&random, ARRAY_SIZE(known_opcodes))];
		const struct insn_code code = place(bytes, count, bits);
		check_store(&code);
	}
	printf("%" PRIu64 " claimed, %" PRIu64 " refused\n", claims, refusals);
	assert_true(claims > RANDOM_STRINGS / 10);
}

static void test_random_two_bytes(void **unused)
{
	static const uint8_t second[] = { 0x08, 0x09, 0x30, 0x32, 0xa2 }; /* INVD, WBINVD, WRMSR, RDMSR, CPUID */
	struct random random = random_start("two-byte instructions");
	uint8_t bytes[INSN_BYTES_MAX];

	(void)unused;
	claims = 0;
	for (uint32_t i = 0; i < RANDOM_STRINGS / 10; i++) {
		uint32_t bits = modes[random_below(&random, ARRAY_SIZE(modes))];
		uint32_t at = random_prefixes(&random, bytes, bits);
		bytes[at] = 0x0f;
		bytes[at + 1] = second[random_below(&random, ARRAY_SIZE(second))];
		const struct insn_code code = place(bytes, at + 2, bits);
		check_two_bytes(&code);
	}
	assert_true(claims > RANDOM_STRINGS / 50);
}

static void test_random_mov_to_cr3(void **unused)
{
	struct random random = random_start("MOV CR3");
	uint8_t bytes[INSN_BYTES_MAX];

	(void)unused;
	claims = 0;
	for (uint32_t i = 0; i < RANDOM_STRINGS / 10; i++) {
		uint32_t bits = modes[random_below(&random, ARRAY_SIZE(modes))];
		uint32_t count = random_bytes(&random, bytes);
		uint32_t at = random_prefixes(&random, bytes, bits);
		bytes[at] = 0x0f;
		bytes[at + 1] = random_below(&random, 8) ? 0x22 : 0x20;
		const struct insn_code code = place(bytes, count, bits);
		if (!memchr(bytes, 0xf0, at))
			check_mov_to_cr3(&code);
	}
	assert_true(claims > 1000);
}

static void test_no_opcode(void **unused)
{
	static const uint8_t only_prefixes[INSN_BYTES_MAX] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36,
								   0x3e, 0x64, 0x65, 0x66, 0x48, 0x41, 0x66 };
	struct insn_prefixes prefixes;
	struct insn_store store;
	uint32_t reg, length;

	(void)unused;
	for (uint32_t count = 0; count <= INSN_BYTES_MAX; count++) {
		const struct insn_code code = place(only_prefixes, count, 64);
		assert_false(insn_decode_prefixes(&code, &prefixes));
		assert_int_equal(prefixes.opcode, count);
		assert_false(insn_decode_store(&code, &store));
		assert_false(insn_decode_mov_to_cr3(&code, &reg, &length));
	}
}

static void test_result(void **unused)
{
	(void)unused;
	assert_int_equal(insn_decode_result(INSN_MOV, 0xf0f0, 0xff), 0xff);
	assert_int_equal(insn_decode_result(INSN_XCHG, 0xf0f0, 0xff), 0xff);
	assert_int_equal(insn_decode_result(INSN_ADD, 0xffffffff, 2), 1);
	assert_int_equal(insn_decode_result(INSN_OR, 0xf0f0, 0xff), 0xf0ff);
	assert_int_equal(insn_decode_result(INSN_AND, 0xf0f0, 0xff), 0xf0);
	assert_int_equal(insn_decode_result(INSN_SUB, 1, 2), 0xffffffff);
	assert_int_equal(insn_decode_result(INSN_XOR, 0xf0f0, 0xff), 0xf00f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form),	  cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_mov_to_cr3),	  cmocka_unit_test(test_locked_mov_to_cr3),
		cmocka_unit_test(test_random_stores),	  cmocka_unit_test(test_random_two_bytes),
		cmocka_unit_test(test_random_mov_to_cr3), cmocka_unit_test(test_no_opcode),
		cmocka_unit_test(test_result),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
