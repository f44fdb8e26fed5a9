/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests range lists against a model that has one type for each unit of a small address space. */
#include "boot_bytes.h"
#include "base/ranges.h"
#include "base/str.h"

#define UNITS 600u
#define NOTHING UINT32_MAX

struct model {
	uint32_t type[UNITS];
};

static struct range_list list;
static struct range_list before;
static struct model model;

static const uint32_t types[] = { RANGE_RAM, RANGE_RESERVED, RANGE_ACPI, RANGE_PMEM, 0, 12, UINT32_MAX - 1 };

static void model_clear(void)
{
	for (uint32_t i = 0; i < UNITS; i++)
		model.type[i] = NOTHING;
	list.count = 0;
}

/* The rule, said once more: RAM loses to everything, else the higher number wins. */
static bool model_wins(uint32_t type, uint32_t over)
{
	if (over == NOTHING || over == RANGE_RAM)
		return true;
	return type != RANGE_RAM && type > over;
}

static void model_add(uint64_t start, uint64_t end, uint32_t type)
{
	for (uint64_t i = start; i < end; i++) {
		if (model_wins(type, model.type[i]))
			model.type[i] = type;
	}
}

static uint32_t model_pieces(void)
{
	uint32_t pieces = 0;

	for (uint32_t i = 0; i < UNITS; i++)
		pieces += model.type[i] != NOTHING && (i == 0 || model.type[i] != model.type[i - 1]);
	return pieces;
}

/* The list is the model's normal form: same pieces, in order, each as long as it can be. */
static void assert_is_model(void)
{
	uint32_t index = 0;

	assert_int_equal(list.count, model_pieces());
	for (uint32_t i = 0; i < UNITS;) {
		uint32_t end = i + 1;

		while (end < UNITS && model.type[end] == model.type[i])
			end++;
		if (model.type[i] != NOTHING) {
			assert_int_equal(list.entry[index].start, i);
			assert_int_equal(list.entry[index].end, end);
			assert_int_equal(list.entry[index].type, model.type[i]);
			index++;
		}
		i = end;
	}
}

static void add(uint64_t start, uint64_t end, uint32_t type)
{
	assert_true(ranges_add(&list, start, end, type));
	model_add(start, end, type);
}

static uint32_t random_type(struct random *random)
{
	return types[random_below(random, ARRAY_SIZE(types))];
}

static void random_list(struct random *random, uint32_t count, uint32_t length)
{
	model_clear();
	for (uint32_t i = 0; i < count; i++) {
		uint64_t start = random_below(random, UNITS);
		uint64_t end = start + random_below(random, length);

		add(start, end < UNITS ? end : UNITS, random_type(random));
	}
}

static void test_normalize_random(void **unused)
{
	struct random random = random_start("ranges_normalize");

	(void)unused;
	for (uint32_t round = 0; round < 4000; round++) {
		random_list(&random, (uint32_t)random_below(&random, round % 50 == 0 ? 256 : 24),
			    1 + (uint32_t)random_below(&random, round % 3 ? 12 : UNITS));
		before = list;
		if (model_pieces() > RANGES_MAX) {
			assert_false(ranges_normalize(&list));
			assert_memory_equal(&list, &before, sizeof(list));
			continue;
		}
		assert_true(ranges_normalize(&list));
		assert_is_model();
	}
}

/* Many pieces on the way, few in the end: the list must never overflow in between. */
static void test_normalize_covered(void **unused)
{
	(void)unused;
	model_clear();
	add(0, 520, RANGE_RAM);
	for (uint32_t i = 0; i < 254; i++)
		add(2 * i + 1, 2 * i + 2, RANGE_ACPI);
	add(0, 515, RANGE_PMEM);
	assert_int_equal(list.count, RANGES_MAX);
	assert_true(ranges_normalize(&list));
	assert_is_model();
	assert_int_equal(list.count, 2);
}

static void test_normalize_exactly_full(void **unused)
{
	(void)unused;
	for (uint32_t holes = 127; holes <= 128; holes++) {
		model_clear();
		add(0, 400, RANGE_RAM);
		for (uint32_t i = 0; i < holes; i++)
			add(3 * i + 1, 3 * i + 2, RANGE_RESERVED);
		if (holes == 127)
			add(500, 501, RANGE_NVS);
		before = list;
		if (holes == 127) {
			assert_true(ranges_normalize(&list));
			assert_int_equal(list.count, RANGES_MAX);
			assert_is_model();
		} else {
			assert_false(ranges_normalize(&list));
			assert_memory_equal(&list, &before, sizeof(list));
		}
	}
}

