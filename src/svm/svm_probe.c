/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the reasons for which a CPU is refused, and their order: what firmware could change is named only where it would help. */
#include "svm/svm_probe.h"

const char *svm_probe_judge(const struct svm_features *features)
{
	if (!features->has_svm)
		return "has no AMD SVM; Scrim needs it: booting without Scrim";
	if (features->firmware_disabled)
		return "has SVM disabled by firmware; enable it in the firmware's set-up: booting without Scrim";
	if (!features->has_nested_paging)
		return "has SVM without nested paging; Scrim needs it: booting without Scrim";
	if (features->encrypts_memory)
		return "has memory encryption (SME) on, which Scrim cannot move pages under; disable it in the firmware's "
		       "set-up: booting without Scrim";
	return NULL;
}
