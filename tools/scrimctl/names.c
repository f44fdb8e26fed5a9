/* SPDX-License-Identifier: BSD-2-Clause */
/* The words for the ABI's numbers. Every table is as long as the ABI's enum, by static assertion. */
#include "names.h"

#include <stddef.h>

#define COUNT(table)           (sizeof(table) / sizeof((table)[0]))
#define LOOK_UP(table, number) ((number) < COUNT(table) ? (table)[number] : "unknown")

static const char *const state_names[] = {
	[SCRIM_GUARDED] = "guarded",         [SCRIM_NATIVE] = "native",       [SCRIM_COMMENCING] = "commencing",
	[SCRIM_VIRTUALIZED] = "virtualized", [SCRIM_REMAPPING] = "remapping", [SCRIM_CEASING] = "ceasing",
};
_Static_assert(COUNT(state_names) == SCRIM_STATE_COUNT, "a name for each state");

static const char *const state_meanings[] = {
	[SCRIM_GUARDED] = "an Identity map guards the start of CPUs",
	[SCRIM_NATIVE] = "no map in the access path of any CPU",
	[SCRIM_COMMENCING] = "CPUs are switching to the Identity map",
	[SCRIM_VIRTUALIZED] = "every CPU translates through the map",
	[SCRIM_REMAPPING] = "displaced pages are coming home",
	[SCRIM_CEASING] = "every page is home; CPUs are switching off the map",
};
_Static_assert(COUNT(state_meanings) == SCRIM_STATE_COUNT, "a meaning for each state");

static const char *const vendor_names[] = {
	[SCRIM_VENDOR_AMD] = "amd",
	[SCRIM_VENDOR_INTEL] = "intel",
};

static const char *const backend_names[] = {
	[SCRIM_BACKEND_NATIVE] = "native",
	[SCRIM_BACKEND_NESTED] = "nested",
	[SCRIM_BACKEND_SHADOW] = "shadow",
	[SCRIM_BACKEND_VTLB] = "vtlb",
};

static const char *const iommu_names[] = {
	[SCRIM_IOMMU_NONE] = "none",
	[SCRIM_IOMMU_VTD] = "vt-d",
	[SCRIM_IOMMU_AMDVI] = "amd-vi",
};

static const char *const reverse_names[] = {
	[SCRIM_REVERSE_SEARCH] = "search",
	[SCRIM_REVERSE_REFCOUNT] = "refcount",
	[SCRIM_REVERSE_BACKMAP] = "backmap",
};
_Static_assert(COUNT(reverse_names) == SCRIM_REVERSE_COUNT, "a name for each way to find occupants");

static const char *const watch_names[] = {
	[SCRIM_WATCH_NONE] = "none",
	[SCRIM_WATCH_IMAGE] = "image",
	[SCRIM_WATCH_DIRTY] = "dirty",
};
_Static_assert(COUNT(watch_names) == SCRIM_WATCH_COUNT, "a name for each watch");

static const char *const cpu_mode_names[] = {
	[SCRIM_CPU_WAITING] = "waiting", [SCRIM_CPU_STARTING] = "starting",       [SCRIM_CPU_GUARDED] = "guarded",
	[SCRIM_CPU_NATIVE] = "native",   [SCRIM_CPU_TRANSLATING] = "translating", [SCRIM_CPU_PARKED] = "parked",
};
_Static_assert(COUNT(cpu_mode_names) == SCRIM_CPU_MODE_COUNT, "a name for each CPU mode");

static const char *const op_names[] = {
	[SCRIM_OP_VERSION] = "version",
	[SCRIM_OP_INFO] = "info",
	[SCRIM_OP_CPU_INFO] = "cpu-info",
	[SCRIM_OP_CPU_EXITS] = "cpu-exits",
	[SCRIM_OP_RANGE] = "range",
	[SCRIM_OP_VIRTUALIZE] = "virtualize",
	[SCRIM_OP_VISIT] = "visit",
	[SCRIM_OP_ABORT] = "abort",
	[SCRIM_OP_DEVIRTUALIZE] = "devirtualize",
	[SCRIM_OP_STEP] = "step",
	[SCRIM_OP_MOVE] = "move",
	[SCRIM_OP_CHECK] = "check",
	[SCRIM_OP_TRANSLATE] = "translate",
	[SCRIM_OP_PAUSED] = "paused",
	[SCRIM_OP_REVERSE] = "reverse",
	[SCRIM_OP_MANAGE] = "manage",
	[SCRIM_OP_AIM] = "aim",
	[SCRIM_OP_SCATTER] = "scatter",
	[SCRIM_OP_SHARE] = "share",
	[SCRIM_OP_SCATTER_STEP] = "scatter-step",
	[SCRIM_OP_LEND] = "lend",
	[SCRIM_OP_SHARE_STEP] = "share-step",
	[SCRIM_OP_BACKEND] = "backend",
	[SCRIM_OP_UNLEND] = "unlend",
	[SCRIM_OP_WATCH] = "watch",
	[SCRIM_OP_IMAGE_READ] = "image-read",
	[SCRIM_OP_IMAGE_CPU] = "image-cpu",
	[SCRIM_OP_DIRTY] = "dirty",
	[SCRIM_OP_RETIRE] = "retire",
	[SCRIM_OP_CENSUS] = "census",
	[SCRIM_OP_TRACE] = "trace",
	[SCRIM_OP_TRACE_READ] = "trace-read",
	[SCRIM_OP_MACHINE_CHECK] = "machine-check",
};
_Static_assert(COUNT(op_names) == SCRIM_OP_COUNT, "a name for each operation");

