/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests the judgement of a CPU's SVM: each refusal by its line, the good CPU, and which reason wins where there are several. */
#include "boot_bytes.h"
#include "svm/svm_probe.h"

static const struct svm_features good = { .has_svm = true, .has_nested_paging = true };

static void refuse(struct svm_features features, const char *part)
{
	const char *given = svm_probe_judge(&features);

	assert_line(given, part);
	assert_line(given, ": booting without Scrim");
	assert_memory_equal(given, "has ", 4);
}

static void test_good(void **unused)
{
	(void)unused;
	assert_no_line(svm_probe_judge(&good));
}

static void test_no_svm(void **unused)
{
	struct svm_features features = good;

	(void)unused;
	features.has_svm = false;
	refuse(features, "no AMD SVM");
}

static void test_disabled(void **unused)
{
	struct svm_features features = good;

	(void)unused;
	features.firmware_disabled = true;
	refuse(features, "SVM disabled by firmware; enable it");
}

static void test_no_nested_paging(void **unused)
{
	struct svm_features features = good;

	(void)unused;
	features.has_nested_paging = false;
	refuse(features, "without nested paging");
}

static void test_memory_encryption(void **unused)
{
	struct svm_features features = good;

	(void)unused;
	features.encrypts_memory = true;
	refuse(features, "memory encryption (SME) on");
}

/* All sixteen: only the good one passes; nobody is told to change a setting that would not be enough. */
static void test_all(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 16; i++) {
		struct svm_features features = { i & 1, i >> 1 & 1, i >> 2 & 1, i >> 3 & 1 };

		if (!features.has_svm)
			refuse(features, "no AMD SVM");
		else if (features.firmware_disabled)
			refuse(features, "disabled by firmware");
		else if (!features.has_nested_paging)
			refuse(features, "without nested paging");
		else if (features.encrypts_memory)
			refuse(features, "SME");
		else
			assert_no_line(svm_probe_judge(&features));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),		  cmocka_unit_test(test_no_svm),
		cmocka_unit_test(test_disabled),	  cmocka_unit_test(test_no_nested_paging),
		cmocka_unit_test(test_memory_encryption), cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
