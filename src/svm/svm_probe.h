/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the judgement whether a CPU's SVM is enough for Scrim, apart from the CPU. */
#pragma once

#include "base/types.h"

/* What svm.c found; false as well for what it could not ask. */
struct svm_features {
	bool has_svm;           /* and the leaf of CPUID that describes it */
	bool firmware_disabled; /* VM_CR.SVMDIS */
	bool has_nested_paging;
	bool encrypts_memory;   /* SYSCFG.SMEE */
};

/* NULL: good. Else the end of a line for people that begins with the CPU. */
const char *svm_probe_judge(const struct svm_features *features);