static const char *const exit_names[] = SCRIM_EXIT_NAMES;
_Static_assert(COUNT(exit_names) == SCRIM_EXIT_COUNT, "a name for each cause of exits");

static const char *const status_names[] = {
	[SCRIM_OK] = "ok",
	[SCRIM_EBADREQ] = "bad-request",
	[SCRIM_EINVAL] = "invalid",
	[SCRIM_ESTATE] = "wrong-state",
	[SCRIM_ENOTRAM] = "not-ram",
	[SCRIM_EALIGN] = "not-aligned",
	[SCRIM_EDMA] = "dma",
	[SCRIM_ENOFRAME] = "no-frame",
	[SCRIM_ENOTABLE] = "no-table",
	[SCRIM_EDISPLACED] = "displaced",
	[SCRIM_ECPU] = "cpu",
	[SCRIM_EINVARIANT] = "invariant",
	[SCRIM_EWATCH] = "watch-on",
	[SCRIM_EFAULT] = "fault",
};
_Static_assert(COUNT(status_names) == SCRIM_STATUS_COUNT, "a name for each status");

static const char *const violation_names[] = {
	[SCRIM_HOLDS] = "holds",
	[SCRIM_V1_DISPLACED_UNGUARDED] = "displaced-unguarded",
	[SCRIM_V2_NATIVE_NOT_CLEAN] = "native-not-clean",
	[SCRIM_V3_FRAME_STATE] = "frame-state",
	[SCRIM_V4_BACKEND_STALE] = "backend-stale",
	[SCRIM_V5_NOT_RAM] = "not-ram",
	[SCRIM_V6_RESERVE] = "reserve",
};
_Static_assert(COUNT(violation_names) == SCRIM_VIOLATION_COUNT, "a name for each violation");

static const char *const violation_meanings[] = {
	[SCRIM_HOLDS] = "all invariants hold",
	[SCRIM_V1_DISPLACED_UNGUARDED] = "a page is displaced while a CPU does not translate",
	[SCRIM_V2_NATIVE_NOT_CLEAN] = "memory is native, and a page is displaced or a table is left allocated",
	[SCRIM_V3_FRAME_STATE] = "a frame is not in exactly one state, or a count of frames is off",
	[SCRIM_V4_BACKEND_STALE] = "the table that the hardware walks says something other than the map",
	[SCRIM_V5_NOT_RAM] = "a page outside RAM is displaced, or a frame outside machine RAM is used",
	[SCRIM_V6_RESERVE] = "too few free frames are kept back",
};
_Static_assert(COUNT(violation_meanings) == SCRIM_VIOLATION_COUNT, "a meaning for each violation");

const char *name_of_state(uint64_t state)
{
	return LOOK_UP(state_names, state);
}
const char *name_of_vendor(uint64_t vendor)
{
	return LOOK_UP(vendor_names, vendor);
}
const char *name_of_backend(uint64_t backend)
{
	return LOOK_UP(backend_names, backend);
}
const char *name_of_iommu(uint64_t iommu)
{
	return LOOK_UP(iommu_names, iommu);
}

const char *name_of_reverse(uint64_t reverse)
{
	return LOOK_UP(reverse_names, reverse);
}
const char *name_of_watch(uint64_t watch)
{
	return LOOK_UP(watch_names, watch);
}

const char *name_of_cpu_mode(uint64_t mode)
{
	return LOOK_UP(cpu_mode_names, mode);
}
const char *name_of_op(uint64_t op)
{
	return LOOK_UP(op_names, op);
}
const char *name_of_exit(uint64_t cause)
{
	return LOOK_UP(exit_names, cause);
}
const char *name_of_status(uint64_t status)
{
	return LOOK_UP(status_names, status);
}
const char *name_of_violation(uint64_t violation)
{
	return LOOK_UP(violation_names, violation);
}
const char *meaning_of_state(uint64_t state)
{
	return LOOK_UP(state_meanings, state);
}
const char *meaning_of_violation(uint64_t violation)
{
	return LOOK_UP(violation_meanings, violation);
}