static void test_normalize_whole_space(void **unused)
{
	(void)unused;
	list.count = 0;
	assert_true(ranges_add(&list, 0, UINT64_MAX, RANGE_RAM));
	assert_true(ranges_add(&list, UINT64_MAX - 1, UINT64_MAX, RANGE_RESERVED));
	assert_true(ranges_normalize(&list));
	assert_int_equal(list.count, 2);
	assert_int_equal(list.entry[0].end, UINT64_MAX - 1);
	assert_int_equal(list.entry[1].end, UINT64_MAX);
	assert_int_equal(ranges_pages(&list, RANGE_RAM), UINT64_MAX >> PAGE_SHIFT);
	assert_int_equal(ranges_pages(&list, RANGE_RESERVED), 0);
}

static void test_add(void **unused)
{
	(void)unused;
	list.count = 0;
	assert_true(ranges_add(&list, 5, 5, RANGE_RAM));
	assert_true(ranges_add(&list, 6, 5, RANGE_RAM));
	assert_int_equal(list.count, 0);
	for (uint32_t i = 0; i < RANGES_MAX; i++)
		assert_true(ranges_add(&list, i, i + 1, i));
	assert_false(ranges_add(&list, 0, 1, RANGE_RAM));
	assert_true(ranges_add(&list, 1, 1, RANGE_RAM));
	assert_int_equal(list.count, RANGES_MAX);
}

static void test_set_type_random(void **unused)
{
	struct random random = random_start("ranges_set_type");

	(void)unused;
	for (uint32_t round = 0; round < 300; round++) {
		model_clear();
		for (uint32_t step = 0; step < 400; step++) {
			uint64_t start = random_below(&random, UNITS);
			uint64_t end = start + random_below(&random, round % 2 ? 3 : 40);
			uint32_t type = random_type(&random);
			struct model saved = model;

			end = end < UNITS ? end : UNITS;
			for (uint64_t i = start; i < end; i++)
				model.type[i] = type;
			before = list;
			if (ranges_set_type(&list, start, end, type)) {
				assert_is_model();
				continue;
			}
			assert_true(model_pieces() > RANGES_MAX);
			assert_memory_equal(&list, &before, sizeof(list));
			model = saved;
		}
	}
}

static void test_questions_random(void **unused)
{
	struct random random = random_start("ranges questions");

	(void)unused;
	for (uint32_t round = 0; round < 2000; round++) {
		random_list(&random, 1 + (uint32_t)random_below(&random, 20), 1 + (uint32_t)random_below(&random, 80));
		assert_true(ranges_normalize(&list));
		for (uint32_t question = 0; question < 20; question++) {
			uint64_t start = random_below(&random, UNITS);
			uint64_t end = start + random_below(&random, UNITS - start);
			uint32_t type = random_type(&random);
			bool contained = true, overlapped = false;
			const struct range *found = ranges_find(&list, start);

			for (uint64_t i = start; i < end; i++) {
				contained &= model.type[i] == type;
				overlapped |= model.type[i] != NOTHING;
			}
			assert_int_equal(ranges_contain(&list, start, end, type), contained);
			assert_int_equal(ranges_overlap(&list, start, end), overlapped);
			assert_int_equal(found == NULL ? NOTHING : found->type, model.type[start]);
		}
	}
}

static void test_pages(void **unused)
{
	(void)unused;
	list.count = 0;
	assert_true(ranges_set_type(&list, 1, PAGE_SIZE, RANGE_RAM));
	assert_int_equal(ranges_pages(&list, RANGE_RAM), 0);
	assert_true(ranges_set_type(&list, 0, 1, RANGE_RAM));
	assert_int_equal(ranges_pages(&list, RANGE_RAM), 1);
	assert_true(ranges_set_type(&list, 2 * PAGE_SIZE + 1, 5 * PAGE_SIZE - 1, RANGE_RAM));
	assert_int_equal(ranges_pages(&list, RANGE_RAM), 2);
	assert_int_equal(ranges_pages(&list, RANGE_NVS), 0);
}

static void test_str_copy(void **unused)
{
	char to[8];

	(void)unused;
	for (size_t size = 1; size <= sizeof(to); size++) {
		memset(to, 'x', sizeof(to));
		assert_int_equal(str_copy(to, "12345", size), 5);
		assert_int_equal(strlen(to), size > 5 ? 5 : size - 1);
		assert_int_equal(strncmp(to, "12345", strlen(to)), 0);
		for (size_t i = strlen(to) + 1; i < sizeof(to); i++)
			assert_int_equal(to[i], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_normalize_random),
		cmocka_unit_test(test_normalize_covered),
		cmocka_unit_test(test_normalize_exactly_full),
		cmocka_unit_test(test_normalize_whole_space),
		cmocka_unit_test(test_set_type_random),
		cmocka_unit_test(test_questions_random),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_str_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
