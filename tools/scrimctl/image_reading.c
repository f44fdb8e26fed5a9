/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading an image. Scrim writes to the buffer as this program would, and does not wait for a page that the OS has taken
 * away for the moment: this program then writes to it itself, which brings it back, and asks again.
 */
#include "image_reading.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "explain.h"

#define BUFFER_BYTES   (SCRIM_IMAGE_READ_MAX * PAGE_BYTES)
#define TRIES          16
#define CPU_LIMIT      65536u  /* bounds on what a wrong answer could make this program allocate */
#define NOTE_LIMIT     65536u
#define NOTE_NAME      "VMCOREINFO"
#define NOTE_WORD(n)   (((size_t)(n) + 3) & ~(size_t)3)

static void touch_buffer(const struct image_reading *reading)
{
	for (unsigned i = 0; i < SCRIM_IMAGE_READ_MAX; i++)
		((volatile uint8_t *)reading->buffer)[i * PAGE_BYTES] = 0;
}

bool image_reading_begin(const struct session *session, bool paused, struct image_reading *reading)
{
	void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*reading = (struct image_reading){ .session = session, .paused = paused, .buffer = buffer };
	if (buffer != MAP_FAILED && mlock(buffer, BUFFER_BYTES) == 0) {
		touch_buffer(reading);
		return true;
	}
	complain(session, "snapshot refused, no %u KiB can be locked into memory for its buffer (%s); raise ulimit -l",
		 BUFFER_BYTES / 1024, strerror(errno));
	if (buffer != MAP_FAILED)
		munmap(buffer, BUFFER_BYTES);
	return false;
}

void image_reading_end(struct image_reading *reading)
{
	munmap(reading->buffer, BUFFER_BYTES);
}

static void complain_refused(const struct session *session, bool paused, const struct reply *reply)
{
	if (reply->status == SCRIM_ESTATE)
		complain(session, "snapshot failed: another program ended it, by devirtualize or snapshot --cancel; run it "
				  "again when that is done");
	else if (reply->status == SCRIM_ENOFRAME && paused)
		complain(session, "snapshot failed: what does not wait wrote more pages than there were free frames for "
				  "their copies: the image is lost, the machine goes on as before; write to a faster "
				  "place, lend memory with scrimctl lend, or boot with a larger reserve=");
	else
		explain(session, "snapshot failed", SCRIM_OP_IMAGE_READ, reply);
}

bool image_reading_pages(const struct image_reading *reading, uint64_t address, uint64_t pages, bool keep)
{
	struct reply reply = { .status = SCRIM_OK };
	uint64_t done = 0;

	for (unsigned tries = 0; done < pages && tries < TRIES + pages; tries++) {
		reply = request(reading->session, SCRIM_OP_IMAGE_READ,
				(address + done * PAGE_BYTES) | (keep ? SCRIM_IMAGE_KEEP : 0) | (pages - done),
				(uintptr_t)reading->buffer + done * PAGE_BYTES);
		if (reply.status != SCRIM_OK && reply.status != SCRIM_EFAULT)
			break;
		if (reply.status == SCRIM_OK)
			done += reply.result0;
		for (uint64_t i = done; i < pages; i++)
			((volatile uint8_t *)reading->buffer)[i * PAGE_BYTES] = 0;
	}
	if (done < pages && reply.status == SCRIM_OK)
		reply.status = SCRIM_EFAULT;
	if (done < pages)
		complain_refused(reading->session, reading->paused, &reply);
	return done == pages;
}

/* What it holds is 0 where a CPU was not in the OS: *there says so. */
static bool read_cpu(const struct session *session, uint64_t index, struct core_cpu *cpu, bool *there)
{
	*there = true;
	for (unsigned i = 0; i < SCRIM_REG_COUNT && *there; i++) {
		struct reply reply = request(session, SCRIM_OP_IMAGE_CPU, index, i);

		*there = reply.status != SCRIM_EINVAL;
		if (reply.status != SCRIM_OK && *there) {
			complain_refused(session, false, &reply);
			return false;
		}
		cpu->registers[i] = reply.result0;
	}
	return true;
}

bool image_reading_cpus(const struct session *session, struct core_plan *plan)
{
	uint64_t count;
	bool there;

	if (!request_info(session, SCRIM_INFO_CPUS, &count))
		return false;
	plan->cpus = count < CPU_LIMIT ? calloc((size_t)count + 1, sizeof(*plan->cpus)) : NULL;
	if (plan->cpus == NULL) {
		complain(session, "snapshot failed: no memory for the registers of %llu CPUs; free some and try again",
			 (unsigned long long)count);
		return false;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (!read_cpu(session, i, &plan->cpus[plan->cpu_count], &there))
			return false;
		plan->cpu_count += there;
	}
	return true;
}

/* Size of the note at the beginning of `bytes` bytes, or 0 where it is none of this name. */
static size_t note_size(const uint8_t *data, size_t bytes)
{
	Elf64_Nhdr header;
	size_t size;

	if (bytes < sizeof(header))
		return 0;
	memcpy(&header, data, sizeof(header));
	if (header.n_namesz != sizeof(NOTE_NAME) || header.n_descsz > bytes)
		return 0;
	size = sizeof(header) + NOTE_WORD(header.n_namesz) + NOTE_WORD(header.n_descsz);
	return size <= bytes && memcmp(data + sizeof(header), NOTE_NAME, sizeof(NOTE_NAME)) == 0 ? size : 0;
}

bool image_reading_vmcoreinfo(const struct image_reading *reading, const struct range *place, void **note,
			      size_t *note_bytes)
{
	size_t skipped = (size_t)(place->start % PAGE_BYTES), bytes = (size_t)(place->end - place->start);
	size_t pages = (skipped + bytes + PAGE_BYTES - 1) / PAGE_BYTES;
	uint8_t *whole = bytes <= NOTE_LIMIT ? malloc(pages * PAGE_BYTES) : NULL;

	*note = NULL;
	if (whole == NULL)
		return true;
	for (size_t i = 0; i < pages; i++) {
		if (!image_reading_pages(reading, place->start - skipped + i * PAGE_BYTES, 1, true)) {
			free(whole);
			return false;
		}
		memcpy(whole + i * PAGE_BYTES, reading->buffer, PAGE_BYTES);
	}
	*note_bytes = note_size(whole + skipped, bytes);
	memmove(whole, whole + skipped, *note_bytes);
	if (*note_bytes != 0)
		*note = whole;
	else
		free(whole);
	return true;
}
