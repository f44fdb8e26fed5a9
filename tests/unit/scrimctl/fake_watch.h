/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the watches of the fake machine: an image, whose pages say their own address, and pages that are written. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "scrim_abi.h"

/* Where the fake's VMCOREINFO note lies, and how it begins. */
#define FAKE_NOTE_PAGE 0x1234000ull
#define FAKE_NOTE_TEXT "OSRELEASE=fake\n"

struct fake_watch {
	enum scrim_watch kind;
	enum scrim_writes writes;
	bool failed;           /* out of frames */
	uint64_t frames;       /* at hand */
	uint64_t reads;        /* pages that were let go */
	uint64_t next;         /* the lowest page that has not been let go: an image is read in order */
	unsigned begun, ended; /* times */
	unsigned faults;       /* so many IMAGE_READs still find the buffer not writable */
	unsigned fail_at;      /* the image is lost at this page; 0: never */
	bool no_note;
};

void fake_watch_reset(struct fake_watch *watch);

/* What a page of the image says at each of its 512 words but the note's. */
uint64_t fake_image_word(uint64_t page, unsigned word);

/* What IMAGE_CPU says of a CPU that was in the OS. */
uint64_t fake_image_register(uint64_t cpu, uint64_t which);

/* Pages that are written: every one whose number is a multiple of 5. */
bool fake_is_written(uint64_t page);

/* The operations, once the state allows them: a status. */
uint32_t fake_watch_begin(struct fake_watch *watch, const uint64_t argument[2], uint64_t cpus, uint64_t result[2]);
uint32_t fake_image_read(struct fake_watch *watch, const uint64_t argument[2], uint64_t result[2]);
uint32_t fake_dirty(const struct fake_watch *watch, uint64_t address, uint64_t result[2]);
