/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the reading of an image out of Scrim: pages as they were at its instant, and the CPUs' registers. */
#pragma once

#include "core_header.h"

/* Pages that come through one buffer of this program's. */
struct image_reading {
	const struct session *session;
	bool paused;     /* writes wait for it already: not to be advised */
	uint8_t *buffer; /* SCRIM_IMAGE_READ_MAX pages, locked into memory */
};

/* False after a complaint; then there is nothing to end. */
bool image_reading_begin(const struct session *session, bool paused, struct image_reading *reading) MUST_CHECK;
void image_reading_end(struct image_reading *reading);

/*
 * Reads `pages` pages, at most SCRIM_IMAGE_READ_MAX, into the buffer; with `keep` they may be read again. False after a
 * complaint.
 */
bool image_reading_pages(const struct image_reading *reading, uint64_t address, uint64_t pages, bool keep) MUST_CHECK;

/* Fills the plan's CPUs, those that were in the OS; the array is to be freed in every case. False after a complaint. */
bool image_reading_cpus(const struct session *session, struct core_plan *plan) MUST_CHECK;

/*
 * The note VMCOREINFO at [address, address + bytes) of the image, which is in plan->ram: to be freed, its size in
 * *note_bytes. *note is NULL where there is no such note there. False after a complaint.
 */
bool image_reading_vmcoreinfo(const struct image_reading *reading, const struct range *place, void **note,
			      size_t *note_bytes) MUST_CHECK;
